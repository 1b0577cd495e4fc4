//! What there is in Rancher, what of it is mirrored by now, and what is to be written for the two to agree. No IO here.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

use super::{name::Key, record::Record};
use crate::{
    api::{
        AccessPolicy, RancherResourceSpec,
        condition::{MESSAGE_MAX, one_line},
        discovery::DiscoveryStatus,
        reference::ObjectReference,
        resource::{Parent, ResourceKind, ResourceState},
    },
    policy::{Offer, offers},
};

/// How long after it was refused a watch counts as refused: it is tried again within half a minute.
const REFUSED: Duration = Duration::from_secs(90);

/// Where something is listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Clusters,
    Projects,
    RoleTemplates,
    GlobalRoles,
    /// The namespaces of that cluster.
    Namespaces(String),
}

impl Source {
    /// Those on Rancher's own cluster.
    pub(super) const OF_RANCHER: [Self; 4] = [Self::Clusters, Self::Projects, Self::RoleTemplates, Self::GlobalRoles];

    fn of(key: &Key<'_>) -> Self {
        match key.kind {
            ResourceKind::Cluster => Self::Clusters,
            ResourceKind::Project => Self::Projects,
            ResourceKind::Namespace => Self::Namespaces(key.cluster.to_owned()),
            ResourceKind::ClusterRole | ResourceKind::ProjectRole => Self::RoleTemplates,
            ResourceKind::GlobalRole => Self::GlobalRoles,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Clusters => "clusters".to_owned(),
            Self::Projects => "projects".to_owned(),
            Self::RoleTemplates => "role templates".to_owned(),
            Self::GlobalRoles => "global roles".to_owned(),
            Self::Namespaces(cluster) => format!("namespaces of cluster {cluster}"),
        }
    }
}

/// How far the list of a source has come.
#[derive(Debug, Default)]
struct Listing {
    /// The names that the list under way has had so far.
    names: HashSet<String>,
    /// When a list was last complete.
    listed: Option<Timestamp>,
    /// Why no list is complete since.
    failed: Option<String>,
    refused: Option<(Instant, String)>,
}

/// An object of ours, as it stands.
#[derive(Debug)]
struct Present {
    spec: RancherResourceSpec,
    /// Whether its labels and its owner are as they should be.
    tidy: bool,
}

/// What else says how something is to be mirrored.
pub(super) struct Surroundings {
    /// The policies of this integration.
    pub policies: Vec<Arc<AccessPolicy>>,
    /// What unsettled grants use, by the names of the objects.
    pub used: HashSet<String>,
}

/// What is to be written.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Create(Box<RancherResourceSpec>),
    Change(Box<RancherResourceSpec>),
    Delete,
}

#[derive(Debug)]
pub(super) struct Inventory {
    integration: String,
    /// Whether namespaces are mirrored, and whether that has not begun yet.
    namespaces: bool,
    namespaces_wait: bool,
    records: BTreeMap<String, Record>,
    sources: BTreeMap<Source, Listing>,
    present: BTreeMap<String, Present>,
    present_listed: bool,
}

impl Inventory {
    pub(super) fn new(integration: &str, namespaces: bool) -> Self {
        Self {
            integration: integration.to_owned(),
            namespaces,
            namespaces_wait: namespaces,
            records: BTreeMap::new(),
            sources: Source::OF_RANCHER.map(|source| (source, Listing::default())).into(),
            present: BTreeMap::new(),
            present_listed: false,
        }
    }

    /// A list of a source begins.
    pub(super) fn begin(&mut self, source: &Source) {
        self.source(source).names.clear();
    }

