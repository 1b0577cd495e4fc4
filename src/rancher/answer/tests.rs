use super::*;

const STATUS_404: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"x \"rao-a\" not found","reason":"NotFound","details":{"name":"rao-a","group":"management.cattle.io","kind":"clusterroletemplatebindings"},"code":404}"#;
const WEBHOOK: &str =
    r#"admission webhook \"rancher.cattle.io.clusterroletemplatebindings.management.cattle.io\" denied the request: "#;

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
    format!(r#"{{"kind":"Status","status":"Failure","message":"{message}","reason":"{reason}","code":{code}}}"#)
}

const NAMESPACE_404: &str = r#"{"kind":"Status","status":"Failure","message":"namespaces \"c-nope\" not found","reason":"NotFound","details":{"name":"c-nope","kind":"namespaces"},"code":404}"#;
const CLUSTER_404: &str = r#"{"Code":{"Code":"NotFound","Status":404},"Message":"clusters.management.cattle.io \"c-nope1\" not found","Cause":null,"FieldName":""}"#;
const HTML: &str = "<!DOCTYPE html><html><head><title>503 Service Unavailable</title></head></html>";
const NORMAN_401: &str = r#"{"type":"error","status":"401","message":"Unauthorized 401: must authenticate"}"#;
const NORMAN_403: &str = r#"{"baseType":"error","code":"PermissionDenied","status":403,"type":"error"}"#;
const OTHER_UID: &str =
    "Operation cannot be fulfilled on x: the UID in the precondition (a) does not match the UID in record (b)";

const SIGNED: Option<&str> = Some("true");
const UNKNOWN_KEY: Option<&str> = Some("false");

/// An answer as Rancher 2.15 (or something in front of it) gives it means this.
#[track_caller]
fn means(want: &str, intent: Intent, code: u16, auth: Option<&str>, body: &str) {
    let error = answer(code, auth, body).error(intent, Some(&target()), true);
    assert_eq!(error.reason(), want, "{intent:?} {code} {auth:?} {body} gave {error}");
    assert_eq!(error.is_clear(), want != "Unknown", "{error}");
}

#[test]
fn a_key_that_is_not_accepted() {
    use Intent::Read;
    means("Unauthenticated", Read, 401, UNKNOWN_KEY, &status(401, "Unauthorized", "Unauthorized"));
    means("Unauthenticated", Read, 401, UNKNOWN_KEY, "not authorized");
    means("Unauthenticated", Read, 401, None, "not authorized");
    means("Unauthenticated", Read, 401, None, NORMAN_401);
    means("Unknown", Read, 401, None, HTML);
}

#[test]
fn a_refusal_is_believed_from_rancher_alone() {
    use Intent::{Create, Read};
    let lacking = "attempting to grant RBAC permissions not currently held";
    means("Refused", Read, 403, SIGNED, "");
    means("Unknown", Read, 403, None, "");
    means("Unknown", Read, 403, None, HTML);
    means("Refused", Read, 403, None, NORMAN_403);
    means("Refused", Create, 403, SIGNED, &status(403, "Forbidden", "no"));
    means("Refused", Create, 400, SIGNED, &status(400, "BadRequest", "locked"));
    means("Refused", Create, 422, SIGNED, &status(422, "Invalid", lacking));
    means("Throttled", Read, 429, None, "");
}

#[test]
fn the_conflicts_are_told_apart() {
    use Intent::{Change, Create, Delete};
    let duplicate = format!("{WEBHOOK}duplicate crtb not allowed");
    let modified = "the object has been modified";
    means("AlreadyExists", Create, 409, SIGNED, &status(409, "AlreadyExists", "there"));
    means("Duplicate", Create, 409, SIGNED, &status(409, "Conflict", &duplicate));
    means("Unknown", Create, 409, None, HTML);
    means("UidMismatch", Delete, 409, SIGNED, &status(409, "Conflict", OTHER_UID));
    means("Conflict", Change, 409, SIGNED, &status(409, "Conflict", modified));
}

#[test]
fn a_404_is_proof_only_in_one_form() {
    use Intent::{Create, Delete, Read};
    means("NotFound", Read, 404, SIGNED, STATUS_404);
    means("NotFound", Delete, 404, SIGNED, STATUS_404);
    means("Unknown", Read, 404, UNKNOWN_KEY, STATUS_404);
    means("Unknown", Read, 404, None, STATUS_404);
    means("Unknown", Read, 404, SIGNED, NAMESPACE_404);
    means("Unknown", Read, 404, SIGNED, CLUSTER_404);
    means("Unknown", Read, 404, SIGNED, "404 page not found");
    means("Unknown", Read, 404, SIGNED, "");
    means("Unknown", Read, 404, None, HTML);
    means("Refused", Create, 404, SIGNED, NAMESPACE_404);
    means("Unknown", Create, 404, None, NAMESPACE_404);
}

#[test]
fn everything_else_is_unclear() {
    use Intent::{Create, Read};
    let webhook = status(500, "InternalError", "failed calling webhook");
    means("Unknown", Create, 500, SIGNED, &webhook);
    means("Unknown", Create, 500, SIGNED, "http: request body too large");
    means("Unknown", Read, 503, None, HTML);
    means("Unknown", Read, 302, None, "");
    means("Unknown", Read, 504, None, "");
}

#[test]
fn absence_is_proven_for_the_very_object_only() {
    let genuine = answer(404, Some("true"), STATUS_404);
    assert!(ProofOfAbsence::read(&target(), &genuine, true).is_some());
    let other_name = Target { name: "rao-b".to_owned(), ..target() };
    let other_kind = Target { resource: "projectroletemplatebindings", ..target() };
    for other in [other_name, other_kind] {
        assert!(ProofOfAbsence::read(&other, &genuine, true).is_none(), "{other}");
    }
    let gone_with_200 = answer(200, Some("true"), STATUS_404);
    assert!(ProofOfAbsence::read(&target(), &gone_with_200, true).is_none());
    let forbidden = answer(404, Some("true"), &STATUS_404.replace("\"NotFound\"", "\"Forbidden\""));
    assert!(ProofOfAbsence::read(&target(), &forbidden, true).is_none());
    let direct = answer(404, None, STATUS_404);
    assert!(ProofOfAbsence::read(&target(), &direct, false).is_some());
}

#[test]
fn throttling_says_how_long() {
    let error = answer(429, None, "slow down").error(Intent::Read, None, true);
    assert!(matches!(error, Error::Throttled { retry_after: Some(d), .. } if d == Duration::from_secs(7)));
}

#[test]
fn messages_are_bounded_and_clean() {
    let long =
        format!(r#"{{"kind":"Status","message":"a\u0007b{}","reason":"Forbidden","code":403}}"#, "é".repeat(5000));
    let Error::Refused { message, .. } = answer(403, Some("true"), &long).error(Intent::Read, None, true) else {
        panic!("a refusal");
    };
    assert!(message.starts_with("abé") && message.len() <= plain::MAX_MESSAGE, "{message}");
    let error = answer(502, None, &"<html>".repeat(100_000)).error(Intent::Read, None, true);
    assert!(error.to_string().len() < 600);
}
