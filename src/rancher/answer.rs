//! Answers, and what they mean. Rancher mixes Kubernetes `Status`, two JSON dialects of its own (with the status as a
//! number or a string), plain text and empty bodies; proxies in front add HTML.
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::{
    absence::{ProofOfAbsence, Target},
    error::Error,
    plain,
};

/// What Rancher says to a failed Basic login, in plain text.
const NOT_AUTHORIZED: &str = "not authorized";

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub code: u16,
    /// Rancher's header `X-API-Cattle-Auth: true`: it was Rancher that answered, and it knew the key.
    pub rancher_authenticated: bool,
    /// Rancher's header `X-API-Cattle-Auth`, whatever its value: Rancher answered.
    pub from_rancher: bool,
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

/// What was asked, as far as the meaning of an answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    Read,
    Create,
    Change,
    Delete,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct KubernetesStatus {
    pub kind: String,
    pub status: String,
    pub message: String,
    pub reason: String,
    pub details: Option<StatusDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusDetails {
    pub name: String,
    pub group: String,
    pub kind: String,
}

/// The reason and message of an error body, and whether it is in a form only the API speaks.
struct Said {
    reason: String,
    message: String,
    structured: bool,
}

impl Answer {
    pub fn new(code: u16, headers: &HeaderMap, body: Bytes) -> Self {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
        let auth = text("x-api-cattle-auth");
        Self {
            code,
            rancher_authenticated: auth.is_some_and(|v| v.eq_ignore_ascii_case("true")),
            from_rancher: auth.is_some(),
            // A date would need a wall clock: the caller's own backoff does as well.
            retry_after: text("retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs),
            body,
        }
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    pub fn kubernetes_status(&self) -> Option<KubernetesStatus> {
        let status: KubernetesStatus = serde_json::from_slice(&self.body).ok()?;
        (status.kind == "Status").then_some(status)
    }

    /// The error this answer is. `through_rancher`: Rancher sits between us and the API server.
    pub fn error(&self, intent: Intent, target: Option<&Target>, through_rancher: bool) -> Error {
        let Said { reason, message, structured } = self.said();
        let unclear = || Error::unknown(format!("HTTP {} {reason}: {message}", self.code));
        // Text and empty bodies are believed only where Rancher signed them with its header: others may be a proxy's.
        let credible = structured || self.from_rancher;
        match self.code {
            401 if credible || reason == NOT_AUTHORIZED => Error::Unauthenticated { message },
            404 => match target.and_then(|t| ProofOfAbsence::read(t, self, through_rancher)) {
                Some(proof) if intent != Intent::Create => Error::NotFound(proof),
                _ if intent == Intent::Create && self.names_another(through_rancher) => {
                    Error::Refused { code: 404, reason, message }
                }
                _ => unclear(),
            },
            409 if structured => conflict(intent, &reason, message),
            429 => Error::Throttled { retry_after: self.retry_after, message },
            400 | 403 | 405 | 406 | 410 | 413 | 415 | 422 if credible => {
                Error::Refused { code: self.code, reason, message }
            }
            _ => unclear(),
        }
    }

    /// A genuine `NotFound` for something a create needs, for example its namespace.
    fn names_another(&self, through_rancher: bool) -> bool {
        let named = self.kubernetes_status().is_some_and(|s| s.reason == "NotFound" && s.details.is_some());
        named && (!through_rancher || self.rancher_authenticated)
    }

    fn said(&self) -> Said {
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(Value::Object(body)) => self.said_in_json(&body),
            _ => self.said_in_text(),
        }
    }

    fn said_in_json(&self, body: &serde_json::Map<String, Value>) -> Said {
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(plain::clean).filter(|t| !t.is_empty());
        let status = text("kind").is_some_and(|k| k == "Status");
        let norman = text("type").is_some_and(|t| t == "error" || t.ends_with("/schemas/error"));
        let untyped = body.contains_key("status") && text("message").is_some();
        Said {
            reason: text("reason").or_else(|| text("code")).unwrap_or_else(|| self.named()),
            message: text("message").or_else(|| text("Message")).unwrap_or_else(|| "no message".to_owned()),
            structured: status || norman || untyped,
        }
    }

    fn said_in_text(&self) -> Said {
        let head = self.body.get(..4096).unwrap_or(&self.body);
        let body = plain::clean(&String::from_utf8_lossy(head));
        let (reason, message) = if body.starts_with('<') {
            ("HTML".to_owned(), title(&body))
        } else if body == NOT_AUTHORIZED {
            (body.clone(), body)
        } else if body.is_empty() {
            (self.named(), "empty body".to_owned())
        } else {
            (self.named(), body)
        };
        Said { reason, message, structured: false }
    }

    /// The code's own name, in Kubernetes' spelling.
    fn named(&self) -> String {
        let known = http::StatusCode::from_u16(self.code).ok();
        known.and_then(|c| c.canonical_reason()).unwrap_or("unnamed").replace(' ', "")
    }
}

fn conflict(intent: Intent, reason: &str, message: String) -> Error {
    if reason == "AlreadyExists" {
        Error::AlreadyExists { message }
    } else if message.contains("duplicate crtb not allowed") || message.contains("duplicate prtb not allowed") {
        Error::Duplicate { message }
    } else if intent == Intent::Delete && message.contains("UID in the precondition") {
        Error::UidMismatch { message }
    } else {
        Error::Conflict { message }
    }
}

/// The title of an HTML page: what a load balancer has to say.
fn title(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let found = lower.find("<title>").map(|at| at + 7).and_then(|from| {
        let to = lower.get(from..)?.find("</title>")?;
        html.get(from..from + to)
    });
    found.map_or_else(|| "an HTML page".to_owned(), |t| format!("an HTML page: {}", t.trim()))
}

#[cfg(test)]
mod tests;
