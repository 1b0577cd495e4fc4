//! What the server stores: objects, one revision counter for all of them, and the log that watches read.
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    delete::FOREGROUND,
    kind::{Gvr, Kind, StorageKey, built_ins},
    object::{Key, finalizers, is_terminating, meta, owner_uids, stamp},
    observe::{Changed, Observer},
};

/// How many changes are kept at most.
const HISTORY: usize = 20_000;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// It was created.
    Added,
    /// It was changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// One entry of the log.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub revision: u64,
    pub storage: StorageKey,
    pub event: EventType,
    pub key: Key,
    pub old: Option<Arc<Value>>,
    pub object: Arc<Value>,
}

type Objects = BTreeMap<Key, Arc<Value>>;

#[derive(Clone)]
pub(super) struct State {
    pub revision: u64,
    /// Revisions below this one can no longer be watched from.
    pub compacted: u64,
    /// How many entries were dropped from the front of `log`.
    pub dropped: usize,
    pub kinds: BTreeMap<Gvr, Arc<Kind>>,
    /// Forks share what none of them has written to.
    objects: HashMap<StorageKey, Arc<Objects>>,
    pub log: Vec<Change>,
    /// How many owner references name a UID.
    owners: BTreeMap<String, usize>,
    /// Whether something changed that garbage collection must look at.
    pub garbage: bool,
    /// How many namespaces are being deleted.
    pub ending: usize,
    seed: u64,
    drawn: u64,
    /// Who is told of each change as it is written.
    pub observers: Vec<Observer>,
}

