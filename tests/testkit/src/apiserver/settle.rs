//! What kube-controller-manager does on a real cluster, done here at once after every write: namespaces and
//! definitions that end take their content along, and dependents go with their last owner.
use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use super::{
    Inner, custom,
    delete::{FOREGROUND, end},
    kind::{Gvr, Kind, StorageKey},
    object::{Key, finalizers, is_terminating, meta, meta_mut, owner_uids, stamp},
    state::State,
};

impl Inner {
    /// Runs until nothing more follows.
    pub(super) fn settle(&self) {
        let now = stamp((self.now)());
        let mut state = self.state();
        loop {
            let before = state.revision;
            end_namespaces(&mut state, &now);
            custom::end_definitions(&mut state, &now);
            collect_garbage(&mut state, &now);
            if state.revision == before {
                return;
            }
        }
    }
}

fn end_namespaces(state: &mut State, now: &Value) {
    if state.ending == 0 {
        return;
    }
    let namespaces = Gvr::core("namespaces");
    for (key, namespace) in state.list(&namespaces, None) {
        if !is_terminating(&namespace) {
            continue;
        }
        let content: Vec<(StorageKey, Key)> = state
            .everything()
            .filter(|(_, object_key, _)| object_key.namespace == key.name)
            .map(|(storage, object_key, _)| (storage.clone(), object_key.clone()))
            .collect();
        let mut left = false;
        for (storage, object_key) in content {
            let Some(kind) = state.kind_of_storage(&storage) else {
                continue;
            };
            left |= !end(state, &kind, &object_key, "", now.clone()).1;
        }
        if !left && finalizers(&namespace).is_empty() {
            state.commit(&namespaces, &key, None);
        }
    }
}

type Found = (Arc<Kind>, Key, Arc<Value>);

fn all(state: &State) -> Vec<Found> {
    let every = state.everything();
    every
        .filter_map(|(storage, key, object)| Some((state.kind_of_storage(storage)?, key.clone(), Arc::clone(object))))
        .collect()
}

fn collect_garbage(state: &mut State, now: &Value) {
    if !std::mem::take(&mut state.garbage) {
        return;
    }
    let objects = all(state);
    let present: BTreeSet<&str> = objects.iter().map(|(_, _, object)| meta(object, "uid")).collect();
    let foreground = |object: &Value| is_terminating(object) && finalizers(object).iter().any(|one| one == FOREGROUND);
    let ending: BTreeSet<&str> =
        objects.iter().filter(|(_, _, object)| foreground(object)).map(|(_, _, object)| meta(object, "uid")).collect();
    for (kind, key, object) in &objects {
        let owners = owner_uids(object);
        let lost = |uid: &&str| !present.contains(uid) || ending.contains(uid);
        if owners.is_empty() || !owners.iter().any(lost) {
            continue;
        }
        if owners.iter().all(lost) {
            end(state, kind, key, "", now.clone());
        } else {
            let kept = |uid: &str| present.contains(uid) && !ending.contains(uid);
            drop_owners(state, kind, key, &kept);
        }
    }
    release_owners(state, &objects, &ending);
}

/// An object that still has an owner forgets those that are gone.
fn drop_owners(state: &mut State, kind: &Kind, key: &Key, kept: &dyn Fn(&str) -> bool) {
    let Some(current) = state.get(&kind.gvr, key) else {
        return;
    };
    let mut object = current.as_ref().clone();
    if let Some(list) = object["metadata"]["ownerReferences"].as_array_mut() {
        list.retain(|owner| owner["uid"].as_str().is_some_and(kept));
    }
    state.commit(&kind.gvr, key, Some(object));
}

/// Lets owners go that waited for dependents which are gone now.
fn release_owners(state: &mut State, objects: &[Found], ending: &BTreeSet<&str>) {
    for (kind, key, object) in objects {
        let uid = meta(object, "uid");
        if !ending.contains(uid) || state.everything().any(|(_, _, other)| owner_uids(other).contains(&uid)) {
            continue;
        }
        let Some(current) = state.get(&kind.gvr, key) else {
            continue;
        };
        let mut released = current.as_ref().clone();
        let mut list = finalizers(&released);
        list.retain(|one| one != FOREGROUND);
        if list.is_empty() {
            let gone = state.commit(&kind.gvr, key, None);
            custom::forget(state, kind, &gone);
        } else {
            meta_mut(&mut released).insert("finalizers".to_owned(), list.into());
            state.commit(&kind.gvr, key, Some(released));
        }
    }
}
