//! Bundles of certificates to trust, in a Secret or ConfigMap. Input: the bundle.

use rancher_access_operator::rancher::{TransportConfig, transport};

use super::{said, server};

pub fn check(input: &[u8]) {
    let config = TransportConfig { ca_pem: Some(input.to_vec()), ..TransportConfig::default() };
    match server::run(async { transport::https(&config) }) {
        Ok(_) => {
            let begin = b"-----BEGIN CERTIFICATE-----";
            assert!(input.windows(begin.len()).any(|part| part == begin), "there is no certificate in it");
        }
        Err(error) => said::fit(&error.to_string()),
    }
}
