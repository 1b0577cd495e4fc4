use super::*;

const CANARY: &str = "c4n4ryc4n4ryc4n4ry";

fn secret(pairs: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec()))).collect()
}

fn token() -> String {
    format!("token-abcde:{CANARY}")
}

fn read(endpoint: &str, host: &str, port: u16) -> Result<Credentials, CredentialsError> {
    parse(&secret(&[("endpoint", endpoint), ("token", &token())]), host, port)
}

#[test]
fn the_endpoint_of_the_secret_may_be_written_as_rancher_shows_it() {
    let base = |endpoint, host, port| read(endpoint, host, port).unwrap().endpoint.base();
    let usual = "https://rancher.example.com";
    assert_eq!(base("https://rancher.example.com/v3", "rancher.example.com", 443), usual);
    assert_eq!(base(" https://Rancher.Example.com \n", "rancher.EXAMPLE.com", 443), usual);
    assert_eq!(base("https://rancher.example.com:443/", "rancher.example.com", 443), usual);
    assert_eq!(base("https://r:8443/v3/", "r", 8443), "https://r:8443");
    assert_eq!(base("https://[::1]:8443", "::1", 8443), "https://[::1]:8443");
}

#[test]
fn a_key_for_another_endpoint_is_not_handed_out() {
    let usual = "https://rancher.example.com/v3";
    for (host, port) in [("evil.example.com", 443), ("rancher.example.com", 8443)] {
        let error = read(usual, host, port).unwrap_err();
        assert!(matches!(error, CredentialsError::Mismatch { .. }), "{error}");
    }
    for host in ["rancher.example.com/x@y", "", "rancher.example.com:1", "a b", "x@rancher.example.com"] {
        let error = read(usual, host, 443).unwrap_err();
        assert!(matches!(error, CredentialsError::Host { .. }), "{host}: {error}");
    }
    for endpoint in [
        "http://rancher.example.com/v3",
        "rancher.example.com",
        "https://rancher.example.com@evil.example.com/v3",
        "https://rancher.example.com/v3?x",
        "https://rancher.example.com/other",
    ] {
        assert!(read(endpoint, "rancher.example.com", 443).is_err(), "{endpoint}");
    }
}

#[test]
fn the_key_comes_as_token_or_as_a_pair() {
    let endpoint = ("endpoint", "https://r.example.com");
    let ok = |pairs: &[(&str, &str)]| parse(&secret(&[&[endpoint], pairs].concat()), "r.example.com", 443);
    assert_eq!(ok(&[("token", &token())]).unwrap().key.name(), "token-abcde");
    assert_eq!(ok(&[("accessKey", "token-abcde"), ("secretKey", CANARY)]).unwrap().key.name(), "token-abcde");
    assert_eq!(ok(&[("token", &token()), ("accessKey", "x")]).unwrap_err(), CredentialsError::Ambiguous);
    for (pairs, field) in [
        (vec![("accessKey", "token-abcde")], "secretKey"),
        (vec![("secretKey", CANARY)], "accessKey"),
        (vec![("token", "  ")], "token"),
    ] {
        let error = ok(&pairs).unwrap_err();
        assert!(matches!(error, CredentialsError::Missing { field: f, .. } if f == field), "{error}");
    }
}

#[test]
fn no_error_and_no_debug_repeats_the_key() {
    let bad = format!("{CANARY} is no token");
    let cases = [
        parse(&secret(&[("endpoint", "https://r"), ("token", &bad)]), "r", 443).map(|_| ()),
        parse(&secret(&[("endpoint", "https://other"), ("token", &token())]), "r", 443).map(|_| ()),
        parse(&secret(&[("endpoint", CANARY), ("token", &token())]), "r", 443).map(|_| ()),
    ];
    for case in cases {
        let error = case.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
    }
    let good = parse(&secret(&[("endpoint", "https://r"), ("token", &token())]), "r", 443).unwrap();
    assert!(!format!("{good:?}").contains(CANARY));
}
