//! What is not allowed, and how that is said.

use rancher_access_operator::api::status::Phase;
use serde_json::{Value, json};

use crate::{
    kinds::{self, Grant, on_cluster, says},
    run, shared, until,
    world::{CLUSTER, GROUP, World},
};

/// A policy's changes, who asks and for what, and the rule that stands against it.
struct Case {
    name: &'static str,
    groups: &'static [&'static str],
    policy: Value,
    access: Value,
    /// The grant's own changes.
    spec: Value,
    reason: &'static str,
    words: &'static str,
}

fn case(name: &'static str, reason: &'static str, words: &'static str) -> Case {
    Case { name, groups: &[GROUP], policy: json!({}), access: Value::Null, spec: json!({}), reason, words }
}

fn cases() -> Vec<Case> {
    let owner = json!({"cluster": {"name": CLUSTER, "role": "cluster-owner"}});
    let local = json!({"cluster": {"name": "local", "role": "nodes-view"}});
    vec![
        Case { groups: &["strangers"], ..case("stranger", "NoPolicy", "spec.requestedBy") },
        Case {
            policy: json!({"access": [{"cluster": {"names": [CLUSTER], "roles": ["cluster-owner"]}}]}),
            access: owner,
            ..case("owner", "PrivilegedRole", "allowPrivileged")
        },
        Case {
            policy: json!({"access": [{"cluster": {"names": ["local"], "roles": ["nodes-view"]}}]}),
            access: local,
            ..case("local", "PrivilegedTarget", "allowPrivileged")
        },
        Case { policy: json!({"requireReason": true}), ..case("reasonless", "ReasonRequired", "spec.requireReason") },
        Case { spec: json!({"duration": "9h"}), ..case("longest", "DurationTooLong", "spec.duration.max") },
        Case {
            access: json!({"cluster": {"name": CLUSTER, "role": "projects-create"}}),
            ..case("otherrole", "RoleNotAllowed", "not with role projects-create")
        },
    ]
}

#[test]
fn what_no_policy_allows_is_not_given_and_the_rule_is_named() {
    run(async {
        let world = shared::world().await;
        for case in cases() {
            let grant = ask(&world, &case).await;
            let status = grant.until(Phase::Pending, 10).await;
            // The first look may come before the policy that was just written.
            let (ready, _) = until(case.name, 10, async || {
                let ready = says(&grant.status().await, "Ready").clone();
                (ready.reason == case.reason).then_some(ready)
            })
            .await;
            assert!(ready.message.contains(case.words), "{}: {ready:?}", case.name);
            // Whom no policy knows learns the name of none.
            let known = case.reason != "NoPolicy";
            assert_eq!(ready.message.contains(case.name), known, "the policy is named: {ready:?}");
            assert!(status.bindings.is_empty() && status.expires_time.is_none(), "{status:?}");
            assert_eq!(world.bindings_of(case.name), [] as [Value; 0]);
        }
    });
}

async fn ask(world: &World, case: &Case) -> Grant {
    world.person(case.name);
    world.namespace(case.name).await;
    let mut policy = kinds::policy(case.name, &world.project);
    merge(&mut policy["spec"], &case.policy);
    world.apply(&policy).await;
    let mut spec = on_cluster("1h");
    spec["policyRef"] = json!({"name": case.name});
    if !case.access.is_null() {
        spec["access"] = json!([case.access]);
    }
    merge(&mut spec, &case.spec);
    let client = world.plane.client_for(case.name, case.groups).await;
    kinds::create(&client, case.name, "asked", spec).await.unwrap();
    Grant::new(world.admin.clone(), case.name, "asked")
}

fn merge(into: &mut Value, changes: &Value) {
    for (key, value) in changes.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

#[test]
fn without_any_policy_nothing_is_given() {
    run(async {
        let world = shared::world().await;
        world.apply(&world.integration("spare")).await;
        world.integration_says("spare", "Ready", "True", 20).await;
        world.namespace("lawless").await;
        world.person("ivan");
        let mut spec = on_cluster("1h");
        spec["integrationRef"]["name"] = "spare".into();
        let grant = world.ask("ivan", "lawless", "asked", spec).await;
        let status = grant.until(Phase::Pending, 10).await;
        assert_eq!(says(&status, "Ready").reason, "NoPolicy", "{status:?}");
        assert_eq!(world.bindings_of("ivan"), [] as [Value; 0]);
    });
}
