//! Weeks of quiet work: grants come and go, the key is replaced every seven days, users are deleted after three, and nothing is
//! left of all that.
//!
//! A week in `cargo test`; `just soak` takes ninety days, or as many as `SOAK_DAYS` says.

use std::time::Duration;

use rancher_access_operator::api::status::Phase;
use serde_json::json;
use testkit::rancher::{Model, Version};

use crate::{
    eight,
    embedded::world::{Given, World},
    keys, users,
};

/// A day, in seconds.
const DAY: u64 = 86_400;

#[allow(clippy::disallowed_methods)] // how long it goes on is told from outside
fn days() -> u64 {
    std::env::var("SOAK_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(8)
}

#[tokio::test(start_paused = true)]
async fn weeks_pass_and_nothing_is_left() {
    let given = Given { version: Version::V2_15, model: Model::Legacy, keyless: false };
    let mut world = World::new(eight(), given).await;
    // Nobody else wants the lease: renewing it every five seconds for weeks would be most of the work.
    world.lease = [3600, 2400, 1200];
    world.start().await;
    let spec = json!({"apiKeyRotationDays": 7, "credentialRotationDays": 7, "userCleanupDays": 3});
    keys::patch(&world, spec).await;
    users::allow(&world, &["deploy"]).await;
    let (began, mut held) = (world.clock.now(), vec![keys::field(&world, "token")]);
    let passed = |world: &World| world.clock.now().duration_since(began).as_secs().unsigned_abs();
    for day in 0..days() {
        let name = |who: &str| format!("{who}-{day}");
        world.ask("alice", &name("alice"), json!({"access": world.on_cluster(), "duration": "2h"})).await;
        world.ask("bob", &name("bob"), json!({"access": world.on_project(), "duration": "8h"})).await;
        world.ask("carol", &name("carol"), json!({"access": world.on_cluster(), "duration": "8h"})).await;
        // Users that grants bring along: one is used on two days in a row, and in the last days nobody comes any more.
        if day % 4 < 2 && day + 5 < days() {
            world.ask("alice", &name("robot"), users::for_local_user(&world, "deploy", "3h")).await;
            let principal = json!({"principal": format!("okta_user://ext-{day}")});
            world
                .ask(
                    "alice",
                    &name("ext"),
                    json!({"access": world.on_project(), "duration": "3h", "subject": principal}),
                )
                .await;
            for who in ["robot", "ext"] {
                world.reaches(&name(who), Phase::Active, Duration::from_secs(90)).await;
            }
        }
        for who in ["alice", "bob", "carol"] {
            world.reaches(&name(who), Phase::Active, Duration::from_secs(90)).await;
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
        world.delete(&name("carol")).await;
        world.reaches(&name("alice"), Phase::Expired, Duration::from_secs(2 * 3600)).await;
        // Somebody tidies up, and sometimes the operator is restarted in the night.
        if day % 3 == 0 {
            world.delete(&name("alice")).await;
            world.kill().await;
            world.start().await;
        }
        world.reaches(&name("bob"), Phase::Expired, Duration::from_secs(8 * 3600)).await;
        let rest = ((day + 1) * DAY).saturating_sub(passed(&world));
        tokio::time::sleep(Duration::from_secs(rest)).await;
        let key = keys::field(&world, "token");
        if held.last() != Some(&key) {
            held.push(key);
        }
        assert!(world.rancher.access_of("u-alice").is_empty() && world.bindings_of("u-carol").is_empty());
    }
    let replaced = u64::try_from(held.len() - 1).expect("a number");
    assert_eq!(replaced, (days() - 1) / 7, "a key lasts seven days");
    assert_eq!(keys::keys(&world), [keys::name_of(held.last().expect("a key"))]);
    let bindings = world.rancher.bindings();
    let ours = bindings.iter().filter(|b| b["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("rao-")));
    assert_eq!(ours.count(), 0);
    let mut left: Vec<_> = world.rancher.local().list(&users::users(), None);
    left.retain(|user| {
        user["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("rao-"))
            || user.to_string().contains("ext-")
    });
    assert!(left.is_empty(), "{left:?}");
    for who in ["u-alice", "u-bob", "u-carol"] {
        assert!(world.rancher.access_of(who).is_empty(), "{who}");
    }
}
