use super::*;

const CANARY: &str = "c4n4ryc4n4ryc4n4ry";

fn secret(pairs: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec())))
        .collect()
}

fn token() -> String {
    format!("token-abcde:{CANARY}")
}

#[test]
fn the_endpoint_of_the_secret_must_be_the_one_of_the_integration() {
    let cases = [
        (
            "https://rancher.example.com/v3",
            "rancher.example.com",
            443,
            Some("https://rancher.example.com"),
        ),
        (
            " https://Rancher.Example.com \n",
            "rancher.EXAMPLE.com",
            443,
            Some("https://rancher.example.com"),
        ),
        (
            "https://rancher.example.com:443/",
            "rancher.example.com",
            443,
            Some("https://rancher.example.com"),
        ),
        ("https://r:8443/v3/", "r", 8443, Some("https://r:8443")),
        (
            "https://[::1]:8443",
            "::1",
            8443,
            Some("https://[::1]:8443"),
        ),
        (
            "https://rancher.example.com/v3",
            "evil.example.com",
            443,
            None,
        ),
        (
            "https://rancher.example.com/v3",
            "rancher.example.com",
            8443,
            None,
        ),
        (
            "https://rancher.example.com:8443/v3",
            "rancher.example.com",
            443,
            None,
        ),
        (
            "http://rancher.example.com/v3",
            "rancher.example.com",
            443,
            None,
        ),
        ("rancher.example.com", "rancher.example.com", 443, None),
        (
            "https://rancher.example.com@evil.example.com/v3",
            "rancher.example.com",
            443,
            None,
        ),
        (
            "https://rancher.example.com/v3?x",
            "rancher.example.com",
            443,
            None,
        ),
        (
            "https://rancher.example.com/other",
            "rancher.example.com",
            443,
            None,
        ),
        (
            "https://rancher.example.com",
            "rancher.example.com/x@y",
            443,
            None,
        ),
        ("https://rancher.example.com", "", 443, None),
    ];
    for (endpoint, host, port, want) in cases {
        let got = parse(
            &secret(&[("endpoint", endpoint), ("token", &token())]),
            host,
            port,
        );
        match want {
            Some(base) => assert_eq!(got.unwrap().endpoint.base(), base, "{endpoint} {host}"),
            None => assert!(got.is_err(), "{endpoint} {host}"),
        }
    }
}

#[test]
fn the_key_comes_as_token_or_as_a_pair() {
    let endpoint = ("endpoint", "https://r.example.com");
    let ok = |pairs: &[(&str, &str)]| {
        parse(
            &secret(&[&[endpoint], pairs].concat()),
            "r.example.com",
            443,
        )
    };
    assert_eq!(
        ok(&[("token", &token())]).unwrap().key.name(),
        "token-abcde"
    );
    assert_eq!(
        ok(&[("accessKey", "token-abcde"), ("secretKey", CANARY)])
            .unwrap()
            .key
            .name(),
        "token-abcde"
    );
    assert_eq!(
        ok(&[("token", &token()), ("accessKey", "x")]).unwrap_err(),
        CredentialsError::Ambiguous
    );
    for (pairs, field) in [
        (vec![("accessKey", "token-abcde")], "secretKey"),
        (vec![("secretKey", CANARY)], "accessKey"),
        (vec![("token", "  ")], "token"),
    ] {
        let error = ok(&pairs).unwrap_err();
        assert!(
            matches!(error, CredentialsError::Missing { field: f, .. } if f == field),
            "{error}"
        );
    }
}

#[test]
fn no_error_and_no_debug_repeats_the_key() {
    let bad = format!("{CANARY} is no token");
    let cases = [
        parse(
            &secret(&[("endpoint", "https://r"), ("token", &bad)]),
            "r",
            443,
        )
        .map(|_| ()),
        parse(
            &secret(&[("endpoint", "https://other"), ("token", &token())]),
            "r",
            443,
        )
        .map(|_| ()),
        parse(
            &secret(&[("endpoint", CANARY), ("token", &token())]),
            "r",
            443,
        )
        .map(|_| ()),
    ];
    for case in cases {
        let error = case.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
    }
    let good = parse(
        &secret(&[("endpoint", "https://r"), ("token", &token())]),
        "r",
        443,
    )
    .unwrap();
    assert!(!format!("{good:?}").contains(CANARY));
}
