//! Rancher's controllers: tasks that follow the objects and do what Rancher was seen to do, when it was seen to.
use std::{collections::BTreeMap, future::Future, sync::Arc};

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};

use crate::apiserver::{Event, EventType, Gvr};

use super::{
    binding::Kind,
    core::{Core, finalizers, is_terminating, lock, management, meta},
};

mod bindings;
mod clusters;
mod duplicates;
mod global;
mod role_templates;
mod status;
mod users;

pub(super) use bindings::resync;
pub(super) use clusters::purge;
pub(super) use global::{FINALIZER as GLOBAL_FINALIZER, resync as resync_global};

/// Starts all of them; each ends when its handle is aborted.
pub(super) fn start(core: &Arc<Core>) -> Vec<AbortHandle> {
    let mut handles = Vec::new();
    let mut spawn = |task: AbortHandle| handles.push(task);
    for kind in Kind::BOTH {
        spawn(tokio::spawn(bindings::run(Arc::clone(core), kind)).abort_handle());
    }
    spawn(tokio::spawn(global::run(Arc::clone(core))).abort_handle());
    spawn(tokio::spawn(global::roles(Arc::clone(core))).abort_handle());
    spawn(tokio::spawn(users::run(Arc::clone(core))).abort_handle());
    spawn(tokio::spawn(role_templates::run(Arc::clone(core))).abort_handle());
    spawn(tokio::spawn(clusters::projects(Arc::clone(core))).abort_handle());
    spawn(tokio::spawn(clusters::run(Arc::clone(core))).abort_handle());
    let mut clusters = vec!["local".to_owned()];
    clusters.extend(lock(&core.downstreams).keys().cloned());
    for cluster in clusters {
        spawn(namespaces(core, &cluster));
    }
    handles
}

/// Follows the namespaces of one cluster.
pub(super) fn namespaces(core: &Arc<Core>, cluster: &str) -> AbortHandle {
    let task = clusters::namespaces(Arc::clone(core), cluster.to_owned());
    tokio::spawn(task).abort_handle()
}

/// Tasks of one controller; they end with it.
type Tasks = JoinSet<()>;

/// Hands every event of a resource to `handle`, for ever. Follows from the call on, not from the first poll: what comes and
/// goes before that is seen too.
fn follow<F>(core: &Arc<Core>, cluster: &str, gvr: &Gvr, mut handle: F) -> impl Future<Output = ()> + Send + use<F>
where
    F: FnMut(&mut Tasks, Event) + Send,
{
    let subscribe = {
        let (core, cluster, gvr) = (Arc::clone(core), cluster.to_owned(), gvr.clone());
        move || core.server(&cluster)?.subscribe(&gvr).ok()
    };
    let mut subscribed = subscribe();
    async move {
        let mut tasks = Tasks::new();
        while let Some(events) = subscribed {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                while tasks.try_join_next().is_some() {}
                handle(&mut tasks, event);
            }
            // The watches were cut; everything comes again as added.
            tokio::task::yield_now().await;
            subscribed = subscribe();
        }
    }
}

/// What a controller remembers of an object.
struct Seen {
    /// Labels and annotations: a change of these is a touch.
    face: Value,
    finalizers: Vec<String>,
    going: bool,
}

/// What a change of an object means.
enum Meaning {
    /// Never seen before, and alive.
    New,
    /// On its way out, for the first time.
    Going,
    /// Labels or annotations changed.
    Touched,
    /// Somebody took finalizers off.
    Stripped,
    /// Nothing to do.
    Nothing,
}

/// Remembers objects by UID and tells what changed.
#[derive(Default)]
struct Memory(BTreeMap<String, Seen>);

impl Memory {
    fn judge(&mut self, event: &Event) -> Meaning {
        let object = &event.object;
        let uid = meta(object, "uid").to_owned();
        if event.kind == EventType::Deleted {
            self.0.remove(&uid);
            return Meaning::Nothing;
        }
        let metadata = &object["metadata"];
        let now = Seen {
            face: json!([metadata["labels"], metadata["annotations"]]),
            finalizers: finalizers(object),
            going: is_terminating(object),
        };
        let going = now.going;
        let Some(before) = self.0.insert(uid, now) else {
            return if going { Meaning::Going } else { Meaning::New };
        };
        let now_finalizers = finalizers(object);
        if going {
            return if before.going { Meaning::Nothing } else { Meaning::Going };
        }
        let lost = before.finalizers.iter().any(|one| !now_finalizers.contains(one));
        if lost {
            Meaning::Stripped
        } else if before.face != json!([metadata["labels"], metadata["annotations"]]) {
            Meaning::Touched
        } else {
            Meaning::Nothing
        }
    }
}

/// A task that holds the core.
fn with<F: Future<Output = ()> + Send + 'static>(
    tasks: &mut Tasks,
    core: &Arc<Core>,
    task: impl FnOnce(Arc<Core>) -> F,
) {
    tasks.spawn(task(Arc::clone(core)));
}

/// Deletes all objects of a management resource that `which` picks; those that are gone meanwhile are no fault.
async fn delete_where(core: &Core, resource: &str, which: impl Fn(&Value) -> bool) {
    let gvr = management(resource);
    for object in core.local.list(&gvr, None) {
        if which(&object) {
            let uid = Some(meta(&object, "uid"));
            let _ = core.local.delete(&gvr, meta(&object, "namespace"), meta(&object, "name"), uid).await;
        }
    }
}
