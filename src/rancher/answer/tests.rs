use super::*;

const STATUS_404: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"x \"rao-a\" not found","reason":"NotFound","details":{"name":"rao-a","group":"management.cattle.io","kind":"clusterroletemplatebindings"},"code":404}"#;
const WEBHOOK: &str = r#"admission webhook \"rancher.cattle.io.clusterroletemplatebindings.management.cattle.io\" denied the request: "#;

fn target() -> Target {
    Target {
        group: "management.cattle.io",
        resource: "clusterroletemplatebindings",
        namespace: Some("c-m-abc".to_owned()),
        name: "rao-a".to_owned(),
    }
}

fn answer(code: u16, auth: Option<&str>, body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some(auth) = auth {
        headers.insert("x-api-cattle-auth", auth.parse().unwrap());
    }
    headers.insert("retry-after", "7".parse().unwrap());
    Answer::new(code, &headers, Bytes::copy_from_slice(body.as_bytes()))
}

fn status(code: u16, reason: &str, message: &str) -> String {
    format!(
        r#"{{"kind":"Status","status":"Failure","message":"{message}","reason":"{reason}","code":{code}}}"#
    )
}

/// Each answer as Rancher 2.15 (or something in front of it) gives it, and the conclusion.
#[test]
fn answers_mean_what_they_prove() {
    use Intent::{Change, Create, Delete, Read};
    let duplicate = format!("{WEBHOOK}duplicate crtb not allowed");
    let escalation = r#"user \"rec-alice\" (groups=[…]) is attempting to grant RBAC permissions not currently held"#;
    let uid = "Operation cannot be fulfilled on x: the UID in the precondition (a) does not match the UID in record (b)";
    let namespace = r#"{"kind":"Status","status":"Failure","message":"namespaces \"c-nope\" not found","reason":"NotFound","details":{"name":"c-nope","kind":"namespaces"},"code":404}"#;
    let unknown_cluster = r#"{"Code":{"Code":"NotFound","Status":404},"Message":"clusters.management.cattle.io \"c-nope1\" not found","Cause":null,"FieldName":""}"#;
    let html = "<!DOCTYPE html><html><head><title>503 Service Unavailable</title></head></html>";
    let norman =
        r#"{"type":"error","status":"401","message":"Unauthorized 401: must authenticate"}"#;
    let norman_number =
        r#"{"baseType":"error","code":"PermissionDenied","status":403,"type":"error"}"#;
    let cases = [
        (
            Read,
            answer(
                401,
                Some("false"),
                &status(401, "Unauthorized", "Unauthorized"),
            ),
            "Unauthenticated",
        ),
        (
            Read,
            answer(401, Some("false"), "not authorized"),
            "Unauthenticated",
        ),
        (Read, answer(401, None, norman), "Unauthenticated"),
        (Read, answer(401, None, html), "Unknown"),
        (Read, answer(403, Some("true"), ""), "Refused"),
        (Read, answer(403, None, ""), "Unknown"),
        (Read, answer(403, None, html), "Unknown"),
        (Read, answer(403, None, norman_number), "Refused"),
        (
            Create,
            answer(403, Some("true"), &status(403, "Forbidden", "no")),
            "Refused",
        ),
        (
            Create,
            answer(400, Some("true"), &status(400, "BadRequest", "locked")),
            "Refused",
        ),
        (
            Create,
            answer(422, Some("true"), &status(422, "Invalid", escalation)),
            "Refused",
        ),
        (
            Create,
            answer(409, Some("true"), &status(409, "AlreadyExists", "there")),
            "AlreadyExists",
        ),
        (
            Create,
            answer(409, Some("true"), &status(409, "Conflict", &duplicate)),
            "Duplicate",
        ),
        (Create, answer(409, None, html), "Unknown"),
        (Create, answer(404, Some("true"), namespace), "Refused"),
        (Create, answer(404, None, namespace), "Unknown"),
        (
            Delete,
            answer(409, Some("true"), &status(409, "Conflict", uid)),
            "UidMismatch",
        ),
        (
            Change,
            answer(
                409,
                Some("true"),
                &status(409, "Conflict", "the object has been modified"),
            ),
            "Conflict",
        ),
        (Read, answer(429, None, ""), "Throttled"),
        (Read, answer(404, Some("true"), STATUS_404), "NotFound"),
        (Delete, answer(404, Some("true"), STATUS_404), "NotFound"),
        (Read, answer(404, Some("false"), STATUS_404), "Unknown"),
        (Read, answer(404, None, STATUS_404), "Unknown"),
        (Read, answer(404, Some("true"), namespace), "Unknown"),
        (Read, answer(404, Some("true"), unknown_cluster), "Unknown"),
        (
            Read,
            answer(404, Some("true"), "404 page not found"),
            "Unknown",
        ),
        (Read, answer(404, Some("true"), ""), "Unknown"),
        (Read, answer(404, None, html), "Unknown"),
        (
            Create,
            answer(
                500,
                Some("true"),
                &status(500, "InternalError", "failed calling webhook"),
            ),
            "Unknown",
        ),
        (
            Create,
            answer(500, Some("true"), "http: request body too large"),
            "Unknown",
        ),
        (Read, answer(503, None, html), "Unknown"),
        (Read, answer(302, None, ""), "Unknown"),
        (Read, answer(504, None, ""), "Unknown"),
    ];
    for (intent, answer, want) in cases {
        let error = answer.error(intent, Some(&target()), true);
        assert_eq!(error.reason(), want, "{intent:?} {answer:?} gave {error}");
        assert_eq!(error.is_clear(), want != "Unknown", "{error}");
    }
}

#[test]
fn absence_is_proven_for_the_very_object_only() {
    let genuine = answer(404, Some("true"), STATUS_404);
    assert!(ProofOfAbsence::read(&target(), &genuine, true).is_some());
    let other_name = Target {
        name: "rao-b".to_owned(),
        ..target()
    };
    let other_kind = Target {
        resource: "projectroletemplatebindings",
        ..target()
    };
    for other in [other_name, other_kind] {
        assert!(
            ProofOfAbsence::read(&other, &genuine, true).is_none(),
            "{other}"
        );
    }
    let gone_with_200 = answer(200, Some("true"), STATUS_404);
    assert!(ProofOfAbsence::read(&target(), &gone_with_200, true).is_none());
    let forbidden = answer(
        404,
        Some("true"),
        &STATUS_404.replace("\"NotFound\"", "\"Forbidden\""),
    );
    assert!(ProofOfAbsence::read(&target(), &forbidden, true).is_none());
    let direct = answer(404, None, STATUS_404);
    assert!(ProofOfAbsence::read(&target(), &direct, false).is_some());
}

#[test]
fn throttling_says_how_long() {
    let error = answer(429, None, "slow down").error(Intent::Read, None, true);
    assert!(
        matches!(error, Error::Throttled { retry_after: Some(d), .. } if d == Duration::from_secs(7))
    );
}

#[test]
fn messages_are_bounded_and_clean() {
    let long = format!(
        r#"{{"kind":"Status","message":"a\u0007b{}","reason":"Forbidden","code":403}}"#,
        "é".repeat(5000)
    );
    let Error::Refused { message, .. } =
        answer(403, Some("true"), &long).error(Intent::Read, None, true)
    else {
        panic!("a refusal");
    };
    assert!(
        message.starts_with("abé") && message.len() <= plain::MAX_MESSAGE,
        "{message}"
    );
    let error = answer(502, None, &"<html>".repeat(100_000)).error(Intent::Read, None, true);
    assert!(error.to_string().len() < 600);
}
