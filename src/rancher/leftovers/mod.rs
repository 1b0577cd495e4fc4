//! What Rancher made for a binding and did not take back. A proven 404 of the binding does not prove that its access is gone:
//! Rancher forgets what a binding deleted too soon, or stripped of its finalizers, had been given.
use std::{collections::BTreeSet, fmt, sync::Mutex};

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    absence::{ProofOfAbsence, Sighting, Target},
    binding::BindingRef,
    call::Call,
    client::Rancher,
    error::Error,
    wire::{BindingKind, RawBinding, Subject},
};

mod judge;
mod names;

pub use judge::MadeKind;
use judge::{By, Made, Query};

/// Looks under way at once: a look must not crowd out revocations.
const AT_ONCE: usize = 4;

/// A binding that is gone, with what it takes to recognise what it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The binding. Its namespace is the cluster's id or the project's backing namespace.
    pub binding: BindingRef,
    /// The clusters it gave access to, as far as something may be left there that Rancher's own cluster does not tell of:
    /// one for a cluster or project binding; all for a global one that made its holder administrator of each.
    pub clusters: Vec<String>,
    /// Whether the subject is administrator of all clusters by another global binding too: what makes him that is then
    /// not only this one's.
    pub stays_admin: bool,
    /// Whom it was for. The user's id should be known: what Rancher makes names the id, not the principal.
    pub subject: Subject,
    /// The role it gave, and every role that one inherits, by id: Rancher names its management rights after them.
    pub roles: Vec<String>,
}

/// What to do with a left-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Delete it: nobody else owns it.
    Delete,
    /// Take these labels (key and value) off: other bindings own it too.
    DropKeys(Vec<(String, String)>),
}

/// One object that was made for the binding and is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The cluster it is on.
    pub cluster: String,
    /// Its kind.
    pub kind: MadeKind,
    /// Its namespace, empty for a ClusterRoleBinding.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version that was judged.
    pub resource_version: String,
    /// The role it gives.
    pub role: String,
    /// Whether it is going already: then it is only waited for.
    pub going: bool,
    /// What to do with it.
    pub remedy: Remedy,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, kind, namespace, name, role, .. } = self;
        let slash = if namespace.is_empty() { "" } else { "/" };
        write!(f, "{kind:?} {namespace}{slash}{name} ({role}) on cluster {cluster}")
    }
}

/// A place that could not be read: what is there is unknown, not nothing.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// The cluster.
    pub cluster: String,
    /// What was looked for.
    pub kind: MadeKind,
    /// Why it could not be read.
    pub error: Error,
}

/// What a look showed.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// What is left. Empty proves nothing while `unreadable` is not.
    pub found: Vec<Leftover>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
}

impl Looked {
    /// Whether every place was read and nothing is left.
    pub fn is_clean(&self) -> bool {
        self.found.is_empty() && self.unreadable.is_empty()
    }
}

/// What came of removing left-overs.
#[derive(Clone, Debug, Default)]
pub struct Removal {
    /// Those that are gone, or no longer marked as ours.
    pub removed: Vec<Leftover>,
    /// Those that are not, and why. An [`Error::Conflict`]: it changed; look again.
    pub failed: Vec<(Leftover, Error)>,
}

impl Rancher {
    /// Looks for what a binding may have left, downstream and on Rancher's own cluster. A cluster that once gives no answer is
    /// asked nothing more: each question could take as long as a call may.
    pub async fn leftovers(&self, trace: &Trace) -> Looked {
        let silent = Mutex::new(BTreeSet::new());
        let answers = stream::iter(judge::queries(trace))
            .map(|query| async {
                let is_silent = silent.lock().is_ok_and(|silent| silent.contains(&query.cluster));
                if is_silent {
                    return None;
                }
                let answer = self.ask(&query).await;
                if answer.as_ref().is_err_and(Error::is_silence)
                    && let Ok(mut silent) = silent.lock()
                {
                    silent.insert(query.cluster.clone());
                }
                Some((query, answer))
            })
            .buffered(AT_ONCE);
        let mut looked = Looked::default();
        for (query, answer) in answers.collect::<Vec<_>>().await.into_iter().flatten() {
            match answer {
                Ok(objects) => {
                    let ours = objects.iter().filter_map(|o| judge::judge(trace, &query.cluster, query.kind, o));
                    for leftover in ours {
                        if !looked.found.iter().any(|l| l.cluster == leftover.cluster && l.uid == leftover.uid) {
                            looked.found.push(leftover);
                        }
                    }
                }
                Err(error) => looked.unreadable.push(Unreadable { cluster: query.cluster, kind: query.kind, error }),
            }
        }
        looked
    }

