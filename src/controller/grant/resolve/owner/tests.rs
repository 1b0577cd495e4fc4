use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use testkit::rancher::{FaultAction, FaultRule, Rancher as Simulator};

use super::*;
use crate::{
    controller::grant::resolve::Unresolved,
    policy::{ClusterFacts, NamespaceFacts, ProjectFacts, RoleFacts},
    rancher::{Key, Release, endpoint::Endpoint},
    runtime::{Backoff, Breaker, CircuitConfig},
};

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

/// A Rancher with some people in it.
fn rancher() -> (Simulator, Connection) {
    let simulator = Simulator::builder().now(now).build();
    simulator.add_user("u-alice", "Alice A.", &["okta_user://alice"]);
    simulator.add_user("u-bob", "bob", &["okta_user://bob"]);
    simulator.add_user("u-twin", "twin", &["okta_user://bob"]);
    simulator.add_user("u-left", "left", &["okta_user://left"]);
    simulator.disable_user("u-left", true);
    simulator.add_user("u-sys", "sys", &["system://provisioning", "okta_user://sys"]);
    simulator.set_groups("u-alice", &["okta_group://web-team"]);
    let key = Key::parse(&simulator.admin_token()).unwrap();
    let endpoint = Endpoint::new("rancher.example.com", 443).unwrap();
    let second = Duration::from_secs(1);
    let circuit = CircuitConfig { threshold: 3, backoff: Backoff::new(second, second, 0), probe_timeout: second };
    let client = Rancher::new(simulator.service(), &endpoint, key);
    (simulator, Connection::new(client, "uuid".to_owned(), Release::default(), Breaker::new(circuit), Arc::default()))
}

fn integration(resource_owner: Value, owners: Value) -> RancherIntegration {
    let groups = "okta_group://{name}";
    let mut spec = json!({"host": "rancher.example.com", "integrationOwner": [{"kind": "Group", "name": "platform"}],
        "identityMapping": {"userPrincipal": "okta_user://{name}", "groupPrincipal": groups}});
    if !resource_owner.is_null() {
        spec["resourceOwner"] = resource_owner;
    }
    serde_json::from_value(json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "RancherIntegration",
        "metadata": {"name": "prod"}, "spec": spec, "status": {"owners": owners}}))
    .unwrap()
}

fn at_once(kind: &str) -> RancherIntegration {
    integration(json!({"key": "owner", "kind": kind, "settle": "0s"}), json!([]))
}

fn marks(owner: &str) -> BTreeMap<String, String> {
    let pair = || ("owner".to_owned(), owner.to_owned());
    (!owner.is_empty()).then(pair).into_iter().collect()
}

fn cluster(id: &str, label: &str) -> TargetFacts {
    let cluster = ClusterFacts {
        id: id.to_owned(),
        uid: format!("uid-{id}"),
        display_name: "Production".to_owned(),
        labels: marks(label),
        annotations: BTreeMap::new(),
        hosts_rancher: false,
        hosts_operator: false,
    };
    let role = RoleFacts {
        id: "cluster-member".to_owned(),
        privileged: None,
        display_name: String::new(),
        fingerprint: String::new(),
    };
    TargetFacts { cluster: Some(cluster), project: None, namespace: None, role }
}

fn project(on: TargetFacts, id: &str, annotation: &str) -> TargetFacts {
    let project = ProjectFacts {
        id: id.to_owned(),
        uid: format!("uid-{id}"),
        display_name: "Web".to_owned(),
        labels: BTreeMap::new(),
        annotations: marks(annotation),
        system: false,
    };
    TargetFacts { project: Some(project), ..on }
}

async fn ask(connection: &Connection, integration: &RancherIntegration, label: &str) -> (Vec<String>, String) {
    let Ok(mut found) = owners(connection, integration, &[cluster("c-1", label)], now()).await else {
        panic!("Rancher could be asked");
    };
    assert_eq!(found.len(), 1);
    let found = found.remove(0);
    (found.candidates.iter().map(|c| format!("{:?} {}", c.kind, c.name)).collect(), found.source)
}

