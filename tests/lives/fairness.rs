//! Nobody's trouble is anybody else's: how late one team's access ends while others have a bad day.
//!
//! `IN_FULL=1 cargo test --test lives fairness -- --nocapture --test-threads 1` prints what is measured, at full size.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Api;
use rancher_access_operator::api::{
    AccessGrant, condition,
    status::{BindingState, Phase},
};
use serde_json::{Value, json};
use testkit::{
    apiserver::Gvr,
    rancher::{FaultAction, FaultRule, Model, Version},
};

use crate::{
    eight,
    embedded::{
        apply,
        world::{CLUSTER, Given, World, crtbs},
    },
};

/// How long each request to Rancher takes.
const LATENCY: Duration = Duration::from_millis(30);

/// Where team A's trouble is.
pub const SICK: &str = "c-m-sick0001";

/// What a measured lag may be above that of an idle world.
const NOISE: SignedDuration = SignedDuration::from_millis(300);

/// The end of all grants that are measured.
pub fn end() -> Timestamp {
    "2026-12-01T08:10:00Z".parse().unwrap()
}

/// In full where `IN_FULL` is set; else a tenth, for each write takes the in-memory API server some milliseconds.
fn many(count: usize) -> usize {
    if std::env::var_os("IN_FULL").is_some() { count } else { count / 10 }
}

