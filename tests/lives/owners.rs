//! Whose clusters and projects are: what they say, and since when, in the integration's status.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rancher_access_operator::api::{RancherIntegration, decision::DecisionReason, status::Phase};
use serde_json::{Value, json};
use testkit::{
    apiserver::Gvr,
    rancher::{FaultAction, FaultRule},
};

use crate::{
    SOON,
    approvals::say,
    embedded::world::{CLUSTER, Given, World},
    world,
};

stories![
    what_clusters_and_projects_say_is_kept_since_then,
    who_changes_and_changes_back_begins_anew,
    what_cannot_be_listed_stays_as_it_stood,
    another_key_begins_anew_and_none_forgets_all,
    an_operator_that_begins_goes_on_with_what_stands,
    another_ranchers_labels_say_nothing,
    approvals_of_who_owned_it_before_count_no_more,
];

keyless_stories![what_clusters_and_projects_say_is_kept_since_then];

/// The operator looks every five minutes, at one of its looks at the integration, which are a minute apart.
const SEEN: Duration = Duration::from_secs(365);

async fn patch(world: &World, spec: Value) {
    let api = Api::<RancherIntegration>::all(world.admin());
    api.patch("prod", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.expect("patched");
}

async fn owned_by(world: &World, key: &str) {
    let owner = json!({"key": key, "kind": "Group", "settle": "24h"});
    patch(world, json!({"integrationOwner": [{"kind": "Group", "name": "platform"}], "resourceOwner": owner})).await;
}

type Owners = BTreeMap<String, (String, Timestamp)>;

async fn owners(world: &World) -> Owners {
    let integration = Api::<RancherIntegration>::all(world.admin()).get("prod").await.expect("the integration");
    let owners = integration.status.unwrap_or_default().owners.into_iter();
    owners.map(|record| (record.resource, (record.owner, record.since.0))).collect()
}

/// Waits until a resource has that owner in the status, and says since when; an empty one: none.
async fn says(world: &World, resource: &str, owner: &str, within: Duration) -> Option<Timestamp> {
    let is = |found: &Owners| found.get(resource).map_or("", |(owner, _)| owner) == owner;
    world.until(&format!("{resource} is {owner:?}'s"), within, || async { is(&owners(world).await) }).await;
    owners(world).await.get(resource).map(|(_, since)| *since)
}

/// Writes an annotation on the cluster.
async fn annotate(world: &World, key: &str, value: Value) {
    let clusters = Gvr::new("management.cattle.io", "v3", "clusters");
    let patch = json!({"metadata": {"annotations": {key: value}}});
    world.rancher.local().patch(&clusters, "", CLUSTER, "", &patch).await.expect("annotated");
}

fn project(world: &World) -> String {
    format!("{CLUSTER}:{}", world.project)
}

async fn what_clusters_and_projects_say_is_kept_since_then(given: Given) {
    let world = world(given).await;
    let listed = || world.rancher.requests().iter().any(|asked| asked.path.contains("/v3/projects?"));
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert!(!listed() && owners(&world).await.is_empty(), "nobody asked for it");
    let before = world.clock.now();
    owned_by(&world, "team").await;
    let since = says(&world, &project(&world), "web", SOON).await.expect("a time");
    assert!(since.duration_since(before).abs() < SignedDuration::from_secs(10), "{since} {before}");
    assert_eq!(owners(&world).await.len(), 1, "the others say nothing");
    annotate(&world, "team", json!("sre")).await;
    let later = says(&world, CLUSTER, "sre", SEEN).await.expect("a time");
    assert!(later > since);
    tokio::time::sleep(Duration::from_secs(1000)).await;
    let found = owners(&world).await;
    let of = |resource: &str| found.get(resource).cloned();
    assert_eq!((of(CLUSTER), of(&project(&world))), (Some(("sre".into(), later)), Some(("web".into(), since))));
    // What the status could not show is not kept, and keeps nothing else from being written.
    annotate(&world, "team", json!("s\u{202e}re")).await;
    says(&world, CLUSTER, "", SEEN).await;
    assert_eq!(says(&world, &project(&world), "web", SOON).await, Some(since));
}

async fn who_changes_and_changes_back_begins_anew(given: Given) {
    let world = world(given).await;
    owned_by(&world, "team").await;
    annotate(&world, "team", json!("sre")).await;
    let first = says(&world, CLUSTER, "sre", SEEN).await;
    annotate(&world, "team", json!("eve")).await;
    let changed = says(&world, CLUSTER, "eve", SEEN).await;
    annotate(&world, "team", json!("sre")).await;
    let back = says(&world, CLUSTER, "sre", SEEN).await;
    assert!(first < changed && changed < back, "{first:?} {changed:?} {back:?}");
    // Two that differ are none, and what is gone and comes back begins anew as well.
    let clusters = Gvr::new("management.cattle.io", "v3", "clusters");
    let label = |value: Value| json!({"metadata": {"labels": {"team": value}}});
    world.rancher.local().patch(&clusters, "", CLUSTER, "", &label(json!("web"))).await.expect("labelled");
    says(&world, CLUSTER, "", SEEN).await;
    world.rancher.local().patch(&clusters, "", CLUSTER, "", &label(Value::Null)).await.expect("labelled");
    assert!(says(&world, CLUSTER, "sre", SEEN).await > back);
}

async fn what_cannot_be_listed_stays_as_it_stood(given: Given) {
    let world = world(given).await;
    owned_by(&world, "team").await;
    let since = says(&world, &project(&world), "web", SOON).await;
    annotate(&world, "team", json!("sre")).await;
    let no = FaultAction::Status(500, "no".to_owned());
    world.rancher.fault(FaultRule::on("GET", "/v3/projects?", no));
    tokio::time::sleep(Duration::from_secs(1200)).await;
    let found = owners(&world).await;
    assert_eq!(found, [(project(&world), ("web".to_owned(), since.expect("a time")))].into(), "half a list is none");
    world.rancher.clear_faults();
    // It is tried again at the next look, not only after five minutes.
    says(&world, CLUSTER, "sre", Duration::from_secs(65)).await;
    assert_eq!(says(&world, &project(&world), "web", SOON).await, since);
}

async fn another_key_begins_anew_and_none_forgets_all(given: Given) {
    let world = world(given).await;
    owned_by(&world, "team").await;
    let since = says(&world, &project(&world), "web", SOON).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    owned_by(&world, "env").await;
    says(&world, CLUSTER, "prod", SOON).await;
    says(&world, &project(&world), "", SOON).await;
    owned_by(&world, "team").await;
    let again = says(&world, &project(&world), "web", SOON).await;
    assert!(again > since);
    patch(&world, json!({"resourceOwner": null})).await;
    world.until("nothing is kept", SOON, || async { owners(&world).await.is_empty() }).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    owned_by(&world, "team").await;
    assert!(says(&world, &project(&world), "web", SOON).await > again);
}

async fn an_operator_that_begins_goes_on_with_what_stands(given: Given) {
    let mut world = world(given).await;
    owned_by(&world, "team").await;
    annotate(&world, "team", json!("sre")).await;
    let (ours, theirs) = (says(&world, &project(&world), "web", SOON).await, says(&world, CLUSTER, "sre", SEEN).await);
    world.kill().await;
    annotate(&world, "team", json!("eve")).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    world.launch().await;
    assert!(says(&world, CLUSTER, "eve", Duration::from_secs(60)).await > theirs);
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert_eq!(says(&world, &project(&world), "web", SOON).await, ours);
}

async fn another_ranchers_labels_say_nothing(given: Given) {
    let world = world(given).await;
    owned_by(&world, "team").await;
    let since = says(&world, &project(&world), "web", SOON).await.expect("a time");
    world.rancher.set_install_uuid("another-uuid");
    tokio::time::sleep(Duration::from_secs(120)).await;
    annotate(&world, "team", json!("eve")).await;
    tokio::time::sleep(Duration::from_secs(1200)).await;
    assert_eq!(owners(&world).await, [(project(&world), ("web".to_owned(), since))].into());
}

/// Writes the label by which the world's project says whose it is.
async fn give_project_to(world: &World, owner: &str) {
    let projects = Gvr::new("management.cattle.io", "v3", "projects");
    let patch = json!({"metadata": {"labels": {"owner": owner}}});
    world.rancher.local().patch(&projects, CLUSTER, &world.project, "", &patch).await.expect("labelled");
}

async fn approvals_of_who_owned_it_before_count_no_more(given: Given) {
    let world = world(given).await;
    world.rancher.add_user("u-dave", "dave", &["okta_user://dave"]);
    // A group that Rancher does not know is nobody's.
    world.rancher.set_groups("u-carol", &["okta_group://owners"]);
    world.rancher.set_groups("u-dave", &["okta_group://others"]);
    give_project_to(&world, "owners").await;
    let owner = json!({"key": "owner", "kind": "Group", "settle": "0s"});
    patch(&world, json!({"integrationOwner": [{"kind": "Group", "name": "platform"}], "resourceOwner": owner})).await;
    world.patch_policy(json!({"approval": {"required": 2, "approvers": [{"kind": "ResourceOwner"}]}})).await;
    world.ask("alice", "g", json!({"access": world.on_project()})).await;
    world.reaches("g", Phase::AwaitingApproval, SOON).await;
    assert_eq!(say(&world, ("carol", &["owners"]), "g", "Approve").await, DecisionReason::Counted);
    give_project_to(&world, "others").await;
    let candidates = || async {
        let approvers = world.grant("g").await.and_then(|grant| grant.status?.approvers).expect("approvers");
        approvers.sets.iter().flat_map(|set| &set.candidates).any(|candidate| candidate.name == "others")
    };
    world.until("the new owners may approve", SEEN, candidates).await;
    // The first has approved what is no more; and he is no owner now.
    assert_eq!(say(&world, ("bob", &["owners"]), "g", "Approve").await, DecisionReason::NotApprover);
    assert_eq!(say(&world, ("bob", &["others"]), "g", "Approve").await, DecisionReason::Counted);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.phase("g").await, Some(Phase::AwaitingApproval), "one of two: carol's counts no more");
    assert!(world.bindings_of("u-alice").is_empty());
    assert_eq!(say(&world, ("dave", &["others"]), "g", "Approve").await, DecisionReason::Counted);
    world.reaches("g", Phase::Active, SOON).await;
}
