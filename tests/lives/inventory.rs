//! A Rancher of ten thousand projects, mirrored.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::SignedDuration;
use rancher_access_operator::api::status::Phase;
use serde_json::json;
use testkit::apiserver::{Admission, AdmissionRequest, Denied};

use crate::{
    SOON,
    discovery::{complete, discover, mirrored, writes},
    embedded::world::{CLUSTER, Given},
    end_of, world,
};

const PROJECTS: usize = 10_000;

/// An API server that takes its time for each of our objects, and sees how many it is asked to write at once.
#[derive(Default)]
struct Slow {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Admission for Slow {
    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Denied>> + Send + 'a>> {
        Box::pin(async {
            if request.gvr.resource == "rancherresources" {
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.now.fetch_sub(1, Ordering::SeqCst);
            }
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_projects_take_a_write_each_a_few_at_a_time_and_then_none() {
    let mut world = world(Given::default()).await;
    for number in 0..PROJECTS {
        world.rancher.add_project(CLUSTER, &format!("team {}", number % 100), &[]);
    }
    let slow = Arc::new(Slow::default());
    world.server.hook(slow.clone());
    world.server.clear_requests();
    discover(&world, json!({})).await;
    // While that goes on, access is given and taken away as ever.
    let half = || mirrored(&world).len() > PROJECTS / 4;
    world.until("it has begun", Duration::from_secs(60), || async { half() }).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10s"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    assert!(mirrored(&world).len() < PROJECTS, "it still goes on");
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(30)).await;
    let late = expired
        .status
        .as_ref()
        .and_then(|s| s.revoked_time.as_ref())
        .expect("a time")
        .0
        .duration_since(end_of(&expired));
    assert!(late < SignedDuration::from_secs(3), "{late}");

    complete(&world, Duration::from_secs(120)).await;
    let all = mirrored(&world);
    let made = writes(&world);
    assert!(all.len() > PROJECTS && made.len() == all.len(), "{} objects, {} writes", all.len(), made.len());
    assert!(made.iter().all(|write| write.starts_with("create ") && write.ends_with(" 201")));
    assert_eq!(slow.most.load(Ordering::SeqCst), 4);

    // Neither a list of all anew nor an operator that begins writes anything.
    world.server.clear_requests();
    tokio::time::sleep(Duration::from_secs(700)).await;
    world.kill().await;
    world.launch().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(writes(&world), [""; 0]);
}
