//! Bindings: the objects that give a subject a role somewhere.
use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::{
    absence::{ProofOfAbsence, Sighting, Target},
    call::{Call, path},
    client::{LOCAL, Rancher},
    error::Error,
    wire::{Binding, BindingKind, RawBinding, RawRoleBinding, Scope, Subject},
};

/// Which binding: all it takes to look for it or to delete it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BindingRef {
    /// Its kind.
    pub kind: BindingKind,
    /// The cluster that keeps it: Rancher's own for Rancher's kinds, the target for a RoleBinding.
    pub cluster: String,
    /// The cluster's id, the project's backing namespace, the namespace itself; empty for a global one.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl BindingRef {
    /// Whether the proof is about this binding.
    pub fn is_absent_by(&self, proof: &ProofOfAbsence) -> bool {
        *proof.target() == self.target()
    }

    fn target(&self) -> Target {
        Target {
            group: self.kind.group(),
            resource: self.kind.resource(),
            namespace: Some(self.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            name: self.name.clone(),
        }
    }
}

impl fmt::Display for BindingRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{}", self.kind, self.namespace, self.name)
    }
}

impl Binding {
    /// Which binding this is.
    pub fn reference(&self) -> BindingRef {
        BindingRef {
            kind: self.kind,
            cluster: keeper(&self.scope).to_owned(),
            namespace: self.meta.namespace.clone(),
            name: self.meta.name.clone(),
        }
    }
}

/// The cluster that keeps a binding of that scope.
fn keeper(scope: &Scope) -> &str {
    match scope {
        Scope::Namespace { cluster, .. } => cluster,
        _ => LOCAL,
    }
}

/// Whom a new binding is for: exactly one form, for Rancher refuses two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewSubject {
    /// A user by Rancher id. Rancher accepts one that does not exist.
    User(String),
    /// A user by principal. Rancher makes a user for one it has never seen, who stays when the binding goes.
    UserPrincipal(String),
    /// A group by principal.
    GroupPrincipal(String),
}