    /// Removes left-overs of a binding that is proven absent.
    ///
    /// # Errors
    /// [`Error::Conflict`] where the proof is about another binding; then nothing was touched.
    pub async fn remove_leftovers(
        &self,
        trace: &Trace,
        found: &[Leftover],
        proof: &ProofOfAbsence,
    ) -> Result<Removal, Error> {
        if !trace.binding.is_absent_by(proof) {
            return Err(Error::Conflict { message: format!("{} is not proven absent: {proof} is", trace.binding) });
        }
        let mut removal = Removal::default();
        for leftover in found.iter().filter(|left| !left.going) {
            match self.remove_leftover(leftover).await {
                // Gone meanwhile, or another object by now, which the next look judges.
                Ok(()) | Err(Error::NotFound(_) | Error::UidMismatch { .. }) => removal.removed.push(leftover.clone()),
                Err(error) => removal.failed.push((leftover.clone(), error)),
            }
        }
        Ok(removal)
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<(), Error> {
        let Leftover { cluster, kind, namespace, name, .. } = leftover;
        let path = self.made_path(cluster, *kind, Some((namespace, name)))?;
        let call = match &leftover.remedy {
            Remedy::DropKeys(keys) => {
                Call::patch(path, "application/json-patch+json", &judge::drop_keys(leftover, keys))
            }
            // The version too: another binding may have become its owner since.
            Remedy::Delete => Call::delete(
                path,
                &json!({"apiVersion": "v1", "kind": "DeleteOptions",
                    "preconditions": {"uid": leftover.uid, "resourceVersion": leftover.resource_version}}),
            ),
        };
        self.exchange.success(&call.of(target(*kind, namespace, name))).await.map(drop)
    }

    async fn ask(&self, query: &Query) -> Result<Vec<Made>, Error> {
        let found: Vec<Value> = match &query.by {
            By::Label(selector) => {
                self.list_all(&self.made_path(&query.cluster, query.kind, None)?, Some(selector)).await?
            }
            By::Name { namespace, name } => {
                let path = self.made_path(&query.cluster, query.kind, Some((namespace, name)))?;
                let call = Call::get(path).of(target(query.kind, namespace, name));
                self.exchange.look(call).await.map(Sighting::found)?.into_iter().collect()
            }
        };
        found.into_iter().map(|object| read(query.kind, object)).collect()
    }

    fn made_path(&self, cluster: &str, kind: MadeKind, object: Option<(&str, &str)>) -> Result<String, Error> {
        let mut segments = vec!["apis", kind.group(), kind.version()];
        match object {
            Some((namespace, name)) if kind != MadeKind::ClusterRoleBinding => {
                segments.extend(["namespaces", namespace, kind.resource(), name]);
            }
            Some((_, name)) => segments.extend([kind.resource(), name]),
            None => segments.push(kind.resource()),
        }
        self.cluster_path(cluster, &segments)
    }
}

fn read(kind: MadeKind, object: Value) -> Result<Made, Error> {
    let unreadable = |_| Error::unknown(format!("a {kind:?} in an answer cannot be read"));
    if kind == MadeKind::ClusterRoleTemplateBinding {
        let raw: RawBinding = serde_json::from_value(object).map_err(unreadable)?;
        return Ok(Made::from(raw.into_binding(BindingKind::Cluster)));
    }
    serde_json::from_value(object).map_err(unreadable)
}

fn target(kind: MadeKind, namespace: &str, name: &str) -> Target {
    Target {
        group: kind.group(),
        resource: kind.resource(),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
