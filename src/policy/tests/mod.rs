//! The two stages together. What the tests share is here: a policy `web`, and a request that it allows.

mod limits;
mod overlays;
mod owners;
mod properties;
mod requesters;
mod rules;
mod subjects;
mod targets;
mod terms;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Allowed, ClusterFacts, Facts, MESSAGE_MAX, NamespaceFacts, Policy, ProjectFacts, Refusal, RefusalReason, Request,
    RoleFacts, SubjectFacts, TargetFacts, Unfinished, candidates, judge, overlays,
};
use crate::api::{AccessGrantSpec, integration::IdentityMapping};

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Lays `patch` over `base`, as a JSON merge patch (RFC 7386) does.
fn merged(base: Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut object = match base {
        Value::Object(object) => object,
        _ => serde_json::Map::new(),
    };
    for (key, change) in changes {
        let held = object.remove(key).unwrap_or(Value::Null);
        if !change.is_null() {
            object.insert(key.clone(), merged(held, change));
        }
    }
    Value::Object(object)
}

/// The policy `name`, changed by a merge patch of its spec.
fn policy(name: &str, patch: Value) -> Policy {
    let base = json!({
        "integrationRef": {"name": "prod"},
        "namespaceSelector": {"matchLabels": {"team": "web"}},
        "requesters": [{"kind": "Group", "name": "web-devs"}],
        "access": [
            {"cluster": {"names": ["c-1"], "roles": ["cluster-member"]}},
            {"project": {"clusterSelector": {"matchLabels": {"env": "prod"}}, "selector": {"matchLabels": {"team": "web"}}, "roles": ["project-member"]}},
        ],
    });
    Policy {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        generation: 3,
        spec: serde_json::from_value(merged(base, &patch)).unwrap(),
    }
}

/// A grant for its requester on a cluster and a project, changed by a merge patch.
fn grant(patch: Value) -> AccessGrantSpec {
    let base = json!({
        "integrationRef": {"name": "prod"},
        "requestedBy": {"username": "alice", "groups": ["web-devs"]},
        "access": [
            {"cluster": {"name": "c-1", "role": "cluster-member"}},
            {"project": {"cluster": "c-2", "name": "p-1", "role": "project-member"}},
        ],
    });
    serde_json::from_value(merged(base, &patch)).unwrap()
}

/// What Rancher says of that grant.
fn facts() -> Facts {
    let cluster = |id: &str| ClusterFacts {
        id: id.to_owned(),
        uid: format!("uid-{id}"),
        display_name: "Production".to_owned(),
        labels: labels(&[("env", "prod")]),
        annotations: BTreeMap::new(),
        hosts_rancher: false,
        hosts_operator: false,
    };
    let role = |id: &str| RoleFacts {
        id: id.to_owned(),
        privileged: None,
        display_name: String::new(),
        fingerprint: String::new(),
    };
    Facts {
        targets: vec![
            TargetFacts { cluster: Some(cluster("c-1")), project: None, namespace: None, role: role("cluster-member") },
            TargetFacts {
                cluster: Some(cluster("c-2")),
                project: Some(ProjectFacts {
                    id: "p-1".to_owned(),
                    uid: "uid-p-1".to_owned(),
                    display_name: "Web".to_owned(),
                    labels: labels(&[("team", "web")]),
                    annotations: BTreeMap::new(),
                    system: false,
                }),
                namespace: None,
                role: role("project-member"),
            },
        ],
        subject: SubjectFacts {
            user_id: Some("u-alice".to_owned()),
            principals: vec!["local://u-alice".to_owned(), "okta_user://alice".to_owned()],
            group: None,
        },
        continuous: None,
    }
}

fn mapping() -> IdentityMapping {
    IdentityMapping { user_principal: Some("okta_user://{name}".to_owned()), group_principal: None }
}

/// Both stages, from a namespace of team `web`.
fn both(spec: &AccessGrantSpec, policies: &[Policy], facts: &Facts) -> Result<Allowed, Refusal> {
    let (labels, mapping) = (labels(&[("team", "web")]), mapping());
    let request = Request {
        namespace: "web-prod",
        namespace_labels: &labels,
        spec,
        mapping: Some(&mapping),
        from: None,
        unfinished: &Unfinished::default(),
    };
    let found = candidates(&request, policies, now())?;
    judge(&request, &found, &overlays(&request, policies), facts, now())
}

/// The first stage alone.
fn first(spec: &AccessGrantSpec, policies: &[Policy]) -> Result<Vec<String>, Refusal> {
    let (labels, mapping) = (labels(&[("team", "web")]), mapping());
    let request = Request {
        namespace: "web-prod",
        namespace_labels: &labels,
        spec,
        mapping: Some(&mapping),
        from: None,
        unfinished: &Unfinished::default(),
    };
    let found = candidates(&request, policies, now())?;
    Ok(found.into_iter().map(|policy| policy.name.clone()).collect())
}

/// Asserts a refusal: its reason, and what its message must say.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, reason: RefusalReason, says: &[&str]) {
    let refusal = result.unwrap_err();
    assert_eq!(refusal.reason, reason, "{refusal}");
    assert!(refusal.message.len() <= MESSAGE_MAX);
    for part in says {
        assert!(refusal.message.contains(part), "{part:?} is not in: {refusal}");
    }
}

/// Asserts that both stages refuse the grant by the policy `web`, both changed.
#[track_caller]
fn not_by(policy_patch: Value, grant_patch: Value, reason: RefusalReason, says: &[&str]) {
    let policies = [policy("web", policy_patch)];
    let spec = grant(grant_patch);
    refused(first(&spec, &policies), reason, says);
    refused(both(&spec, &policies, &facts()), reason, says);
}
