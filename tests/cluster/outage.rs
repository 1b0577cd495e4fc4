//! The API server away when access ends.

use std::time::Duration;

use rancher_access_operator::api::status::{BindingState, Phase};

use crate::{
    failover::get,
    kinds::{end, on_cluster, since},
    lives::gone_after,
    operator::SHORT_LEASE,
    run, until,
    world::World,
};

#[test]
fn access_ends_on_time_while_the_api_server_is_away() {
    run(async {
        let world = World::start().await;
        world.place("web").await;
        // So short that the lease has lapsed when the end comes.
        let mut operator = world.operator("only", &SHORT_LEASE);
        world.ready().await;
        world.person("alice");
        let grant = world.ask("alice", "web", "given", on_cluster("8s")).await;
        let ends = end(&grant.until(Phase::Active, 20).await);
        world.plane.stop_api_server().await;
        let lag = gone_after(&world, "alice", ends).await;
        println!("FIGURE end to gone while the API server is away: {lag:.0?}");
        assert!(lag < Duration::from_secs(2), "{lag:?}");
        assert_eq!(world.rancher.access_of("u-alice"), []);
        // Well after the lease is over: the process stays, for what else may end.
        until("the lease is long over", 10, async || (since(ends) > Duration::from_secs(3)).then_some(())).await;
        assert!(operator.runs(), "it lives on its memory");

        world.plane.start_api_server().await.unwrap();
        let over = grant.until(Phase::Expired, 60).await;
        assert_eq!(over.bindings[0].state, BindingState::Removed);
        println!("FIGURE end to Expired, with the API server away: {:.1?}", since(ends));
        assert!(operator.runs());
        let metrics = get(&operator.url, "/metrics").await.unwrap();
        assert!(metrics.contains("rancher_access_reconcile_errors_total{"), "{metrics}");
        // And it goes on as before.
        world.person("bob");
        let next = world.ask("bob", "web", "next", on_cluster("2s")).await;
        next.until(Phase::Expired, 60).await;
    });
}
