use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use super::*;
use crate::runtime::Clock;

const SECOND: Duration = Duration::from_secs(1);

/// An API server that records Events and answers each with a status code.
#[derive(Clone)]
struct Server(Arc<Mutex<(u16, Vec<Value>)>>);

impl Server {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((201, Vec::new()))))
    }

    fn answers(&self, code: u16) {
        self.0.lock().unwrap().0 = code;
    }

    fn got(&self) -> Vec<Value> {
        self.0.lock().unwrap().1.clone()
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let event: Value = serde_json::from_slice(&body).unwrap();
                let mut state = server.0.lock().unwrap();
                state.1.push(event.clone());
                let answer = match state.0 {
                    code @ 400.. => {
                        json!({"kind": "Status", "status": "Failure", "code": code, "message": "no"})
                    }
                    _ => event,
                };
                let body = Full::new(Bytes::from(answer.to_string()));
                Ok::<_, Infallible>(Response::builder().status(state.0).body(body).unwrap())
            }
        });
        Client::new(service, "ops")
    }
}

struct Fixture {
    server: Server,
    sink: EventSink,
    metrics: Metrics,
    token: CancellationToken,
    publisher: Option<Publisher>,
}

impl Fixture {
    fn new() -> Self {
        let (server, metrics) = (Server::new(), Metrics::new(Clock::system()));
        let (sink, publisher) = channel(server.client(), "rancher-access-operator", "pod-0", metrics.clone());
        Self { server, sink, metrics, token: CancellationToken::new(), publisher: Some(publisher) }
    }

    fn start(&mut self) -> JoinHandle<Result<(), std::convert::Infallible>> {
        tokio::spawn(self.publisher.take().unwrap().run(self.token.clone()))
    }

    fn publish(&self, grant: &str, note: &str) {
        self.publish_in("web", grant, note);
    }

    fn publish_in(&self, namespace: &str, grant: &str, note: &str) {
        let reference = ObjectReference {
            api_version: Some("rancheraccess.io/v1alpha1".to_owned()),
            kind: Some("AccessGrant".to_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(grant.to_owned()),
            ..ObjectReference::default()
        };
        self.sink.publish(reference, EventType::Normal, "AccessGranted", "Grant", note);
    }

    fn lost(&self, reason: &str) -> u64 {
        let name = format!("rancher_access_events_lost_total{{reason=\"{reason}\"}} ");
        let text = self.metrics.encode().unwrap();
        text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn tells_an_event_about_its_object() {
    let mut fixture = Fixture::new();
    let running = fixture.start();
    fixture.publish("db", "until 18:00");
    sleep(SECOND).await;
    let got = fixture.server.got();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0]["regarding"]["name"], "db");
    assert_eq!(got[0]["metadata"]["namespace"], "web");
    assert_eq!(got[0]["reason"], "AccessGranted");
    assert_eq!(got[0]["note"], "until 18:00");
    assert_eq!(got[0]["reportingInstance"], "pod-0");
    fixture.token.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_told_at_the_end() {
    let mut fixture = Fixture::new();
    (0..50).for_each(|n| fixture.publish(&format!("grant-{n}"), "bye"));
    fixture.token.cancel();
    fixture.start().await.unwrap().unwrap();
    assert_eq!(fixture.server.got().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_and_counts_and_never_blocks() {
    let fixture = Fixture::new();
    (0..QUEUE + 7).for_each(|n| fixture.publish_in(&format!("team-{}", n % 3), &format!("grant-{n}"), ""));
    assert_eq!(fixture.lost("queue_full"), 7);
}

#[tokio::test(start_paused = true)]
async fn a_storm_in_one_namespace_leaves_room_for_another() {
    let mut fixture = Fixture::new();
    (0..5 * QUEUE).for_each(|n| fixture.publish_in("team-a", &format!("grant-{n}"), ""));
    fixture.publish_in("team-b", "db", "until 18:00");
    assert_eq!(fixture.lost("too_many"), (5 * QUEUE - QUEUE / 2) as u64);
    let _running = fixture.start();
    sleep(SECOND).await;
    let got = fixture.server.got();
    assert!(got.iter().any(|event| event["metadata"]["namespace"] == "team-b"));
    fixture.publish_in("team-a", "later", "");
    sleep(SECOND).await;
    assert_eq!(fixture.server.got().len(), got.len() + 1, "who waits no longer leaves room for the next");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_goes_to_and_fro_is_written_about_so_often() {
    let mut fixture = Fixture::new();
    let _running = fixture.start();
    for _ in 0..3_000 {
        fixture.publish("flapping", "again");
        sleep(SECOND / 10).await;
    }
    fixture.publish("other", "once");
    sleep(SECOND).await;
    let got = fixture.server.got();
    let most = shares::BURST as usize + 300 / shares::PACE.as_secs() as usize;
    assert!((most - 1..=most + 1).contains(&got.len()), "{} in five minutes", got.len());
    assert_eq!(got.last().unwrap()["regarding"]["name"], "other");
}

#[tokio::test(start_paused = true)]
async fn is_silent_while_the_api_server_is_away() {
    let mut fixture = Fixture::new();
    let _running = fixture.start();
    fixture.server.answers(503);
    for n in 0..9 {
        fixture.publish(&format!("grant-{n}"), "");
        sleep(SECOND).await;
    }
    assert_eq!(fixture.server.got().len(), 1, "one attempt, and then none for a while");
    assert_eq!(fixture.lost("unreachable"), 9);
    fixture.server.answers(201);
    sleep(PAUSE).await;
    fixture.publish("later", "");
    fixture.publish("last", "");
    sleep(SECOND).await;
    assert_eq!(fixture.server.got().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_does_not_silence_the_others() {
    let mut fixture = Fixture::new();
    let _running = fixture.start();
    fixture.server.answers(403);
    fixture.publish("one", "");
    fixture.publish("two", "");
    sleep(SECOND).await;
    assert_eq!((fixture.server.got().len(), fixture.lost("refused")), (2, 2));
}

#[test]
fn notes_are_cut_between_characters() {
    assert_eq!(cut("short"), "short");
    let long = format!("x{}", "é".repeat(MAX_NOTE));
    assert_eq!(cut(&long).len(), MAX_NOTE - 1, "no half é");
    assert_eq!(cut(&"a".repeat(5_000)).len(), MAX_NOTE);
}
