//! What becomes of a request that is to be broken.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use kube::client::Body;
use serde_json::{Value, json};
use testkit::apiserver::Service;
use tokio::time::{Instant, sleep};
use tower::BoxError;

use super::{AFTER_TAKEOVER, AWAY, Answer, CUT_OFF, HANGING, LATE, SLOW, Tap, cut};
use crate::{
    call::{Call, Server},
    fault::Kind,
};

impl Tap {
    pub(super) async fn broken(
        &self,
        process: usize,
        call: &Call,
        service: Service,
        request: Request<Bytes>,
        kind: Kind,
    ) -> Result<Response<Body>, BoxError> {
        match kind {
            Kind::CrashBefore => self.kill(process),
            Kind::CrashAway => {
                self.kill(process);
                self.away(AWAY);
            }
            Kind::CrashAfter => {
                self.carry_out(call, service, request).await?;
                self.kill(process);
            }
            Kind::TimeTravel => {
                self.carry_out(call, service, request).await?;
                self.travel();
                self.kill(process);
            }
            Kind::ReplyLost => drop(self.carry_out(call, service, request).await?),
            Kind::Unavailable => return Ok(refusal(call, 503, "ServiceUnavailable").into_response()),
            Kind::TooMany => {
                let mut answer = refusal(call, 429, "TooManyRequests");
                answer.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                return Ok(answer.into_response());
            }
            Kind::Conflict => {
                let reason = if call.verb == "create" { "AlreadyExists" } else { "Conflict" };
                return Ok(refusal(call, 409, reason).into_response());
            }
            Kind::NotFound => {
                let mut answer = Answer::json(StatusCode::NOT_FOUND, &Value::Null);
                answer.body = Bytes::from_static(b"<html><body>404 Not Found</body></html>");
                answer.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
                return Ok(answer.into_response());
            }
            Kind::Unauthorized => return Ok(refusal(call, 401, "Unauthorized").into_response()),
            Kind::Forbidden => return Ok(refusal(call, 403, "Forbidden").into_response()),
            Kind::Late => self.later(LATE, call, service, request),
            Kind::Twice => {
                let first = self.carry_out(call, service.clone(), request.clone()).await?;
                self.carry_out(call, service, request).await?;
                return Ok(first.into_response());
            }
            Kind::Garbled => {
                let mut answer = self.carry_out(call, service, request).await?;
                answer.body = Bytes::from_static(b"<!DOCTYPE html><html><body>Bad gateway</body></html>");
                answer.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
                return Ok(answer.into_response());
            }
            Kind::Truncated => {
                let mut answer = self.carry_out(call, service, request).await?;
                answer.body = answer.body.slice(..answer.body.len() / 2);
                return Ok(answer.into_response());
            }
            Kind::Hang => {
                sleep(HANGING).await;
            }
            Kind::Slow => {
                let answer = self.carry_out(call, service, request).await?;
                sleep(SLOW).await;
                return Ok(answer.into_response());
            }
            Kind::Stale => {
                let before = self.state().answers.as_ref().and_then(|answers| answers.get(&call.address)).cloned();
                return match before {
                    Some(answer) => Ok(answer.into_response()),
                    None => self.carry_out(call, service, request).await.map(Answer::into_response),
                };
            }
            Kind::Deposed => {
                self.state().cut_off.insert(process, Instant::now() + CUT_OFF);
                self.0.orders.send_modify(|wanted| *wanted = 2);
                self.later(AFTER_TAKEOVER, call, service, request);
                self.0.truth.disturb(CUT_OFF);
            }
            Kind::Ghost => {
                self.kill(process);
                self.later(AFTER_TAKEOVER, call, service, request);
            }
            Kind::Ahead | Kind::Back | Kind::Asleep => {
                match kind {
                    Kind::Ahead => self.0.sky.set_ahead(7200),
                    Kind::Back => self.0.sky.set_ahead(-3600),
                    _ => self.0.sky.sleep(600),
                }
                // Who is away stays away by his own timer, which stood still too.
                let away = self.state().away.map(|until| until.saturating_duration_since(Instant::now()));
                self.0.truth.disturb(away.unwrap_or_default());
                return self.carry_out(call, service, request).await.map(Answer::into_response);
            }
            Kind::Dropped | Kind::Repeated | Kind::Delayed | Kind::Gone | Kind::Cut => {
                return self.carry_out(call, service, request).await.map(Answer::into_response);
            }
        }
        if kind.kills() {
            return std::future::pending().await;
        }
        Err(cut(io::ErrorKind::ConnectionReset))
    }

    /// Lets a request arrive later, when nobody waits for its answer.
    fn later(&self, wait: Duration, call: &Call, service: Service, request: Request<Bytes>) {
        let (tap, call, was) = (self.clone(), call.clone(), self.0.truth.is_restored());
        self.0.truth.disturb(wait);
        tokio::spawn(async move {
            sleep(wait).await;
            // A server that is put back to a backup starts anew, and nothing that was on its way to it arrives.
            if call.server == Server::Kubernetes && tap.0.truth.is_restored() != was {
                return;
            }
            drop(tap.carry_out(&call, service, request).await);
        });
    }
}

/// A refusal, as the server that it comes from puts it.
fn refusal(call: &Call, code: u16, reason: &str) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "code": code, "message": format!("a fault: {reason}"), "details": {"kind": call.resource, "name": call.object}});
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = Answer::json(code, &status);
    if call.server == Server::Rancher {
        let known = if code == StatusCode::UNAUTHORIZED { "false" } else { "true" };
        answer.headers.insert("x-api-cattle-auth", HeaderValue::from_static(known));
    }
    answer
}
