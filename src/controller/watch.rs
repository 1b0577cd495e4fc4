//! Watches: [`follow`] is how everything is watched, here and in Rancher; [`watch`] keeps every object of a kind on the API
//! server in memory, with a word on each change.
//!
//! An object that cannot be decoded costs that object only: what was last known of it is kept, so that its access still
//! ends on time. Everything is listed anew from time to time: what a watch lost, whoever lost it, is found then.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    hash::Hash,
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::runtime::{health::Gate, health::Heartbeat, metrics::Metrics};

/// How often everything on the API server is listed anew. Between two lists a watch of what nobody changes says nothing: kube's watcher keeps
/// bookmarks and the ends of watches to itself.
const LIST_AGAIN: Duration = Duration::from_secs(300);

/// How soon everything is listed anew after the last time, where the server was put back to a backup.
const LIST_SOON: Duration = Duration::from_secs(30);

/// How long a watch may be without any word before the process counts as stuck: a list, and one more that failed.
pub const SILENCE: Duration = Duration::from_secs(660);

/// What a watch said.
#[derive(Debug)]
pub enum Change<K> {
    /// This object is there, as it stands now.
    Seen(Box<K>),
    /// A list has this object.
    InList {
        /// As it stands in the list.
        object: Box<K>,
        /// When the list began: what the API server told before that is no newer than this.
        began: Instant,
        /// Whether this version of it was not told before.
        news: bool,
    },
    /// The object is gone.
    Gone {
        /// Its namespace; empty for cluster-scoped kinds.
        namespace: String,
        /// Its name.
        name: String,
        /// Its UID.
        uid: Option<String>,
    },
    /// A list is complete: objects that were known and are not in it (namespace, name) are gone.
    Listed(Vec<(String, String)>),
}

/// What a watch needs of its surroundings.
pub struct Signs {
    /// Beaten on each word of the watch.
    pub heartbeat: Heartbeat,
    /// Opened when the first list is complete.
    pub gate: Gate,
    /// Counts objects that cannot be decoded.
    pub metrics: Metrics,
}

/// Watches until `shutdown`, telling each change.
pub async fn watch<K>(
    api: Api<DeserializeGuard<K>>,
    kind: &'static str,
    signs: Signs,
    shutdown: CancellationToken,
    mut tell: impl FnMut(Change<K>),
) -> Result<(), std::convert::Infallible>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Default + Clone + Debug + Eq + Hash + Send + Sync,
{
    let (mut listed, mut versions, mut began) = (Vec::new(), HashMap::new(), Instant::now());
    follow(api, watcher::Config::default(), Some(LIST_AGAIN), &shutdown, |event| {
        signs.heartbeat.beat();
        match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                began = Instant::now();
            }
            Ok(watcher::Event::InitApply(object)) => {
                let name = name_of(&object);
                let version = object.resource_version();
                let before = versions.insert(name.clone(), version.clone());
                let news = version.is_none() || before != Some(version);
                if let Some(object) = decoded(kind, object, &signs) {
                    tell(Change::InList { object, began, news });
                }
                listed.push(name);
            }
            Ok(watcher::Event::InitDone) => {
                let there: HashSet<_> = listed.iter().collect();
                versions.retain(|name, _| there.contains(name));
                tell(Change::Listed(std::mem::take(&mut listed)));
                signs.gate.open();
            }
            Ok(watcher::Event::Apply(object)) => {
                versions.insert(name_of(&object), object.resource_version());
                if let Some(object) = decoded(kind, object, &signs) {
                    tell(Change::Seen(object));
                }
            }
            Ok(watcher::Event::Delete(object)) => {
                versions.remove(&name_of(&object));
                let (namespace, name) = name_of(&object);
                tell(Change::Gone { namespace, name, uid: object.meta().uid.clone() });
            }
            Err(error) => debug!(kind, %error, "The watch was interrupted and goes on"),
        }
    })
    .await;
    if !shutdown.is_cancelled() {
        warn!(kind, "The watch ended");
    }
    Ok(())
}

/// Lists and watches until `shutdown`, telling each event and each error; lists anew `again` and again, where that is given,
/// and soon after the server was put back to a backup.
pub async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    again: Option<Duration>,
    shutdown: &CancellationToken,
    mut tell: impl FnMut(Result<watcher::Event<K>, watcher::Error>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let anew = || watcher(api.clone(), config.clone()).default_backoff().boxed();
    let next = || again.and_then(|again| Instant::now().checked_add(again));
    let (mut stream, mut list_again, mut began) = (anew(), next(), Instant::now());
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = at(list_again) => {
                (stream, list_again) = (anew(), next());
                continue;
            }
            event = stream.next() => event,
        };
        match &event {
            Some(Ok(watcher::Event::Init)) => began = Instant::now(),
            Some(Err(error)) if is_from_before(error) => {
                let soon = began + LIST_SOON;
                list_again = Some(list_again.map_or(soon, |planned| planned.min(soon)));
            }
            _ => {}
        }
        match event {
            Some(event) => tell(event),
            None => return,
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn decoded<K>(kind: &'static str, object: DeserializeGuard<K>, signs: &Signs) -> Option<Box<K>> {
    let DeserializeGuard(decoded) = object;
    match decoded {
        Ok(object) => Some(Box::new(object)),
        Err(invalid) => {
            signs.metrics.undecodable(kind);
            let name = invalid.metadata.name.unwrap_or_default();
            let namespace = invalid.metadata.namespace.unwrap_or_default();
            warn!(kind, namespace, name, error = %invalid.error, "Cannot read this object; what was last known of it still counts");
            None
        }
    }
}

/// Whether the server knows nothing yet of the version that a watch stands at: it was put back to a backup. kube's watcher waits
/// until it does; a new one lists.
fn is_from_before(error: &watcher::Error) -> bool {
    let (watcher::Error::WatchStartFailed(kube::Error::Api(status)) | watcher::Error::WatchError(status)) = error
    else {
        return false;
    };
    status.message.starts_with("Too large resource version")
}

fn name_of<K: Resource>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}