    /// Something is there, in a list or by itself; it may have been known as one of `keys` before. Says whether that is news.
    pub(super) fn seen(&mut self, source: &Source, keys: &[Key<'_>], record: Option<Record>) -> bool {
        let before: Vec<_> = keys.iter().filter_map(|key| self.records.remove(&key.name(&self.integration))).collect();
        let news = before.iter().ne(record.iter());
        if let Some(record) = record {
            let name = record.key().name(&self.integration);
            self.source(source).names.insert(name.clone());
            self.records.insert(name, record);
        }
        news
    }

    /// A list has something that cannot be read: what was known of it stays.
    pub(super) fn unreadable(&mut self, source: &Source, keys: &[Key<'_>]) {
        let names: Vec<_> = keys.iter().map(|key| key.name(&self.integration)).collect();
        let known = names.into_iter().filter(|name| self.records.contains_key(name)).collect::<Vec<_>>();
        self.source(source).names.extend(known);
    }

    /// A list is complete: what is not in it is gone.
    pub(super) fn listed(&mut self, source: &Source, now: Timestamp) {
        let listing = self.source(source);
        let names = std::mem::take(&mut listing.names);
        (listing.listed, listing.failed) = (Some(now), None);
        self.records.retain(|name, record| Source::of(&record.key()) != *source || names.contains(name));
    }

    /// Something is not there any more.
    pub(super) fn gone(&mut self, keys: &[Key<'_>]) {
        for key in keys {
            self.records.remove(&key.name(&self.integration));
        }
    }

    /// A source cannot be listed; what was known of it stays.
    pub(super) fn failed(&mut self, source: &Source, why: &str) {
        self.source(source).failed = Some(why.to_owned());
    }

    /// A source cannot be watched: it is listed again and again.
    pub(super) fn refused(&mut self, source: &Source, why: &str) {
        self.source(source).refused = Some((Instant::now(), why.to_owned()));
    }

    /// The namespaces of that cluster are not watched any more: it is away, and they are as they were; or it is gone, and so
    /// are they.
    pub(super) fn left(&mut self, cluster: &str) {
        let source = Source::Namespaces(cluster.to_owned());
        let is_there = self.records.contains_key(&Key::cluster(cluster).name(&self.integration));
        if let Some(listing) = self.sources.get_mut(&source).filter(|listing| is_there && listing.listed.is_some()) {
            (listing.failed, listing.refused) = (None, None);
        } else {
            self.sources.remove(&source);
        }
        if !is_there {
            self.records.retain(|_, record| Source::of(&record.key()) != source);
        }
    }

    /// The clusters that are reached, whose namespaces can be looked at, once all are known.
    pub(super) fn reachable(&self) -> Option<BTreeSet<String>> {
        self.sources.get(&Source::Clusters)?.listed?;
        let is = |record: &&Record| record.kind == ResourceKind::Cluster && record.state == ResourceState::Available;
        Some(self.records.values().filter(is).map(|record| record.id.clone()).collect())
    }

    /// The namespaces of all clusters that are reached are being listed. Says whether that is news.
    pub(super) fn namespaces_begin(&mut self) -> bool {
        std::mem::take(&mut self.namespaces_wait)
    }

    /// An object of ours stands so.
    pub(super) fn stands(&mut self, name: String, spec: RancherResourceSpec, tidy: bool) {
        self.present.insert(name, Present { spec, tidy });
    }

    /// An object of ours is gone.
    pub(super) fn deleted(&mut self, name: &str) {
        self.present.remove(name);
    }

    /// All objects of ours are known: these.
    pub(super) fn all_stand(&mut self, names: &HashSet<String>) {
        self.present.retain(|name, _| names.contains(name));
        self.present_listed = true;
    }

    /// All names that there may be something to write about.
    pub(super) fn names(&self) -> Vec<String> {
        let all: BTreeSet<&String> = self.records.keys().chain(self.present.keys()).collect();
        all.into_iter().cloned().collect()
    }

    /// Whether there are objects whose thing is not in Rancher.
    pub(super) fn has_leftovers(&self) -> bool {
        self.present.keys().any(|name| !self.records.contains_key(name))
    }

    /// What is to be written under that name, if anything.
    pub(super) fn step(&self, name: &str, around: &Surroundings) -> Option<Step> {
        if !self.present_listed {
            return None;
        }
        let present = self.present.get(name);
        let wanted = match (self.records.get(name), present) {
            (Some(record), _) if !self.is_known(&record.key()) => return None,
            (Some(record), _) => (!record.withheld).then(|| self.spec(record, around)),
            (None, Some(present)) => self.without_record(&present.spec, around)?,
            (None, None) => None,
        };
        match (wanted, present) {
            (Some(wanted), Some(present)) => {
                (!present.tidy || present.spec != wanted).then(|| Step::Change(Box::new(wanted)))
            }
            (Some(wanted), None) => Some(Step::Create(Box::new(wanted))),
            (None, Some(_)) => Some(Step::Delete),
            (None, None) => None,
        }
    }

    /// What is to become of an object whose thing is not in Rancher; `None` while that is not known.
    fn without_record(&self, spec: &RancherResourceSpec, around: &Surroundings) -> Option<Option<RancherResourceSpec>> {
        let key = Key::of(spec);
        if key.kind == ResourceKind::Namespace && !self.namespaces {
            return Some(None);
        }
        if !self.is_known(&key) {
            return None;
        }
        let removed = || RancherResourceSpec {
            integration_ref: self.reference(),
            state: ResourceState::Removed,
            offered: false,
            ..spec.clone()
        };
        Some(self.is_used(spec, around).then(removed))
    }

    /// Whether an unsettled grant uses it, by its id or by the name that Rancher shows.
    fn is_used(&self, spec: &RancherResourceSpec, around: &Surroundings) -> bool {
        let clusters = spec.cluster.as_ref().map_or(["", ""], |cluster| [&cluster.id, &cluster.display_name]);
        let called = |cluster, id| Key { kind: spec.kind, cluster, id }.name(&self.integration);
        let mut all =
            clusters.into_iter().flat_map(|cluster| [&spec.id, &spec.display_name].map(|id| called(cluster, id)));
        all.any(|name| around.used.contains(&name))
    }

    /// Whether all is known that says what is to become of it.
    fn is_known(&self, key: &Key<'_>) -> bool {
        let listed = |source: &Source| self.sources.get(source).is_some_and(|listing| listing.listed.is_some());
        let parents = key.cluster.is_empty() || listed(&Source::Clusters);
        match key.kind {
            ResourceKind::Namespace => {
                let cluster_is_gone = !self.records.contains_key(&Key::cluster(key.cluster).name(&self.integration));
                parents && listed(&Source::Projects) && (cluster_is_gone || listed(&Source::of(key)))
            }
            _ => parents && listed(&Source::of(key)),
        }
    }

    fn reference(&self) -> ObjectReference {
        ObjectReference { name: self.integration.clone() }
    }

    fn spec(&self, record: &Record, around: &Surroundings) -> RancherResourceSpec {
        let find = |key: Key<'_>| self.records.get(&key.name(&self.integration));
        let parent = |key: Key<'_>| {
            let display_name = find(key).map_or(key.id, |found| &found.display_name).to_owned();
            Parent { id: key.id.to_owned(), display_name }
        };
        let cluster = (!record.cluster.is_empty()).then(|| Key::cluster(&record.cluster));
        let on = cluster.and_then(find);
        let guarded = record.guarded || on.is_some_and(|cluster| cluster.guarded);
        let offer = offer(record, on);
        RancherResourceSpec {
            integration_ref: self.reference(),
            kind: record.kind,
            id: record.id.clone(),
            display_name: record.display_name.clone(),
            cluster: cluster.map(parent),
            project: record.project.as_deref().map(|id| parent(Key::project(&record.cluster, id))),
            owner: record.owner.clone(),
            state: record.state,
            offered: around.policies.iter().any(|policy| offers(&policy.spec, &offer, guarded)),
        }
    }

    /// How many there are of each kind.
    pub(super) fn counts(&self) -> [(ResourceKind, usize); 6] {
        ResourceKind::ALL.map(|kind| {
            let is = |record: &&Record| record.kind == kind && !record.withheld;
            (kind, self.records.values().filter(is).count())
        })
    }

    /// The figures, once each source was listed or turned out to be none that can be.
    pub(super) fn status(&self) -> Option<DiscoveryStatus> {
        let waits = |listing: &Listing| listing.listed.is_none() && listing.failed.is_none();
        if self.namespaces_wait || self.sources.values().any(waits) {
            return None;
        }
        let listed: Option<Vec<_>> = self.sources.values().map(|listing| listing.listed).collect();
        let [clusters, projects, namespaces, cluster_roles, project_roles, global_roles] =
            self.counts().map(|(_, count)| i32::try_from(count).unwrap_or(i32::MAX));
        Some(DiscoveryStatus {
            last_sync_time: listed.and_then(|listed| listed.into_iter().min()).map(Time),
            clusters,
            projects,
            namespaces,
            cluster_roles,
            project_roles,
            global_roles,
            error: None,
        })
    }

    /// What cannot be read at present, in words.
    pub(super) fn trouble(&self, interval: &str) -> Option<String> {
        let told = self.sources.iter().filter_map(|(source, listing)| {
            let what = source.words();
            if let Some(why) = &listing.failed {
                return Some(format!("The {what} cannot be listed, and what was known of them stays: {why}."));
            }
            let (_, why) = listing.refused.as_ref().filter(|(at, _)| at.elapsed() < REFUSED)?;
            Some(format!("The {what} cannot be watched, so changes are seen only every {interval}: {why}."))
        });
        let told = told.collect::<Vec<_>>().join(" ");
        (!told.is_empty()).then(|| one_line(&told, MESSAGE_MAX))
    }

    fn source(&mut self, source: &Source) -> &mut Listing {
        self.sources.entry(source.clone()).or_default()
    }
}

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

fn offer<'a>(record: &'a Record, cluster: Option<&'a Record>) -> Offer<'a> {
    let (id, labels) = (record.id.as_str(), &record.labels);
    match record.kind {
        ResourceKind::Cluster => Offer::Cluster { id, labels },
        ResourceKind::Project => Offer::Project {
            cluster: &record.cluster,
            cluster_labels: cluster.map_or(&NO_LABELS, |cluster| &cluster.labels),
            id,
            labels,
        },
        ResourceKind::Namespace => Offer::Namespace { cluster: &record.cluster, name: id },
        ResourceKind::ClusterRole => Offer::ClusterRole(id),
        ResourceKind::ProjectRole => Offer::ProjectRole(id),
        ResourceKind::GlobalRole => Offer::GlobalRole(id),
    }
}

#[cfg(test)]
mod tests;
