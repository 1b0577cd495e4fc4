//! The operator's rights are what it uses, and no verb more.
//!
//! There are no exceptions: a right that only a rare path needs is used by taking that path here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use testkit::control_plane::AuditEntry;

use crate::{
    approvals, discovery, ends,
    kinds::on_cluster,
    lives::whole_life,
    local_users, run,
    world::{NAME, OWN, World},
};

/// Who the operator is to the API server.
const OPERATOR: &str = "system:serviceaccount:rancher-access-system:rancher-access-operator";

/// One right as `config/rbac` grants it, taken apart: binding kind, group, resource, name, verb.
type Right = (String, String, String, String, String);

#[test]
fn it_has_the_rights_that_it_uses_and_no_verb_more() {
    run(async {
        let world = World::start().await;
        world.place("web").await;
        let operator = world.operator("audited", &[]);
        world.ready().await;
        exercise(&world).await;
        assert!(operator.terminate().await.success());

        let granted = granted();
        // The log is written as requests end, the last of them a moment ago.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let used = used(&world.plane.audit().unwrap(), &granted);
        let idle: Vec<_> = granted.difference(&used).collect();
        assert!(idle.is_empty(), "granted, but never used: {idle:#?}");
        let beyond: Vec<_> = used.difference(&granted).collect();
        assert!(beyond.is_empty(), "used, but not by a rule of ours as it is written: {beyond:#?}");
    });
}

/// All that an operator ever does: see `lives`, `ends`, `discovery` and `local_users`, a key that is replaced, one that goes and comes back, which tells the same Event twice, and
/// admission that goes and comes back.
async fn exercise(world: &World) {
    tokio::join!(
        whole_life(world, "web", "alice", on_cluster("2s"), "cluster-member", false),
        ends::deleted(world, "web", "bob"),
        ends::earlier(world, "web", "carol"),
        ends::foreign(world, "web", "dave"),
        ends::removed(world, "web", "erin"),
        ends::overlap(world, "web", "frank"),
        approvals::approved(world, "quorum", "grace"),
        discovery::follow(world),
        local_users::live(world, "robots", "rosa"),
    );
    // A new key is written into the Secret.
    let rotate = ["patch", "rint", "prod", "--type=merge", "-p", r#"{"spec":{"rotateNow":"audit"}}"#];
    world.plane.kubectl(&rotate).await.unwrap().expect_success();
    world.integration_says("prod", "KeyRotation", "True", 30).await;
    let secret = ["delete", "secret", "rancher-prod", "-n", OWN];
    world.plane.kubectl(&secret).await.unwrap().expect_success();
    world.integration_says("prod", "Ready", "False", 20).await;
    world.apply(&world.connection()).await;
    world.ready().await;
    // A gap in the proof of identities is written into the record that stands.
    let binding = ["delete", "validatingadmissionpolicybinding", "rancheraccess-abandon"];
    world.plane.kubectl(&binding).await.unwrap().expect_success();
    world.integration_says("prod", "AdmissionEnforced", "False", 20).await;
    let admission = format!("{}/config/admission", env!("CARGO_MANIFEST_DIR"));
    world.plane.kubectl(&["apply", "-k", &admission]).await.unwrap().expect_success();
    world.integration_says("prod", "AdmissionEnforced", "True", 20).await;
}

/// What it was allowed by our own bindings, as rights that were granted. Fails where it was refused anything, or used a
/// right that it has from elsewhere.
fn used(requests: &[AuditEntry], granted: &BTreeSet<Right>) -> BTreeSet<Right> {
    let mut used = BTreeSet::new();
    let mine = requests.iter().filter(|request| request.user == OPERATOR);
    for request in mine {
        let note = |key: &str| request.annotations.get(key).map(String::as_str).unwrap_or_default();
        assert_eq!(note("authorization.k8s.io/decision"), "allow", "{request:?}");
        let reason = note("authorization.k8s.io/reason");
        let Some(binding) = ["ClusterRoleBinding", "RoleBinding"]
            .into_iter()
            .find(|kind| reason.contains(&format!("by {kind} \"{NAME}")))
        else {
            // What everybody may: ask who he is.
            assert_eq!(
                (request.resource.as_str(), request.verb.as_str()),
                ("selfsubjectreviews", "create"),
                "{request:?}"
            );
            continue;
        };
        let resource = match request.subresource.as_str() {
            "" => request.resource.clone(),
            sub => format!("{}/{sub}", request.resource),
        };
        let right = |name: &str| {
            (binding.to_owned(), request.group.clone(), resource.clone(), name.to_owned(), request.verb.clone())
        };
        let by_name = right(&request.name);
        used.insert(if granted.contains(&by_name) { by_name } else { right("") });
    }
    used
}

/// All rights of the operator, one by one.
fn granted() -> BTreeSet<Right> {
    let text = include_str!("../../config/rbac/operator.yaml");
    let documents: Vec<Value> = text.split("\n---\n").map(|one| serde_saphyr::from_str(one).unwrap()).collect();
    let bindings: BTreeMap<_, _> = [("ClusterRole", "ClusterRoleBinding"), ("Role", "RoleBinding")].into();
    let mut granted = BTreeSet::new();
    for role in &documents {
        let Some(binding) = bindings.get(role["kind"].as_str().unwrap()) else { continue };
        for rule in role["rules"].as_array().unwrap() {
            granted.extend(taken_apart(binding, rule));
        }
    }
    granted
}

fn taken_apart(binding: &str, rule: &Value) -> Vec<Right> {
    let list = |field: &str| -> Vec<String> {
        let values = rule[field].as_array().into_iter().flatten();
        values.map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    let names = match list("resourceNames") {
        none if none.is_empty() => vec![String::new()],
        some => some,
    };
    let mut rights = Vec::new();
    for group in list("apiGroups") {
        for resource in list("resources") {
            for name in &names {
                for verb in list("verbs") {
                    let right = (binding.to_owned(), group.clone(), resource.clone(), name.clone(), verb);
                    assert!(right.2 != "*" && right.4 != "*" && right.1 != "*", "{right:?}");
                    rights.push(right);
                }
            }
        }
    }
    rights
}
