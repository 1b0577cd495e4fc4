//! One team's storm of grants, most of which come to nothing: what it costs another team, at the end of its access and at
//! its beginning.
//!
//! `cargo test --test lives storms -- --nocapture` prints what is measured.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rancher_access_operator::api::status::Phase;
use serde_json::{Value, json};
use testkit::{
    apiserver::Gvr,
    rancher::{FaultAction, FaultRule},
};

use crate::{
    embedded::world::{CLUSTER, World},
    fairness::{self, SICK, almost, ask, grant, lag, team_b},
};

/// How many grants the storm has.
const STORM: usize = 2_000;

/// What another team may have to wait longer than in an idle world, for an end and for a beginning.
const LATER: SignedDuration = SignedDuration::from_secs(1);

/// One of the storm: unreadable, refused, on a cluster that Rancher never tells of, or what could be given.
fn one(n: usize) -> Value {
    let role = if n % 4 == 1 { "cluster-owner" } else { "cluster-member" };
    let cluster = if n % 4 == 2 { SICK } else { CLUSTER };
    let access = json!([{"cluster": {"name": cluster, "role": role}}]);
    json!({"metadata": {"name": format!("storm-{n}"), "namespace": "team-a"},
        "spec": {"integrationRef": {"name": "prod"}, "requestedBy": {"username": "alice", "groups": ["web-devs"]},
            "subject": {"group": format!("okta_group://web-s{n}")},
            "access": if n.is_multiple_of(4) { json!("unreadable") } else { access }}})
}

fn storm(world: &World) {
    let grants = Gvr::new("rancheraccess.io", "v1alpha1", "accessgrants");
    for n in 0..STORM {
        world.server.create_unchecked(&grants, one(n)).expect("stored");
    }
}

/// What team B waits: from the end of its access until that is gone, and from asking until it has access.
async fn waits(stormy: bool) -> (World, [SignedDuration; 2]) {
    let world = fairness::world().await;
    let binding = team_b(&world, CLUSTER).await;
    // So long before the end, the storm is at its height when that comes.
    almost(&world).await;
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    if stormy {
        world.rancher.fault(FaultRule::on("", &format!("/clusters/{SICK}"), FaultAction::Hang));
        storm(&world);
    }
    let asked = world.clock.now();
    let later = fairness::end() + SignedDuration::from_hours(1);
    ask(&world, "team-b", "late", CLUSTER, "cluster-member", later).await;
    let (end, begin) = tokio::join!(lag(&world, CLUSTER, &binding), active(&world, asked));
    (world, [end, begin])
}

/// How long after it was asked for the second grant of team B is active.
async fn active(world: &World, asked: Timestamp) -> SignedDuration {
    while grant(world, "team-b", "late").await.status.unwrap_or_default().phase != Some(Phase::Active) {
        let waited = world.clock.now().duration_since(asked);
        assert!(waited < SignedDuration::from_secs(60), "team B never gets access");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.clock.now().duration_since(asked)
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_two_thousand_delays_neither_the_end_nor_the_beginning_of_anothers_access() {
    let (_, idle) = waits(false).await;
    let (world, stormy) = waits(true).await;
    for (what, (stormy, idle)) in ["end", "beginning"].into_iter().zip(stormy.into_iter().zip(idle)) {
        println!(
            "| {STORM} grants of another team: {what} | {:.2} s | idle {:.2} s |",
            stormy.as_secs_f64(),
            idle.as_secs_f64()
        );
        assert!(stormy <= idle + LATER, "{what}: {stormy:#}, and {idle:#} in an idle world");
    }
    // Each unreadable one cost itself, and nothing broke.
    let metrics = world.operator.as_ref().expect("an operator").metrics.encode().expect("metrics");
    let unreadable = format!("rancher_access_undecodable_objects_total{{kind=\"accessgrants\"}} {}", STORM / 4);
    assert!(metrics.contains(&unreadable), "{metrics}");
    assert!(!metrics.contains("reconcile_panics_total{"), "{metrics}");
}
