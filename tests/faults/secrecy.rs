//! I8 secrecy: canaries that stand for the admin key, and everything that leaves the process searched for them.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use http::{Request, header};
use memchr::memmem::Finder;
use serde_json::Value;

use crate::{
    call::{Call, Server},
    truth::Truth,
};

/// What must not be seen, in every form that it could be written in. Clones share it.
#[derive(Clone)]
pub struct Canaries(Arc<RwLock<Vec<Finder<'static>>>>);

impl Canaries {
    /// Of that key.
    pub fn of(token: &str) -> Self {
        let canaries = Self(Arc::default());
        canaries.add(token);
        canaries
    }

    /// One more key `token-xxxxx:secret`: the secret alone, in every encoding. Base64 of it in all three alignments.
    pub fn add(&self, token: &str) {
        let secret = token.split_once(':').map_or(token, |(_, secret)| secret).as_bytes();
        let mut forms = vec![secret.to_vec(), HEXLOWER.encode(secret).into_bytes()];
        for padding in 0..3_usize {
            let shifted = [vec![0; padding], secret.to_vec()].concat();
            for encoded in [BASE64.encode(&shifted), BASE64URL_NOPAD.encode(&shifted)] {
                // What depends on the neighbours is left out on both sides.
                let skip = [0, 2, 3][padding];
                let end = encoded.trim_end_matches('=').len().saturating_sub(2);
                forms.extend(encoded.get(skip..end).map(|middle| middle.as_bytes().to_vec()));
            }
        }
        let percent: String = secret.iter().map(|byte| format!("%{byte:02X}")).collect();
        let json: String = secret.iter().map(|byte| format!("\\u{byte:04x}")).collect();
        forms.extend([percent.into_bytes(), json.into_bytes()]);
        let forms = forms.iter().filter(|form| !form.is_empty());
        let forms = forms.map(|form| Finder::new(form).into_owned());
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend(forms);
    }

    /// Whether a text holds one.
    pub fn are_in(&self, text: &[u8]) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().any(|form| form.find(text).is_some())
    }

    /// Looks at a request. To Rancher the key goes in one header, a new one to its Secret, and nowhere else; a password to two
    /// Secrets, the requester's and Rancher's.
    pub fn check(&self, call: &Call, request: &Request<Bytes>, truth: &Truth) {
        let allowed = |name: &header::HeaderName| call.server == Server::Rancher && name == header::AUTHORIZATION;
        let headers = request.headers().iter().filter(|(name, _)| !allowed(name));
        let uri = request.uri().to_string();
        let of_a_user = call.resource == "secrets" && matches!(call.verb, "create" | "patch");
        let kept = call.name == "K:patch:secrets:rancher-prod" || of_a_user && call.object != "rancher-prod";
        if of_a_user {
            let written: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let password = written["data"]["password"].as_str().and_then(|text| BASE64.decode(text.as_bytes()).ok());
            password.iter().for_each(|password| self.add(&String::from_utf8_lossy(password)));
        }
        let body = if kept { &[] } else { request.body().as_ref() };
        let told = headers.map(|(_, value)| value.as_bytes()).chain([uri.as_bytes(), body]);
        for text in told {
            if self.are_in(text) {
                truth.violated("I8 secrecy", format!("the key is in {}", call.name));
            }
        }
    }
}

/// Where a run's log goes: kept, so that it can be shown and searched.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().map(|log| log.clone()).unwrap_or_default()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(mut log) = self.0.lock() {
            log.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
