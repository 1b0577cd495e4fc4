//! Watches: each event is counted as a request is, and broken as one.

use std::{io, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kube::client::Body;
use serde_json::json;
use testkit::apiserver::{Service, streamed};
use tokio::time::{Instant, sleep};
use tower::{BoxError, ServiceExt};

use super::{Entry, LATE, LISTED_ANEW, Tap};
use crate::{
    call::{Call, Server},
    fault::Kind,
};

impl Tap {
    /// A watch, whose events are counted as requests are.
    pub(super) async fn watch(
        &self,
        process: usize,
        call: &Call,
        service: Service,
        request: Request<Bytes>,
    ) -> Result<Response<Body>, BoxError> {
        let stale = self.state().travel.as_ref().map(|(until, ..)| *until);
        if let Some(until) = stale.filter(|_| call.resource == "accessgrants") {
            tokio::time::sleep_until(until).await;
        }
        let (head, body) = service.oneshot(request).await?.into_parts();
        if !head.status.is_success() {
            return Ok(Response::from_parts(head, body));
        }
        let frames = body.into_data_stream().map(|frame| frame.map_err(io::Error::other));
        let (tap, call) = (self.clone(), call.clone());
        let events = futures::stream::unfold((Box::pin(frames), false), move |(mut frames, over)| {
            let (tap, call) = (tap.clone(), call.clone());
            async move {
                loop {
                    if over {
                        return None;
                    }
                    let frame = match frames.next().await? {
                        Ok(frame) => frame,
                        Err(error) => return Some((Err(error), (frames, true))),
                    };
                    match tap.event(process, &call, frame).await {
                        Passed::On(frame) => return Some((Ok(Frame::data(frame)), (frames, false))),
                        Passed::Not => {}
                        Passed::Last(frame) => return Some((Ok(Frame::data(frame)), (frames, true))),
                        Passed::End => return None,
                    }
                }
            }
        });
        streamed(StreamBody::new(events)).await
    }

    /// What becomes of one event.
    async fn event(&self, process: usize, call: &Call, frame: Bytes) -> Passed {
        if self.state().dead.contains(&process) {
            return std::future::pending().await;
        }
        let cut_off = self.state().cut_off.get(&process).copied().filter(|_| call.server == Server::Kubernetes);
        if cut_off.is_some_and(|until| until > Instant::now()) {
            return Passed::End;
        }
        let away = self.state().away.filter(|_| call.server == Server::Rancher);
        if away.is_some_and(|until| until > Instant::now()) {
            return Passed::End;
        }
        if frame.ends_with(b"\"type\":\"BOOKMARK\"}\n") {
            return Passed::On(frame);
        }
        let Some(kind) = self.event_fault(process, call) else {
            return Passed::On(frame);
        };
        // What is lost is found when everything is listed anew.
        self.0.truth.disturb(if kind == Kind::Dropped { LISTED_ANEW } else { LATE });
        match kind {
            Kind::Dropped => Passed::Not,
            Kind::Repeated => Passed::On(Bytes::from([frame.as_ref(), frame.as_ref()].concat())),
            Kind::Gone => {
                let status = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {},
                    "status": "Failure", "message": "too old resource version", "reason": "Expired", "code": 410}});
                Passed::Last(Bytes::from(format!("{status}\n")))
            }
            Kind::Cut => Passed::End,
            _ => {
                sleep(Duration::from_secs(20)).await;
                Passed::On(frame)
            }
        }
    }

    fn event_fault(&self, process: usize, call: &Call) -> Option<Kind> {
        let mut state = self.state();
        if !state.marked {
            return None;
        }
        let name = call.name.replace(":watch:", ":event:");
        let count = state.counts.entry(name.clone()).or_default();
        *count += 1;
        let nth = *count;
        let at = state.plan.iter().position(|fault| fault.call == name && fault.nth == nth);
        let fault = at.map(|at| state.plan.remove(at).kind);
        let at = self.0.origin.elapsed();
        state.trace.push(Entry { at, process, name, nth, code: 200, fault, background: true });
        fault
    }
}

/// What becomes of an event.
enum Passed {
    On(Bytes),
    Not,
    Last(Bytes),
    End,
}