impl State {
    pub fn new(seed: u64, now: Timestamp) -> Self {
        let kinds = built_ins().map(|kind| (kind.gvr.clone(), Arc::new(kind))).collect();
        let mut state = Self {
            revision: 1,
            compacted: 1,
            dropped: 0,
            kinds,
            objects: HashMap::new(),
            log: Vec::new(),
            owners: BTreeMap::new(),
            garbage: false,
            ending: 0,
            seed,
            drawn: 0,
            observers: Vec::new(),
        };
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let uid = state.uid();
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "uid": uid, "creationTimestamp": stamp(now),
                    "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            });
            state.commit(&Gvr::core("namespaces"), &Key::cluster(name), Some(namespace));
        }
        state
    }

    fn draw(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(self.drawn.to_be_bytes());
        hash.finalize().into()
    }

    /// The next UID; the same seed gives the same sequence.
    pub fn uid(&mut self) -> String {
        let bytes = self.draw();
        let hex: String = bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    /// The five characters that generateName appends.
    pub fn suffix(&mut self) -> String {
        let alphabet = b"bcdfghjklmnpqrstvwxz2456789";
        self.draw().iter().take(5).map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect()
    }

    pub fn get(&self, gvr: &Gvr, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(&gvr.storage())?.get(key).cloned()
    }

    /// All objects of a resource, as they are stored.
    pub fn all(&self, gvr: &Gvr) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.get(&gvr.storage()).into_iter().flat_map(|objects| objects.iter())
    }

    /// All objects of a resource, or those of one namespace, in the order of their keys.
    pub fn list(&self, gvr: &Gvr, namespace: Option<&str>) -> Vec<(Key, Arc<Value>)> {
        let Some(objects) = self.objects.get(&gvr.storage()) else {
            return Vec::new();
        };
        objects
            .iter()
            .filter(|(key, _)| namespace.is_none_or(|wanted| key.namespace == wanted))
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect()
    }

    /// Whether any object of a resource is such a one.
    pub fn has(&self, gvr: &Gvr, such: impl Fn(&Value) -> bool) -> bool {
        self.all(gvr).any(|(_, object)| such(object))
    }

    /// Every stored object with its storage key, in the order of both keys.
    pub fn everything(&self) -> impl Iterator<Item = (&StorageKey, &Key, &Arc<Value>)> {
        let mut objects: Vec<_> = self.objects.iter().collect();
        objects.sort_by_key(|(storage, _)| *storage);
        objects.into_iter().flat_map(|(storage, all)| all.iter().map(move |(key, object)| (storage, key, object)))
    }

    /// Writes an object (`None` removes it) under a new revision and logs it. Returns what watches will see.
    pub fn commit(&mut self, gvr: &Gvr, key: &Key, object: Option<Value>) -> Arc<Value> {
        let storage = gvr.storage();
        let objects = self.objects.entry(storage.clone()).or_default();
        let old = objects.get(key).cloned();
        self.revision += 1;
        let event = match (&old, &object) {
            (None, _) => EventType::Added,
            (Some(_), Some(_)) => EventType::Modified,
            (Some(_), None) => EventType::Deleted,
        };
        let gone = object.is_none();
        let mut value = object.or_else(|| old.as_deref().cloned()).unwrap_or_default();
        value["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let stored = Arc::new(value);
        self.note_owners(old.as_deref(), (!gone).then_some(stored.as_ref()));
        if storage == Gvr::core("namespaces").storage() {
            self.ending -= usize::from(old.as_deref().is_some_and(is_terminating));
            self.ending += usize::from(!gone && is_terminating(&stored));
        }
        let objects = Arc::make_mut(self.objects.entry(storage.clone()).or_default());
        if gone {
            objects.remove(key);
        } else {
            objects.insert(key.clone(), Arc::clone(&stored));
        }
        for observer in &self.observers {
            let (Key { namespace, name }, old) = (key, old.as_deref());
            observer(&Changed { event, gvr, namespace, name, old, object: &stored });
        }
        self.log.push(Change {
            revision: self.revision,
            storage,
            event,
            key: key.clone(),
            old,
            object: Arc::clone(&stored),
        });
        if self.log.len() > HISTORY {
            self.forget_oldest();
        }
        stored
    }

    /// Keeps count of owners, and notes when garbage collection has to look.
    fn note_owners(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let (before, after) = (old.map(owner_uids).unwrap_or_default(), new.map(owner_uids).unwrap_or_default());
        self.garbage |= before != after && new.is_some_and(|new| !self.owners_stand(new));
        self.garbage |=
            new.is_some_and(|new| is_terminating(new) && finalizers(new).iter().any(|one| one == FOREGROUND));
        for uid in &before {
            if let Some(count) = self.owners.get_mut(*uid) {
                *count -= 1;
                // The last dependent of an owner that waits for it.
                self.garbage |= *count == 0;
                if *count == 0 {
                    self.owners.remove(*uid);
                }
            }
        }
        for uid in after {
            *self.owners.entry(uid.to_owned()).or_default() += 1;
        }
        if let (Some(old), None) = (old, new) {
            self.garbage |= self.owners.contains_key(meta(old, "uid"));
        }
    }

    /// Whether all owners of an object are there to stay.
    fn owners_stand(&self, object: &Value) -> bool {
        let stands = |owner: &Value| {
            let of = |kind: &&Arc<Kind>| owner["kind"] == kind.kind && owner["apiVersion"] == kind.gvr.api_version();
            let (Some(kind), Some(name)) = (self.kinds.values().find(of), owner["name"].as_str()) else { return false };
            let namespace = if kind.namespaced { meta(object, "namespace") } else { "" };
            let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
            self.get(&kind.gvr, &key)
                .is_some_and(|found| owner["uid"] == meta(&found, "uid") && !is_terminating(&found))
        };
        object["metadata"]["ownerReferences"].as_array().is_none_or(|owners| owners.iter().all(stands))
    }

    /// As etcd's compaction: who stands before what is left must list again.
    fn forget_oldest(&mut self) {
        let oldest: Vec<Change> = self.log.drain(..HISTORY / 2).collect();
        self.dropped += oldest.len();
        self.compacted = oldest.last().map_or(self.compacted, |change| change.revision);
    }

    /// Forgets the log: whoever watches from before now must list again.
    pub fn compact(&mut self) {
        self.revision += 1;
        self.compacted = self.revision;
        self.dropped += self.log.len();
        self.log.clear();
    }

    /// Stands where it stood at that revision, with no memory of what came after.
    pub fn rewind(&mut self, revision: u64, objects: impl Iterator<Item = ((StorageKey, Key), Arc<Value>)>) {
        self.objects.clear();
        for ((storage, key), object) in objects {
            Arc::make_mut(self.objects.entry(storage).or_default()).insert(key, object);
        }
        let namespaces = self.objects.get(&Gvr::core("namespaces").storage());
        self.ending = namespaces.into_iter().flat_map(|all| all.values()).filter(|one| is_terminating(one)).count();
        (self.revision, self.compacted) = (revision, revision);
        self.dropped += self.log.len();
        self.log.clear();
    }

    pub fn kind(&self, gvr: &Gvr) -> Option<Arc<Kind>> {
        self.kinds.get(gvr).cloned()
    }

    /// Any served version of a stored resource.
    pub fn kind_of_storage(&self, storage: &StorageKey) -> Option<Arc<Kind>> {
        self.kinds.values().find(|kind| kind.gvr.storage() == *storage).cloned()
    }
}
