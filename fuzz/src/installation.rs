//! The installation's Secret, as the API server answers. Input: its code on the first line, then the answer.

use std::sync::{Arc, Mutex};

use rancher_access_operator::controller::installation::{self, InstallationError};

use serde_json::Value;

use super::server;

pub fn check(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let code = std::str::from_utf8(&input[..at]).ok().and_then(|code| code.trim().parse().ok()).unwrap_or(200);
    let body = input.get(at + 1..).unwrap_or_default().to_vec();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let client = server::api_server(move |request| {
        log.lock().unwrap().push(request.method().clone());
        match *request.method() {
            http::Method::GET => (code, body.clone()),
            _ => (201, request.into_body()),
        }
    });
    let loaded = server::run(async { installation::load(&client, "rancher-access-system").await });
    // The client goes by what the body says.
    let said: Value = serde_json::from_slice(input.get(at + 1..).unwrap_or_default()).unwrap_or_default();
    let missing = code == 404 || said["code"] == 404 || said["reason"] == "NotFound";
    let wrote = asked.lock().unwrap().iter().any(|method| *method != http::Method::GET);
    match loaded {
        Ok(installation) => {
            let id = &installation.id;
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            assert!((1..=40).contains(&id.len()) && id.chars().all(fits), "{id:?}");
            assert!(!wrote || missing, "a new identity was made over one that is there");
        }
        // Nothing is ever made over what is there, however broken it is: that would disown every binding.
        Err(InstallationError::Malformed { what, .. }) => assert!(!wrote, "{what}"),
        Err(error) => assert!(!wrote || missing, "{error}"),
    }
}
