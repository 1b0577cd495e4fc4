//! The credentials Secret: an admin key, and where it may be sent.
//!
//! Input: the integration's host and port on the first line, then a key and its value on each.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use rancher_access_operator::rancher::endpoint::{self, CredentialsError, Endpoint};

use super::said::{self, CANARY};

/// The longest that an error may be: an address is cut nowhere, but a Secret has a size.
const LONGEST: usize = 4 * super::mutate::LONGEST;

pub fn check(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let address = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (host, port) = address.split_once(' ').unwrap_or((&address, "443"));
    let port = port.parse().unwrap_or(443);
    let data: BTreeMap<_, _> = lines.filter_map(field).collect();
    let answer = endpoint::parse(&data, host, port);
    match answer {
        Ok(credentials) => {
            let base = credentials.endpoint.base();
            assert!(base.starts_with("https://") && !base.ends_with('/'), "{base}");
            assert_eq!(credentials.endpoint, Endpoint::new(host, port).unwrap(), "it goes where the integration says");
            let shown: BTreeMap<_, _> = data
                .into_iter()
                .map(|(k, v)| if k == "endpoint" { (k, ByteString(base.clone().into())) } else { (k, v) })
                .collect();
            let again = endpoint::parse(&shown, host, port).unwrap();
            assert_eq!((again.endpoint, again.key.name()), (credentials.endpoint.clone(), credentials.key.name()));
            if !credentials.key.name().contains(CANARY) {
                said::secretless(&format!("{:?}", credentials.key));
            }
        }
        // These show addresses: whoever writes the key where an address belongs is shown it.
        Err(error @ (CredentialsError::Host { .. } | CredentialsError::Mismatch { .. })) => {
            assert!(error.to_string().len() < LONGEST, "{error:.200}");
        }
        Err(error) => {
            said::fit(&error.to_string());
            said::secretless(&format!("{error:?}"));
        }
    }
}

fn field(line: &[u8]) -> Option<(String, ByteString)> {
    let at = line.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (String::from_utf8_lossy(&line[..at]).into_owned(), line[at + 1..].to_vec());
    Some((name, ByteString(value)))
}