/// Two teams, each with a namespace, and two clusters.
pub async fn world() -> World {
    let given = Given { version: Version::V2_15, model: Model::Legacy, ..Given::default() };
    let mut world = World::with_latency(eight(), given, LATENCY).await;
    world.rancher.add_cluster(SICK, "sick", &[("env", "prod")]);
    world
        .rancher
        .add_role_template(json!({"metadata": {"name": "doomed"}, "context": "cluster", "displayName": "doomed",
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}));
    let admin = world.admin();
    for team in ["team-a", "team-b"] {
        let namespace = json!({"metadata": {"name": team, "labels": {"team": "web"}}});
        apply(&admin, with(namespace, "v1", "Namespace")).await;
    }
    let policy = json!({"metadata": {"name": "fair"},
        "spec": {"integrationRef": {"name": "prod"}, "namespaceSelector": {"matchLabels": {"team": "web"}},
            "requesters": [{"kind": "Group", "name": "web-devs"}], "subjects": {"groups": ["okta_group://web-*"]},
            "access": [{"cluster": {"names": [CLUSTER, SICK], "roles": ["cluster-member", "doomed"]}}],
            "duration": {"default": "1h", "max": "8h"}}});
    apply(&admin, with(policy, "rancheraccess.io/v1alpha1", "AccessPolicy")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.start().await;
    world
}

pub fn with(mut object: Value, version: &str, kind: &str) -> Value {
    object["apiVersion"] = version.into();
    object["kind"] = kind.into();
    object
}

/// Asks for access of one more group of that team.
pub async fn ask(world: &World, team: &str, name: &str, cluster: &str, role: &str, end: Timestamp) {
    let object = json!({"metadata": {"name": name, "namespace": team},
        "spec": {"integrationRef": {"name": "prod"}, "requestedBy": {"username": "alice", "groups": ["web-devs"]},
            "subject": {"group": format!("okta_group://web-{name}")},
            "access": [{"cluster": {"name": cluster, "role": role}}], "endTime": end}});
    let client = world.server.client_as("alice", &["web-devs", "system:authenticated"]);
    apply(&client, with(object, "rancheraccess.io/v1alpha1", "AccessGrant")).await;
}

/// So many grants of team A, in force.
async fn team_a(world: &World, count: usize, cluster: &str, role: &str) {
    for n in 0..count {
        ask(world, "team-a", &format!("a-{n}"), cluster, role, end()).await;
    }
    let all = || async { in_phase(world, Phase::Active) >= count };
    world.until("team A's grants are active", Duration::from_secs(600), all).await;
}

/// Team B's grant, in force; its binding's name.
pub async fn team_b(world: &World, cluster: &str) -> String {
    ask(world, "team-b", "b", cluster, "cluster-member", end()).await;
    let active = || async { grant(world, "team-b", "b").await.status.unwrap_or_default().phase == Some(Phase::Active) };
    world.until("team B's grant is active", Duration::from_secs(60), active).await;
    grant(world, "team-b", "b").await.status.expect("a status").bindings[0].name.clone()
}

pub async fn grant(world: &World, team: &str, name: &str) -> AccessGrant {
    Api::<AccessGrant>::namespaced(world.admin(), team).get(name).await.expect("the grant")
}

fn in_phase(world: &World, phase: Phase) -> usize {
    let grants = world.server.list(&Gvr::new("rancheraccess.io", "v1alpha1", "accessgrants"), Some("team-a"));
    let phase = serde_json::to_value(phase).expect("a phase");
    grants.iter().filter(|grant| grant["status"]["phase"] == phase).count()
}

/// Until a moment before the end.
pub async fn almost(world: &World) {
    let left = end().duration_since(world.clock.now()) - SignedDuration::from_secs(5);
    tokio::time::sleep(left.try_into().expect("the end lies ahead")).await;
}

/// Team B's lag: from the end until the binding is gone from Rancher.
pub async fn lag(world: &World, cluster: &str, binding: &str) -> SignedDuration {
    while world.rancher.local().get(&crtbs(), cluster, binding).is_some() {
        assert!(world.clock.now() < end() + SignedDuration::from_secs(100), "team B's access never ends");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.clock.now().duration_since(end())
}

/// Team B's lag in a world where nothing else happens.
async fn idle() -> SignedDuration {
    let world = world().await;
    let binding = team_b(&world, CLUSTER).await;
    almost(&world).await;
    lag(&world, CLUSTER, &binding).await
}

fn told(story: &str, measured: SignedDuration, idle: SignedDuration) {
    println!("| {story} | {:.2} s | idle {:.2} s |", measured.as_secs_f64(), idle.as_secs_f64());
    assert!(measured <= idle + NOISE, "{story}: {measured:#}, and {idle:#} in an idle world");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_away_delays_nobody_elses_end_and_what_waited_goes_when_it_is_back() {
    let idle = idle().await;
    let (world, count) = (world().await, many(200));
    team_a(&world, count, SICK, "cluster-member").await;
    let binding = team_b(&world, CLUSTER).await;
    almost(&world).await;
    world.rancher.cluster_away(SICK, true);
    told(&format!("{count} grants end on a cluster that is away"), lag(&world, CLUSTER, &binding).await, idle);

    // Team A's were deleted all the same, and wait for what Rancher cannot do.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(in_phase(&world, Phase::Revoking), count);
    let left = world.rancher.local().list(&crtbs(), Some(SICK));
    assert!(left.iter().filter(|b| b["metadata"]["labels"]["rancheraccess.io/installation"].is_string()).all(going));
    world.rancher.cluster_away(SICK, false);
    settles(&world, count, "a cluster that was away for 10 minutes").await;
}

/// What waited for something that is back now goes on at once.
async fn settles(world: &World, count: usize, waited_for: &str) {
    let back = world.clock.now();
    world.until("all is settled", Duration::from_secs(60), || async { in_phase(world, Phase::Expired) == count }).await;
    let late = world.clock.now().duration_since(back);
    println!("| {count} that waited for {waited_for}, all settled | {:.1} s |  |", late.as_secs_f64());
    assert!(late < SignedDuration::from_secs(20), "{late:#}");
}

fn going(binding: &Value) -> bool {
    binding["metadata"]["deletionTimestamp"].is_string()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_hangs_delays_nobody_elses_end() {
    let idle = idle().await;
    let (world, count) = (world().await, many(200));
    team_a(&world, count, SICK, "cluster-member").await;
    let binding = team_b(&world, CLUSTER).await;
    let later = end() + SignedDuration::from_secs(4);
    ask(&world, "team-b", "later", SICK, "cluster-member", later).await;
    almost(&world).await;
    world.rancher.fault(FaultRule::on("", &format!("/k8s/clusters/{SICK}/"), FaultAction::Hang));
    told(&format!("{count} grants end on a cluster that hangs"), lag(&world, CLUSTER, &binding).await, idle);

    // Those on it were deleted in time too: only what is looked for there waits.
    let gone = || async {
        let left = world.rancher.local().list(&crtbs(), Some(SICK));
        !left.iter().any(|b| b["groupPrincipalName"].as_str().is_some_and(|g| g.starts_with("okta_group://web-a")))
    };
    world.until("the bindings on it are gone", Duration::from_secs(20), gone).await;
    let late = world.clock.now().duration_since(end());
    println!("| all {count} bindings on that cluster itself | {:.2} s |  |", late.as_secs_f64());
    assert!(late < SignedDuration::from_secs(8), "no call that hangs keeps a place for revoking: {late:#}");
    // One that ends there while the looks for the others hang is not kept from it either.
    let has = || {
        let all = world.rancher.local().list(&crtbs(), Some(SICK));
        all.iter().any(|b| b["groupPrincipalName"] == "okta_group://web-later")
    };
    assert!(has(), "it has not ended");
    world.until("the later one is gone", Duration::from_secs(20), || async { !has() }).await;
    let late = world.clock.now().duration_since(later);
    println!("| one that ends there 4 s later | {:.2} s |  |", late.as_secs_f64());
    assert!(late < SignedDuration::from_secs(1), "{late:#}");

    tokio::time::sleep(Duration::from_secs(120)).await;
    world.rancher.clear_requests();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked =
        world.rancher.requests().iter().filter(|r| r.path.starts_with(&format!("/k8s/clusters/{SICK}/"))).count();
    println!("| requests to that cluster in a minute | {asked} |  |");
    assert!(asked <= 10, "one probes for all: {asked} requests in a minute");
    assert_eq!(in_phase(&world, Phase::Revoking), count);

    world.rancher.clear_faults();
    settles(&world, count, "a cluster that hung for 3 minutes").await;
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_one_team_delays_nobody_elses_end() {
    let idle = idle().await;
    let (world, count) = (world().await, many(500));
    team_a(&world, count, CLUSTER, "cluster-member").await;
    let binding = team_b(&world, CLUSTER).await;
    almost(&world).await;
    tokio::time::sleep(Duration::from_millis(4900)).await;
    let asked = many(300);
    for n in 0..asked {
        let object = json!({"metadata": {"name": format!("p-{n}"), "namespace": "team-a"},
            "spec": {"integrationRef": {"name": "prod"}, "requestedBy": {"username": "alice", "groups": ["web-devs"]},
                "subject": {"group": format!("okta_group://web-p{n}")},
                "access": [{"cluster": {"name": CLUSTER, "role": "cluster-member"}}]}});
        let client = world.server.client_as("alice", &["web-devs", "system:authenticated"]);
        apply(&client, with(object, "rancheraccess.io/v1alpha1", "AccessGrant")).await;
    }
    told(
        &format!("{count} of another team end at once, {asked} are asked for"),
        lag(&world, CLUSTER, &binding).await,
        idle,
    );
    let gone = || async {
        let left = world.rancher.local().list(&crtbs(), Some(CLUSTER));
        !left.iter().any(|b| b["groupPrincipalName"].as_str().is_some_and(|g| g.starts_with("okta_group://web-a")))
    };
    world.until("the storm's bindings are gone", Duration::from_secs(60), gone).await;
    println!(
        "| all {count} bindings of the storm itself | {:.2} s |  |",
        world.clock.now().duration_since(end()).as_secs_f64()
    );
    world
        .until("the storm is settled", Duration::from_secs(60), || async { in_phase(&world, Phase::Expired) == count })
        .await;
    println!(
        "| the same, with all left-overs looked for | {:.2} s |  |",
        world.clock.now().duration_since(end()).as_secs_f64()
    );
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_stuck_delays_nobody_elses_end() {
    let idle = idle().await;
    let (world, count) = (world().await, many(200));
    team_a(&world, count, CLUSTER, "doomed").await;
    let binding = team_b(&world, CLUSTER).await;
    almost(&world).await;
    let roles = Gvr::new("management.cattle.io", "v3", "roletemplates");
    world.rancher.local().delete(&roles, "", "doomed", None).await.expect("the role is deleted");
    told(&format!("{count} deletes on the same cluster are stuck"), lag(&world, CLUSTER, &binding).await, idle);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let stuck = grant(&world, "team-a", "a-7").await.status.expect("a status");
    assert_eq!(stuck.bindings[0].state, BindingState::Present);
    let ready = condition::find(&stuck.conditions, "Ready").expect("a condition");
    assert!(ready.message.contains("doomed"), "{}", ready.message);
}
