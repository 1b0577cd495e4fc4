//! At most so many grants at a time.

use std::time::Duration;

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rancher_access_operator::api::{AccessPolicy, condition, status::Phase};
use serde_json::{Value, json};
use testkit::{
    apiserver::Gvr,
    rancher::{FaultAction, FaultRule},
};

use crate::{
    SOON,
    embedded::world::{Given, World},
    world,
};

stories![
    a_burst_gets_no_more_than_its_limit,
    a_requester_over_his_limit_waits_and_others_do_not,
    an_extension_takes_the_place_of_what_it_extends,
    a_full_namespace_can_extend_all_its_grants,
    a_moment_of_ignorance_costs_nobody_his_place,
];

async fn limit(world: &World, limits: Value) {
    let api = Api::<AccessPolicy>::all(world.admin());
    let patch = json!({"spec": {"limits": limits}});
    api.patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// How many of the grants are in that phase.
async fn count(world: &World, names: &[String], phase: Phase) -> usize {
    let mut count = 0;
    for name in names {
        count += usize::from(world.phase(name).await == Some(phase));
    }
    count
}

async fn a_burst_gets_no_more_than_its_limit(given: Given) {
    let world = world(given).await;
    limit(&world, json!({"perNamespace": 5})).await;
    let names: Vec<_> = (0..20).map(|i| format!("g{i}")).collect();
    for name in &names {
        let subject = json!({"principal": format!("okta_user://ext-{name}")});
        world.ask("alice", name, json!({"access": world.on_cluster(), "duration": "5m", "subject": subject})).await;
    }
    world.until("five have it", SOON, || async { count(&world, &names, Phase::Active).await == 5 }).await;
    world.until("fifteen wait", SOON, || async { count(&world, &names, Phase::Pending).await == 15 }).await;
    // All of them at one moment.
    let recorded = || {
        let all = world.server.list(&Gvr::new("rancheraccess.io", "v1alpha1", "accessgrants"), None);
        let under_way = |grant: &&Value| {
            let status = &grant["status"];
            !status["bindings"].is_null() && status["revokedTime"].is_null()
        };
        all.iter().filter(under_way).count()
    };
    for name in &names {
        let grant = world.grant(name).await.unwrap();
        if world.phase(name).await == Some(Phase::Pending) {
            let ready = condition::find(&grant.status.as_ref().unwrap().conditions, "Ready").unwrap().clone();
            assert_eq!(ready.reason, "LimitReached");
            let said = &ready.message;
            assert!(
                said.contains("perNamespace is 5") && said.contains("5 grants under it in namespace web"),
                "{said}"
            );
        }
    }
    // As they end, others follow, and never more than five at a time.
    let began = tokio::time::Instant::now();
    while count(&world, &names, Phase::Expired).await < 20 {
        assert!(recorded() <= 5, "{}", world.tell().await);
        assert!(began.elapsed() < Duration::from_secs(1500), "{}", world.tell().await);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(4 * 300 + 60), "they follow at once: {:?}", began.elapsed());
}

async fn a_requester_over_his_limit_waits_and_others_do_not(given: Given) {
    let world = world(given).await;
    limit(&world, json!({"perRequester": 1})).await;
    world.ask("alice", "one", json!({"access": world.on_cluster(), "startTime": "2026-12-01T09:00:00Z"})).await;
    world.reaches("one", Phase::Scheduled, SOON).await;
    world.ask("alice", "two", json!({"access": world.on_project()})).await;
    world.reaches("two", Phase::Pending, SOON).await;
    world.ask("bob", "his", json!({"access": world.on_project()})).await;
    world.reaches("his", Phase::Active, SOON).await;
    world.delete("one").await;
    world.reaches("two", Phase::Active, SOON).await;
}

async fn an_extension_takes_the_place_of_what_it_extends(given: Given) {
    let world = world(given).await;
    limit(&world, json!({"perNamespace": 1, "perRequester": 1})).await;
    world.ask("alice", "first", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("first", Phase::Active, SOON).await;
    world
        .ask("alice", "second", json!({"access": world.on_cluster(), "extends": {"name": "first"}, "duration": "10m"}))
        .await;
    world.reaches("second", Phase::Scheduled, SOON).await;
    world
        .ask("alice", "other", json!({"access": world.on_cluster(), "extends": {"name": "first"}, "duration": "10m"}))
        .await;
    world.reaches("other", Phase::Pending, SOON).await;
    world.reaches("first", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(world.phase("second").await, Some(Phase::Active));
    world.reaches("other", Phase::Failed, SOON).await;
}

async fn a_full_namespace_can_extend_all_its_grants(given: Given) {
    let world = world(given).await;
    limit(&world, json!({"perNamespace": 2})).await;
    let access = [world.on_cluster(), world.on_project()];
    for (name, access) in ["a", "b"].into_iter().zip(&access) {
        world.ask("alice", name, json!({"access": access, "duration": "10m"})).await;
        world.reaches(name, Phase::Active, SOON).await;
    }
    for (name, access) in ["a", "b"].into_iter().zip(&access) {
        let next = format!("{name}-next");
        world.ask("alice", &next, json!({"access": access, "extends": {"name": name}, "duration": "10m"})).await;
        world.reaches(&next, Phase::Scheduled, SOON).await;
    }
    world.ask("bob", "third", json!({"access": access[0], "duration": "10m"})).await;
    world.reaches("third", Phase::Pending, SOON).await;
    for name in ["a", "b"] {
        world.reaches(name, Phase::Expired, Duration::from_secs(700)).await;
        assert_eq!(world.phase(&format!("{name}-next")).await, Some(Phase::Active));
    }
}

async fn a_moment_of_ignorance_costs_nobody_his_place(given: Given) {
    let world = world(given).await;
    limit(&world, json!({"perNamespace": 1})).await;
    world.ask("alice", "planned", json!({"access": world.on_cluster(), "startTime": "2026-12-01T09:00:00Z"})).await;
    world.reaches("planned", Phase::Scheduled, SOON).await;
    let looks = |_: &http::Method, path: &str| path.contains("/roletemplates/");
    world.rancher.fault(FaultRule::new(looks, FaultAction::DropBefore));
    // Any change of a policy has everything judged again.
    limit(&world, json!({"perNamespace": 1, "perRequester": 50})).await;
    world.reaches("planned", Phase::Pending, SOON).await;
    world.rancher.clear_faults();
    world.ask("bob", "other", json!({"access": world.on_project(), "duration": "10m"})).await;
    world.reaches("planned", Phase::Scheduled, Duration::from_secs(120)).await;
    assert_eq!(world.phase("other").await, Some(Phase::Pending));
}