#[tokio::test(start_paused = true)]
async fn each_target_has_the_owner_of_its_own() {
    let (_simulator, connection) = rancher();
    let namespace = NamespaceFacts { name: "api".to_owned(), uid: "uid-api".to_owned(), system: false };
    let targets = [
        project(cluster("c-1", "web-team"), "p-1", ""),
        project(cluster("c-1", "web-team"), "p-2", "web-team"),
        cluster("c-1", "web-team"),
        TargetFacts { namespace: Some(namespace), ..cluster("c-1", "web-team") },
        TargetFacts { cluster: None, ..cluster("", "") },
    ];
    let integration = at_once("Group");
    let Ok(found) = owners(&connection, &integration, &targets, now()).await else { panic!("Rancher could be asked") };
    let said: Vec<_> = found.iter().map(|f| (&*f.resource, &*f.candidates[0].name, &*f.source)).collect();
    let fallback = "integration owner (fallback): ";
    assert_eq!(
        said,
        [
            (
                "project p-1 on cluster c-1",
                "platform",
                &*format!("{fallback}it has no label or annotation owner with a value")
            ),
            ("project p-2 on cluster c-1", "web-team", "annotation owner=web-team"),
            ("cluster c-1", "web-team", "label owner=web-team"),
            ("Rancher as a whole", "platform", &*format!("{fallback}Rancher as a whole has no owner")),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_user_is_somebody_in_rancher_or_nobody() {
    let (_simulator, connection) = rancher();
    let integration = at_once("User");
    for (name, whom) in [("alice", "okta_user://alice"), ("u-alice", "u-alice")] {
        let (candidates, source) = ask(&connection, &integration, name).await;
        assert_eq!((candidates, source), (vec![format!("User {name}")], format!("label owner={name}")), "{whom}");
    }
    let Ok(found) = owners(&connection, &integration, &[cluster("c-1", "alice")], now()).await else { panic!() };
    assert_eq!(found[0].candidates[0].display_name.as_deref(), Some("Alice A."));
    for (name, why) in [
        ("carol", "no user has the principal okta_user://carol"),
        ("Alice", "no user has the principal okta_user://Alice"),
        ("u-carol", "there is no user u-carol"),
        ("bob", "more than one user has the principal okta_user://bob"),
        ("left", "the user u-left is disabled"),
        ("u-sys", "the user u-sys is Rancher's own"),
        ("system:admin", "names that begin with system: are never mapped"),
    ] {
        let (candidates, source) = ask(&connection, &integration, name).await;
        let names = "names nobody in Rancher";
        assert_eq!(source, format!("integration owner (fallback): its label owner={name} {names}: {why}"));
        assert_eq!(candidates, ["Group platform"]);
    }
    let mut unmapped = at_once("User");
    unmapped.spec.identity_mapping = None;
    assert_eq!(ask(&connection, &unmapped, "u-alice").await.0, ["User u-alice"]);
    let (_, source) = ask(&connection, &unmapped, "alice").await;
    assert!(source.ends_with("the integration has no spec.identityMapping.userPrincipal"), "{source}");
}

#[tokio::test(start_paused = true)]
async fn a_group_is_one_that_somebody_is_in_or_none() {
    let (_simulator, connection) = rancher();
    let mut integration = at_once("Group");
    assert_eq!(ask(&connection, &integration, "web-team").await.0, ["Group web-team"]);
    for (name, why) in [
        ("sre", "nobody who ever logged in there is in the group okta_group://sre"),
        ("system:masters", "names that begin with system: are never mapped"),
    ] {
        let (candidates, source) = ask(&connection, &integration, name).await;
        assert!(source.ends_with(why), "{source}");
        assert_eq!(candidates, ["Group platform"]);
    }
    integration.spec.identity_mapping = None;
    let (_, source) = ask(&connection, &integration, "web-team").await;
    assert!(source.ends_with("the integration has no spec.identityMapping.groupPrincipal"), "{source}");
}

#[tokio::test(start_paused = true)]
async fn what_has_not_stood_falls_back_by_the_record() {
    let (_simulator, connection) = rancher();
    let of = |resource: &str, owner: &str, since: &str| {
        let owners = json!([{"resource": resource, "owner": owner, "since": since}]);
        integration(json!({"key": "owner", "kind": "User", "settle": "24h"}), owners)
    };
    let old = "2026-05-31T12:00:00Z";
    assert_eq!(ask(&connection, &of("c-1", "alice", old), "alice").await.0, ["User alice"]);
    for (integration, why) in [
        (of("c-1", "alice", "2026-05-31T12:00:01Z"), "believed from 2026-06-01T12:00:01Z on"),
        (of("c-1", "bob", old), "not in the integration's status yet"),
        (of("c-1:p-1", "alice", old), "not in the integration's status yet"),
    ] {
        let (candidates, source) = ask(&connection, &integration, "alice").await;
        assert!(source.starts_with("integration owner (fallback): ") && source.contains(why), "{source}");
        assert_eq!(candidates, ["Group platform"]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_owner_of_the_integration_nobody_can_approve() {
    let (_simulator, connection) = rancher();
    let mut integration = integration(Value::Null, json!([]));
    let (candidates, source) = ask(&connection, &integration, "alice").await;
    let why = "the integration has no spec.resourceOwner, so nothing says whose this is";
    assert_eq!(
        (candidates, source),
        (vec!["Group platform".to_owned()], format!("integration owner (fallback): {why}"))
    );
    integration.spec.integration_owner.clear();
    let (candidates, source) = ask(&connection, &integration, "alice").await;
    assert!(candidates.is_empty() && source.starts_with("nobody can approve"), "{source}");
}

#[tokio::test(start_paused = true)]
async fn a_rancher_that_cannot_be_asked_makes_nobody_else_an_approver() {
    let (simulator, connection) = rancher();
    simulator.fault(FaultRule::on("GET", "user", FaultAction::Status(500, "no".to_owned())));
    for (kind, value) in [("User", "alice"), ("User", "u-alice"), ("Group", "web-team")] {
        let found = owners(&connection, &at_once(kind), &[cluster("c-1", value)], now()).await;
        assert!(matches!(found, Err(Unresolved::Unknown(_))), "{kind} {value}");
    }
}