/// A binding to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBinding {
    /// Its name, unique across this Rancher: Rancher's aggregated model finds what belongs to it by name alone.
    pub name: String,
    /// The cluster's id, the project's backing namespace, the namespace itself; empty for a global one.
    pub namespace: String,
    /// Whom it is for.
    pub subject: NewSubject,
    /// Where it gives the role; decides the kind.
    pub scope: Scope,
    /// The id of the RoleTemplate or GlobalRole, or the name of the ClusterRole.
    pub role: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl NewBinding {
    /// Which binding it will be.
    pub fn reference(&self) -> BindingRef {
        BindingRef {
            kind: self.scope.kind(),
            cluster: keeper(&self.scope).to_owned(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    fn body(&self) -> Value {
        let kind = self.scope.kind();
        let mut body = Map::new();
        let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
        put("apiVersion", json!(format!("{}/{}", kind.group(), kind.version())));
        put("kind", json!(kind.kind()));
        let mut metadata = json!({"name": self.name, "labels": self.labels, "annotations": self.annotations});
        if let (Some(fields), false) = (metadata.as_object_mut(), self.namespace.is_empty()) {
            fields.insert("namespace".to_owned(), json!(self.namespace));
        }
        put("metadata", metadata);
        match &self.scope {
            Scope::Cluster { cluster } => put("clusterName", json!(cluster)),
            Scope::Project { cluster, project } => put("projectName", json!(format!("{cluster}:{project}"))),
            Scope::Global => put("globalRoleName", json!(self.role)),
            Scope::Namespace { .. } => {
                put("roleRef", json!({"apiGroup": kind.group(), "kind": "ClusterRole", "name": self.role}));
                put("subjects", json!([self.subject.of_kubernetes(kind.group())]));
                return Value::Object(body);
            }
        };
        match &self.subject {
            NewSubject::User(id) => put("userName", json!(id)),
            NewSubject::UserPrincipal(principal) => put("userPrincipalName", json!(principal)),
            NewSubject::GroupPrincipal(principal) => put("groupPrincipalName", json!(principal)),
        };
        if kind != BindingKind::Global {
            put("roleTemplateName", json!(self.role));
        }
        Value::Object(body)
    }
}

impl NewSubject {
    /// As Kubernetes names him behind Rancher: users by their id, groups by their principal.
    fn of_kubernetes(&self, group: &str) -> Value {
        match self {
            Self::User(id) => json!({"apiGroup": group, "kind": "User", "name": id}),
            Self::UserPrincipal(principal) => {
                let him = Subject { user_principal: Some(principal.clone()), ..Subject::default() };
                json!({"apiGroup": group, "kind": "User", "name": him.user_id()})
            }
            Self::GroupPrincipal(principal) => json!({"apiGroup": group, "kind": "Group", "name": principal}),
        }
    }
}

/// What came of a delete.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// It was not there any more, proven.
    Gone(ProofOfAbsence),
    /// It is going: Rancher cleans up, and takes its finalizers off. Look until it is gone.
    Terminating(Box<Binding>),
    /// Accepted, without the object: it went at once. Look, to have the proof.
    Accepted,
    /// Another object has the name: made after the one meant was deleted. Nothing was deleted.
    UidMismatch,
}

impl Rancher {
    /// The bindings of one of Rancher's own kinds: of one namespace, or of all.
    ///
    /// # Errors
    /// As for every call: see [`Error`]. A binding that cannot be read is an error, for it may be the one looked for.
    pub async fn bindings(&self, kind: BindingKind, namespace: Option<&str>) -> Result<Vec<Binding>, Error> {
        let path = self.management(kind.resource(), namespace, None)?;
        let raw: Vec<RawBinding> = self.list_all(&path, None).await?;
        Ok(raw.into_iter().map(|b| b.into_binding(kind)).collect())
    }

    /// Kubernetes' own role bindings of a cluster: of one namespace or of all, with these labels or with any.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn role_bindings(
        &self,
        cluster: &str,
        namespace: Option<&str>,
        selector: Option<&str>,
    ) -> Result<Vec<Binding>, Error> {
        let path = self.collection_path(BindingKind::Namespace, cluster, namespace)?;
        let raw: Vec<RawRoleBinding> = self.list_all(&path, selector).await?;
        Ok(raw.into_iter().map(|b| b.into_binding(cluster)).collect())
    }

    /// Every binding where this one is or would be, itself included: an equal one would be among them.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn beside(&self, reference: &BindingRef) -> Result<Vec<Binding>, Error> {
        match reference.kind {
            BindingKind::Namespace => self.role_bindings(&reference.cluster, Some(&reference.namespace), None).await,
            BindingKind::Global => self.bindings(reference.kind, None).await,
            kind => self.bindings(kind, Some(&reference.namespace)).await,
        }
    }

    /// Looks at one binding.
    ///
    /// # Errors
    /// As for every call: see [`Error`]. A 404 that does not come from Rancher, or names something else, is
    /// [`Error::Unknown`].
    pub async fn binding(&self, reference: &BindingRef) -> Result<Sighting<Binding>, Error> {
        let look = Call::get(self.binding_path(reference)?).of(reference.target());
        let found = match self.exchange.look::<Value>(look).await? {
            Sighting::Found(found) => found,
            Sighting::Gone(proof) => return Ok(Sighting::Gone(proof)),
        };
        let seen = read(reference.kind, &reference.cluster, found)?;
        if seen.reference() != *reference || seen.meta.uid.is_empty() {
            return Err(Error::unknown(format!("a look at {reference} was answered with another object")));
        }
        Ok(Sighting::Found(seen))
    }

    /// Creates a binding.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] and [`Error::Duplicate`] send back to a look; [`Error::Refused`] is final (locked role, wrong
    /// context, unknown cluster, missing rights); [`Error::Unknown`] may have created it, or may create it yet.
    pub async fn create_binding(&self, new: &NewBinding) -> Result<Binding, Error> {
        let reference = new.reference();
        let namespace = (!new.namespace.is_empty()).then_some(new.namespace.as_str());
        let path = self.collection_path(reference.kind, &reference.cluster, namespace)?;
        let made = self.exchange.object(Call::post(path, &new.body())).await?;
        let made = read(reference.kind, &reference.cluster, made)?;
        if made.meta.name != new.name || made.meta.uid.is_empty() {
            return Err(Error::unknown(format!("creating {reference} was answered with another object")));
        }
        Ok(made)
    }

    /// Deletes a binding, if it is still the object with this UID.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn delete_binding(&self, reference: &BindingRef, uid: &str) -> Result<Deleted, Error> {
        if uid.is_empty() {
            // An empty precondition would be none.
            return Err(Error::Unaddressable { name: String::new() });
        }
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        let call = Call::delete(self.binding_path(reference)?, &body).of(reference.target());
        let answer = match self.exchange.success(&call).await {
            Ok(answer) => answer,
            Err(Error::NotFound(proof)) => return Ok(Deleted::Gone(proof)),
            Err(Error::UidMismatch { .. }) => return Ok(Deleted::UidMismatch),
            Err(error) => return Err(error),
        };
        if answer.kubernetes_status().is_some_and(|s| s.status == "Success") {
            return Ok(Deleted::Accepted);
        }
        let found = self.exchange.decode(&call, &answer)?;
        Ok(Deleted::Terminating(Box::new(read(reference.kind, &reference.cluster, found)?)))
    }

    /// Sets one annotation, so that Rancher looks at the binding again and makes good what it shares with others.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is gone, else as for every call. A binding whose RoleTemplate was deleted cannot be
    /// updated at all: Rancher answers 500, which is [`Error::Unknown`].
    pub async fn touch_binding(&self, reference: &BindingRef, annotation: &str, value: &str) -> Result<Binding, Error> {
        let body = json!({"metadata": {"annotations": {annotation: value}}});
        let path = self.binding_path(reference)?;
        let call = Call::patch(path, "application/merge-patch+json", &body).of(reference.target());
        read(reference.kind, &reference.cluster, self.exchange.object(call).await?)
    }

    /// Every other binding of Rancher's of this subject that is not going itself: in this cluster, its projects included;
    /// without a cluster, in this Rancher. After a revoke they are to be touched, for Rancher lets bindings share what it
    /// makes for them (in the legacy model; and for administrators in both), and deletes that with the first that goes.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn survivors(
        &self,
        subject: &Subject,
        cluster: Option<&str>,
        except: &BindingRef,
    ) -> Result<Vec<Binding>, Error> {
        let mut all = self.bindings(BindingKind::Cluster, cluster).await?;
        // Their namespaces differ by project and version: what they say they are for decides.
        all.extend(self.bindings(BindingKind::Project, None).await?);
        if cluster.is_none() {
            all.extend(self.bindings(BindingKind::Global, None).await?);
        }
        all.retain(|b| {
            let there = cluster.is_none_or(|cluster| b.scope.cluster() == Some(cluster));
            there && subject.is_of(b) && !b.meta.is_terminating() && b.reference() != *except
        });
        Ok(all)
    }

    fn binding_path(&self, reference: &BindingRef) -> Result<String, Error> {
        let namespace = (!reference.namespace.is_empty()).then_some(reference.namespace.as_str());
        let collection = self.collection_path(reference.kind, &reference.cluster, namespace)?;
        Ok(format!("{collection}{}", path(&[&reference.name])?))
    }

    fn collection_path(&self, kind: BindingKind, cluster: &str, namespace: Option<&str>) -> Result<String, Error> {
        let mut segments = vec!["apis", kind.group(), kind.version()];
        if let Some(namespace) = namespace {
            segments.extend(["namespaces", namespace]);
        }
        segments.push(kind.resource());
        self.cluster_path(cluster, &segments)
    }
}

/// An object as a binding. One that does not fit is no clear answer.
fn read(kind: BindingKind, cluster: &str, object: Value) -> Result<Binding, Error> {
    let unreadable = |_| Error::unknown(format!("a {kind} in an answer cannot be read"));
    if kind == BindingKind::Namespace {
        let raw: RawRoleBinding = serde_json::from_value(object).map_err(unreadable)?;
        return Ok(raw.into_binding(cluster));
    }
    let raw: RawBinding = serde_json::from_value(object).map_err(unreadable)?;
    Ok(raw.into_binding(kind))
}

#[cfg(test)]
mod tests;
