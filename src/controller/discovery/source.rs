//! The watches: on each kind of Rancher's, on the namespaces of its clusters, and on our own objects.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use kube::{
    Api, ResourceExt,
    core::DeserializeGuard,
    runtime::watcher::{self, Event},
};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use super::{
    Mirror,
    inventory::Source,
    name,
    read::Read,
    record::{Mirrored, in_cluster},
    write,
};
use crate::{
    api::{LABEL_INTEGRATION, RancherResource},
    controller::watch,
    rancher::{
        client::LOCAL,
        wire::{Cluster, GlobalRole, Namespace, Project, RoleTemplate},
    },
};

/// How often it is looked which clusters are reached: at first, and once they are known.
const CLUSTERS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

impl Mirror {
    /// Follows what Rancher's own cluster has.
    pub(super) async fn follow_rancher(&self, shutdown: &CancellationToken) {
        let client = self.connection.rancher.kube_client();
        tokio::join!(
            self.follow::<Cluster>(client.clone(), Source::Clusters, shutdown),
            self.follow::<Project>(client.clone(), Source::Projects, shutdown),
            self.follow::<RoleTemplate>(client.clone(), Source::RoleTemplates, shutdown),
            self.follow::<GlobalRole>(client, Source::GlobalRoles, shutdown),
        );
    }

    /// Follows the namespaces of each cluster that is reached, as long as it is.
    pub(super) async fn follow_namespaces(self: &Arc<Self>, shutdown: &CancellationToken) {
        if !self.plan.namespaces {
            return;
        }
        let mut watches: BTreeMap<String, DropGuard> = BTreeMap::new();
        loop {
            let reachable = self.inventory().reachable();
            let again = if reachable.is_some() { CLUSTERS.1 } else { CLUSTERS.0 };
            let mut wanted = reachable.unwrap_or_default();
            wanted.retain(|cluster| self.connection.clusters.answers(cluster) || cluster == LOCAL);
            let left: Vec<_> = watches.keys().filter(|cluster| !wanted.contains(*cluster)).cloned().collect();
            for cluster in left {
                watches.remove(&cluster);
                self.inventory().left(&cluster);
                self.changed.notify_one();
            }
            for cluster in wanted {
                let Ok(client) = self.connection.rancher.cluster_client(&cluster) else { continue };
                watches.entry(cluster).or_insert_with_key(|cluster| {
                    let stop = shutdown.child_token();
                    let (mirror, source, token) = (self.clone(), Source::Namespaces(cluster.clone()), stop.clone());
                    self.inventory().begin(&source);
                    tokio::spawn(async move { mirror.follow::<Namespace>(client, source, &token).await });
                    stop.drop_guard()
                });
            }
            if again == CLUSTERS.1 && self.inventory().namespaces_begin() {
                self.changed.notify_one();
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = sleep(again) => {}
            }
        }
    }

    async fn follow<T: Mirrored>(&self, client: kube::Client, source: Source, shutdown: &CancellationToken) {
        let api: Api<Read<T>> = Api::all_with(client, &T::resource());
        let again = Some(self.plan.again);
        watch::follow(api, watcher::Config::default(), again, shutdown, |event| self.take(&source, event)).await;
    }

    fn take<T: Mirrored>(&self, source: &Source, event: Result<Event<Read<T>>, watcher::Error>) {
        let news = match event {
            Ok(Event::Init) => {
                self.inventory().begin(source);
                false
            }
            Ok(Event::InitApply(object)) => {
                self.seen(source, object);
                false
            }
            Ok(Event::InitDone) => {
                self.inventory().listed(source, self.ctx.now());
                true
            }
            Ok(Event::Apply(object)) => self.seen(source, object),
            Ok(Event::Delete(object)) => {
                self.inventory().gone(&T::keys(place(source, &object), object.name()));
                true
            }
            Err(error) => self.failed(source, &error),
        };
        if news {
            self.changed.notify_one();
        }
    }

    fn seen<T: Mirrored>(&self, source: &Source, mut read: Read<T>) -> bool {
        let object = read.object.take();
        let keys = T::keys(place(source, &read), read.name());
        let Some(object) = object else {
            self.ctx.metrics.undecodable("rancher");
            self.inventory().unreadable(source, &keys);
            return false;
        };
        let record = object.record(self.plan.owner.as_deref());
        let record = match source {
            Source::Namespaces(cluster) => record.map(|record| in_cluster(record, cluster)),
            _ => record,
        };
        self.inventory().seen(source, &keys, record)
    }

    /// Says whether it is something that people should know: what is interrupted goes on by itself.
    fn failed(&self, source: &Source, error: &watcher::Error) -> bool {
        let told = self.connection.rancher.told(error);
        debug!(
            integration = self.plan.integration,
            ?source,
            error = told,
            "The watch on Rancher was interrupted and goes on"
        );
        match error {
            watcher::Error::InitialListFailed(_) => self.inventory().failed(source, &told),
            watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 403..=406 | 501) => {
                self.inventory().refused(source, &told);
            }
            _ => return false,
        }
        true
    }

    /// Follows our own objects.
    pub(super) async fn follow_own(&self, shutdown: &CancellationToken) {
        let api: Api<DeserializeGuard<RancherResource>> = Api::all(self.ctx.client.clone());
        let selector = format!("{LABEL_INTEGRATION}={}", name::label(&self.plan.integration));
        let config = watcher::Config::default().labels(&selector);
        let mut names = HashSet::new();
        watch::follow(api, config, Some(self.plan.again), shutdown, |event| {
            match event {
                Ok(Event::Init) => names.clear(),
                Ok(Event::InitApply(object)) => {
                    names.insert(object.name_any());
                    self.stands(object);
                }
                Ok(Event::InitDone) => self.inventory().all_stand(&std::mem::take(&mut names)),
                Ok(Event::Apply(object)) => self.stands(object),
                Ok(Event::Delete(object)) => self.inventory().deleted(&object.name_any()),
                Err(error) => {
                    debug!(integration = self.plan.integration, %error, "The watch was interrupted and goes on");
                    return;
                }
            }
            self.changed.notify_one();
        })
        .await;
    }

    fn stands(&self, object: DeserializeGuard<RancherResource>) {
        let Ok(object) = object.0 else {
            // It is written as if it were not there.
            self.ctx.metrics.undecodable("rancherresources");
            return;
        };
        let tidy = write::is_tidy(&object, &self.plan);
        self.inventory().stands(object.name_any(), object.spec, tidy);
    }
}

/// Where an object is: see [`Mirrored::keys`].
fn place<'a, T>(source: &'a Source, read: &'a Read<T>) -> &'a str {
    match source {
        Source::Namespaces(cluster) => cluster,
        _ => read.namespace(),
    }
}
