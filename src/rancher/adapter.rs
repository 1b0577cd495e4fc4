//! A kube client that rides on a [`Transport`](super::Transport): same pool, same key, base path of Rancher's own cluster.
use bytes::Bytes;
use futures::stream;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use tower::{BoxError, ServiceExt as _, service_fn};

use super::{
    call::LIST_CAP,
    exchange::{DEADLINE, Exchange},
};

/// The most bytes of one event of a watch: more than an object can have.
const EVENT_CAP: usize = 4 << 20;

/// A body that ends with an error where it goes on for too long.
type Bounded = UnsyncBoxBody<Bytes, BoxError>;

/// A kube client over `exchange`, with `base_path` before every path.
///
/// Calls have a deadline and a cap, answer included. A watch has the deadline until its first byte only, and the cap for
/// each of its events. Nothing is retried.
pub(crate) fn kube_client(exchange: Exchange, base_path: String) -> kube::Client {
    let service = service_fn(move |request: Request<Body>| {
        let (exchange, base_path) = (exchange.clone(), base_path.clone());
        async move { carry(exchange, &base_path, request).await }
    });
    kube::Client::new(service, "default")
}

async fn carry(exchange: Exchange, base_path: &str, request: Request<Body>) -> Result<Response<Bounded>, BoxError> {
    let watch = is_watch(request.uri());
    let (mut head, body) = request.into_parts();
    // kube's request body is not `Sync`, so it cannot travel on as a stream.
    let body: Bytes = body.collect_bytes().await?;
    let wanted = head.uri.path_and_query().map_or("/", |p| p.as_str());
    head.uri = format!("{}{base_path}{wanted}", exchange.base).parse::<Uri>()?;
    exchange.sign(&mut head.headers);
    let request = Request::from_parts(head, body);
    let answered = async {
        let (mut head, body) = exchange.transport.clone().oneshot(request).await?.into_parts();
        if watch && head.status.is_success() {
            return Ok(Response::from_parts(head, in_lines(body)));
        }
        let body = exchange.collect(head.status, body, LIST_CAP).await?;
        // It is whole now, whatever length was announced for it before the key was taken out.
        head.headers.remove(header::CONTENT_LENGTH);
        Ok::<_, BoxError>(Response::from_parts(head, Body::from(body).map_err(Into::into).boxed_unsync()))
    };
    tokio::time::timeout(DEADLINE, answered).await.map_err(|_| format!("no answer within {DEADLINE:?}"))?
}

/// A watch's body, of which each event is a line. kube keeps a line until it ends, however long that takes.
fn in_lines(body: Body) -> Bounded {
    let frames = stream::unfold(Some((body, 0_usize)), |state| async move {
        let (mut body, before) = state?;
        let frame = match body.frame().await? {
            Ok(frame) => frame,
            Err(error) => return Some((Err(error.into()), None)),
        };
        let data = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
        let open = match data.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => data.len().saturating_sub(end),
            None => before.saturating_add(data.len()),
        };
        if open > EVENT_CAP {
            return Some((Err(format!("an event of the watch has more than {EVENT_CAP} bytes").into()), None));
        }
        Some((Ok::<_, BoxError>(frame), Some((body, open))))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|q| q.split('&').any(|p| matches!(p, "watch=true" | "watch=1")))
}
