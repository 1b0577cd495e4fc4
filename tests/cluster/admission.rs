//! Identities count only while the API server proves them.

use std::time::Duration;

use rancher_access_operator::api::status::Phase;
use serde_json::Value;

use crate::{
    kinds::{end, on_cluster, says},
    lives::gone_after,
    run,
    world::World,
};

#[test]
fn without_the_admission_policies_nothing_is_given_and_all_is_taken_away() {
    run(async {
        let world = World::start().await;
        world.place("web").await;
        let operator = world.operator("first", &[]);
        world.ready().await;
        world.person("alice");
        world.person("bob");
        let given = world.ask("alice", "web", "given", on_cluster("12s")).await;
        let active = given.until(Phase::Active, 20).await;
        assert!(operator.terminate().await.success());
        admission(&world, "delete").await;
        let _second = world.operator("second", &[]);
        world.integration_says("prod", "AdmissionEnforced", "False", 20).await;

        let asked = world.ask("bob", "web", "asked", on_cluster("1h")).await;
        let pending = asked.until(Phase::Pending, 20).await;
        let ready = says(&pending, "Ready");
        assert_eq!(ready.reason, "IdentityUnproven", "{ready:?}");
        assert!(ready.message.contains("apply config/admission"), "{ready:?}");
        let lag = gone_after(&world, "alice", end(&active)).await;
        assert!(lag < Duration::from_secs(2), "revoking needs no proof: {lag:?}");
        given.until(Phase::Expired, 20).await;
        assert_eq!(world.bindings_of("bob"), [] as [Value; 0]);

        admission(&world, "apply").await;
        world.integration_says("prod", "AdmissionEnforced", "True", 30).await;
        // Whose request it is that was made meanwhile nobody knows, and never will.
        let denied = asked.until(Phase::Denied, 30).await;
        assert_eq!(says(&denied, "Ready").reason, "IdentityUnproven", "{denied:?}");
        assert_eq!(world.bindings_of("bob"), [] as [Value; 0]);
        tokio::time::sleep(Duration::from_secs(13)).await;
        world.ask("bob", "web", "anew", on_cluster("1h")).await.until(Phase::Active, 30).await;
        assert_eq!(world.bindings_of("bob").len(), 1);
    });
}

/// Deletes or applies the policies that ship; what fills the identity in stays.
async fn admission(world: &World, verb: &str) {
    let directory = format!("{}/config/admission", env!("CARGO_MANIFEST_DIR"));
    world.plane.kubectl(&[verb, "-k", &directory]).await.unwrap().expect_success();
}
