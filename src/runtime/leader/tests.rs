//! The election against one Lease on a fake API server whose links fail as told.

mod fake;
mod property;
mod settings;

use jiff::Timestamp;
use tokio::{
    task::JoinHandle,
    time::{self, sleep},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::runtime::Clock;
use fake::{Link, Mode, Server};

const SECOND: Duration = Duration::from_secs(1);

/// One process of the election.
struct Contender {
    handle: LeaderHandle,
    link: Link,
    token: CancellationToken,
    task: JoinHandle<Result<(), LeaderError>>,
}

impl Contender {
    /// Its clock stands still: nothing but the monotonic time of its own may matter.
    fn start(server: &Server, name: &str) -> Self {
        Self::with(server, LeaseConfig::new("ops", "operator", name), Link::default())
    }

    fn with(server: &Server, config: LeaseConfig, link: Link) -> Self {
        let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
        let (leader, handle) = Leader::new(server.client(&link), config, clock).unwrap();
        let token = CancellationToken::new();
        let task = tokio::spawn(leader.run(token.clone()));
        Self { handle, link, token, task }
    }

    async fn until(&self, standing: Standing) {
        let mut watch = self.handle.watch();
        let reached = watch.wait_for(|now| *now == standing);
        time::timeout(60 * SECOND, reached).await.expect("it gets there in time").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_lease_is_taken_at_once_and_kept() {
    let server = Server::default();
    let a = Contender::start(&server, "a");
    a.until(Standing::Leading).await;
    let since = a.handle.since();
    assert!(a.handle.may_create() && since.is_some());
    let spec = server.spec();
    assert_eq!(spec["holderIdentity"], "a");
    assert_eq!(spec["leaseDurationSeconds"], 15);
    assert_eq!(spec["leaseTransitions"], 0);
    let b = Contender::start(&server, "b");
    for _ in 0..600 {
        sleep(SECOND / 5).await;
        assert!(a.handle.may_create(), "renewed before each deadline");
        assert_eq!(b.handle.standing(), Standing::Standby, "though the holder's clock stands still");
    }
    assert_eq!(a.handle.since(), since);
    assert_eq!(server.spec()["leaseTransitions"], 0);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_lease_is_taken_after_its_full_duration_and_no_sooner() {
    for (seconds, wait) in [(15, 15), (60, 60), (1, 15)] {
        let server = Server::default();
        server.abandon("gone", seconds); // its renewTime lies years back
        let started = Instant::now();
        let a = Contender::start(&server, "a");
        let mut watch = a.handle.watch();
        watch.wait_for(|now| *now == Standing::Leading).await.unwrap();
        let took = started.elapsed();
        assert!(took >= wait * SECOND && took < (wait + 1) * SECOND, "{took:?} of {wait} s");
        assert_eq!(server.spec()["leaseTransitions"], 4, "one more than the record had");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_api_server_a_leader_lapses_and_resumes() {
    let server = Server::default();
    let a = Contender::start(&server, "a");
    a.until(Standing::Leading).await;
    let since = a.handle.since();
    sleep(7 * SECOND).await; // the last renewal was sent 2 s ago
    a.link.set(Mode::Refuse);
    let cut = Instant::now();
    a.until(Standing::Lapsed).await;
    assert!(cut.elapsed() > 7 * SECOND && cut.elapsed() <= 8 * SECOND, "{:?}", cut.elapsed());
    for _ in 0..100 {
        sleep(SECOND).await;
        assert_eq!(a.handle.standing(), Standing::Lapsed, "not a standby: it may go on revoking");
        assert!(!a.handle.may_create());
    }
    a.link.set(Mode::Up);
    a.until(Standing::Leading).await;
    assert!(a.handle.may_create());
    assert_eq!(a.handle.since(), since, "nobody else had it meanwhile");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_does_not_hide_the_deadline() {
    let server = Server::default();
    let a = Contender::start(&server, "a");
    a.until(Standing::Leading).await;
    a.link.set(Mode::LoseAnswer);
    a.until(Standing::Lapsed).await;
    assert!(!a.handle.may_create(), "its renewals landed, but it cannot know");
    a.link.set(Mode::Up);
    a.until(Standing::Leading).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_sees_another_leader_ends() {
    let server = Server::default();
    let a = Contender::start(&server, "a");
    a.until(Standing::Leading).await;
    let b = Contender::start(&server, "b");
    a.link.set(Mode::Refuse);
    b.until(Standing::Leading).await;
    assert_eq!(a.handle.standing(), Standing::Lapsed);
    a.link.set(Mode::Up);
    let ended = a.task.await.unwrap();
    let lease = "ops/operator".to_owned();
    assert_eq!(ended, Err(LeaderError::Deposed { lease, by: "b".to_owned() }));
    assert_eq!(a.handle.standing(), Standing::Standby);
    assert_eq!(a.handle.since(), None);
    assert_eq!(server.spec()["holderIdentity"], "b");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_came_and_went_unseen_deposes_too() {
    let server = Server::default();
    let a = Contender::start(&server, "a");
    a.until(Standing::Leading).await;
    let b = Contender::start(&server, "b");
    a.link.set(Mode::Refuse);
    b.until(Standing::Leading).await;
    b.token.cancel();
    b.task.await.unwrap().unwrap();
    a.link.set(Mode::Up);
    assert!(matches!(a.task.await.unwrap(), Err(LeaderError::Deposed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_clean_end_hands_over_at_once() {
    let server = Server::default();
    let a = Contender::start(&server, "a");
    a.until(Standing::Leading).await;
    let b = Contender::start(&server, "b");
    sleep(SECOND).await;
    let asked = Instant::now();
    a.token.cancel();
    a.task.await.unwrap().unwrap();
    assert!(server.spec().get("holderIdentity").is_none(), "{}", server.spec());
    assert_eq!(a.handle.standing(), Standing::Standby);
    b.until(Standing::Leading).await;
    assert!(asked.elapsed() <= 3 * SECOND, "{:?}", asked.elapsed());
    assert_eq!(server.spec()["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_a_renewal_that_lands_late() {
    let server = Server::default();
    let a = Contender::start(&server, "a");
    a.until(Standing::Leading).await;
    a.link.set(Mode::LandLate(3 * SECOND));
    sleep(5 * SECOND + SECOND / 2).await; // a renewal is under way
    a.link.set(Mode::Up);
    a.token.cancel();
    a.task.await.unwrap().unwrap();
    sleep(5 * SECOND).await;
    assert!(server.spec().get("holderIdentity").is_none(), "the late write found another version");
}

#[tokio::test(start_paused = true)]
async fn a_standby_never_touches_the_lease_when_it_ends() {
    let server = Server::default();
    let a = Contender::start(&server, "a");
    a.until(Standing::Leading).await;
    let b = Contender::start(&server, "b");
    sleep(3 * SECOND).await;
    b.token.cancel();
    b.task.await.unwrap().unwrap();
    assert_eq!(server.spec()["holderIdentity"], "a");
    assert!(a.handle.may_create());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_made_anew_by_its_holder() {
    let server = Server::default();
    let a = Contender::start(&server, "a");
    a.until(Standing::Leading).await;
    let b = Contender::start(&server, "b");
    sleep(3 * SECOND).await;
    let since = a.handle.since();
    server.delete();
    for _ in 0..100 {
        sleep(SECOND).await;
        assert!(a.handle.may_create() && !b.handle.may_create());
    }
    assert_eq!(server.spec()["holderIdentity"], "a");
    assert!(a.handle.since() > since, "what happened without the record is unknown");
}
