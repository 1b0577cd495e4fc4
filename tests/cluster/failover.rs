//! Two operators, and none.

use std::{sync::Arc, time::Duration};

use rancher_access_operator::api::status::Phase;
use tokio::time::Instant;

use crate::{
    kinds::{end, on_cluster, since},
    lives::gone_after,
    operator::SHORT_LEASE,
    run, until,
    world::{CLUSTER, World},
};

/// The lease's duration above, the two seconds between a standby's looks, and what a loaded machine takes.
const TAKEOVER: Duration = Duration::from_secs(4 + 2 + 2);

#[test]
fn a_leader_that_is_killed_is_followed_and_nothing_is_made_twice_or_forgotten() {
    run(async {
        let world = Arc::new(World::start().await);
        world.place("web").await;
        let first = world.operator("first", &SHORT_LEASE);
        world.ready().await;
        let second = world.operator("second", &SHORT_LEASE);
        until("the second stands by", 10, async || get(&second.url, "/livez").await.map(drop)).await;
        let watcher = tokio::spawn(watch(world.clone()));

        for person in ["alice", "bob", "carol"] {
            world.person(person);
        }
        let given = world.ask("alice", "web", "given", on_cluster("4s")).await;
        let ends = end(&given.until(Phase::Active, 20).await);
        let kept = world.ask("carol", "web", "kept", on_cluster("1h")).await;
        kept.until(Phase::Active, 20).await;
        // Asked for and dead in the same moment: with luck between the record and the binding.
        let asked = world.ask("bob", "web", "asked", on_cluster("1h")).await;
        first.kill();
        let killed = Instant::now();
        let taken = world.led_by("second").await;
        let takeover = killed.elapsed();
        println!("FIGURE takeover after SIGKILL: {takeover:.1?}, lease 4 s");
        assert!(takeover < TAKEOVER, "{takeover:?}");
        let lag = gone_after(&world, "alice", ends.max(taken)).await;
        println!("FIGURE lease taken to overdue access gone: {lag:.0?}");
        assert!(lag < Duration::from_secs(2), "{lag:?}");
        given.until(Phase::Expired, 20).await;
        asked.until(Phase::Active, 20).await;
        assert_eq!(kept.status().await.phase, Some(Phase::Active));
        assert!(!watcher.is_finished(), "somebody had two bindings at once: {:?}", watcher.await.err());
        watcher.abort();
        let made = world.rancher.requests();
        let path = format!(
            "/k8s/clusters/local/apis/management.cattle.io/v3/namespaces/{CLUSTER}/clusterroletemplatebindings"
        );
        let made = made.iter().filter(|r| r.method == "POST" && r.path.starts_with(&path) && r.code == 201).count();
        assert_eq!(made, 3, "one for each grant, by whichever leader");
        assert!(!second.log().contains("panicked"), "{}", second.log());
    });
}

#[test]
fn what_ends_while_no_operator_runs_ends_when_one_leads() {
    run(async {
        let world = World::start().await;
        world.place("web").await;
        let first = world.operator("first", &SHORT_LEASE);
        world.ready().await;
        world.person("alice");
        let grant = world.ask("alice", "web", "given", on_cluster("3s")).await;
        let ends = end(&grant.until(Phase::Active, 20).await);
        first.kill();
        until("the end has passed", 10, async || (since(ends) > Duration::from_secs(1)).then_some(())).await;
        assert_eq!(world.bindings_of("alice").len(), 1, "nobody was there to take it away");
        let _second = world.operator("second", &SHORT_LEASE);
        let taken = world.led_by("second").await;
        let lag = gone_after(&world, "alice", taken).await;
        println!("FIGURE lease taken at a start to overdue access gone: {lag:.0?}");
        assert!(lag < Duration::from_secs(2), "{lag:?}");
        grant.until(Phase::Expired, 20).await;
    });
}

/// Fails where anybody ever has two bindings.
async fn watch(world: Arc<World>) {
    loop {
        for person in ["alice", "bob", "carol"] {
            let bindings = world.bindings_of(person);
            assert!(bindings.len() < 2, "two bindings at once: {bindings:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What an operator answers.
pub(crate) async fn get(base: &str, path: &str) -> Option<String> {
    rancher_access_operator::runtime::kube_client::install_tls_provider();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{base}{path}")).send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    answer.text().await.ok()
}
