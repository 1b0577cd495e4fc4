//! Bindings: the objects that give a subject a role in a cluster or a project.
use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::{
    absence::{ProofOfAbsence, Sighting, Target},
    call::Call,
    client::{MANAGEMENT, Rancher},
    error::Error,
    wire::{Binding, BindingKind, RawBinding, Scope, Subject},
};

/// Which binding: all it takes to look for it or to delete it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BindingRef {
    /// Which of the two kinds.
    pub kind: BindingKind,
    /// The cluster's id, or the project's backing namespace.
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
            group: MANAGEMENT,
            resource: self.kind.resource(),
            namespace: Some(self.namespace.clone()),
            name: self.name.clone(),
        }
    }
}

impl fmt::Display for BindingRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Binding {
    /// Which binding this is.
    pub fn reference(&self) -> BindingRef {
        BindingRef { kind: self.kind, namespace: self.meta.namespace.clone(), name: self.meta.name.clone() }
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
    /// The cluster's id, or the project's backing namespace.
    pub namespace: String,
    /// Whom it is for.
    pub subject: NewSubject,
    /// Where it gives the role; decides the kind.
    pub scope: Scope,
    /// The RoleTemplate's id.
    pub role_template: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl NewBinding {
    /// Which binding it will be.
    pub fn reference(&self) -> BindingRef {
        BindingRef { kind: self.scope.kind(), namespace: self.namespace.clone(), name: self.name.clone() }
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
        put("apiVersion", json!(format!("{MANAGEMENT}/v3")));
        put("kind", json!(self.scope.kind().kind()));
        put(
            "metadata",
            json!({"name": self.name, "namespace": self.namespace, "labels": self.labels, "annotations": self.annotations}),
        );
        match &self.scope {
            Scope::Cluster { cluster } => put("clusterName", json!(cluster)),
            Scope::Project { cluster, project } => put("projectName", json!(format!("{cluster}:{project}"))),
        };
        match &self.subject {
            NewSubject::User(id) => put("userName", json!(id)),
            NewSubject::UserPrincipal(principal) => put("userPrincipalName", json!(principal)),
            NewSubject::GroupPrincipal(principal) => put("groupPrincipalName", json!(principal)),
        };
        put("roleTemplateName", json!(self.role_template));
        Value::Object(body)
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
    /// The bindings of a kind: of one namespace, or of all.
    ///
    /// # Errors
    /// As for every call: see [`Error`]. A binding that cannot be read is an error, for it may be the one looked for.
    pub async fn bindings(&self, kind: BindingKind, namespace: Option<&str>) -> Result<Vec<Binding>, Error> {
        let path = self.management(kind.resource(), namespace, None)?;
        let raw: Vec<RawBinding> = self.list_all(&path, None).await?;
        Ok(raw.into_iter().map(|b| b.into_binding(kind)).collect())
    }

    /// Looks at one binding.
    ///
    /// # Errors
    /// As for every call: see [`Error`]. A 404 that does not come from Rancher, or names something else, is
    /// [`Error::Unknown`].
    pub async fn binding(&self, reference: &BindingRef) -> Result<Sighting<Binding>, Error> {
        let look = Call::get(self.binding_path(reference)?).of(reference.target());
        let raw: RawBinding = match self.exchange.look(look).await? {
            Sighting::Found(raw) => raw,
            Sighting::Gone(proof) => return Ok(Sighting::Gone(proof)),
        };
        let seen = raw.into_binding(reference.kind);
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
        let kind = new.scope.kind();
        let path = self.management(kind.resource(), Some(&new.namespace), None)?;
        let raw: RawBinding = self.exchange.object(Call::post(path, &new.body())).await?;
        let made = raw.into_binding(kind);
        if made.meta.name != new.name || made.meta.uid.is_empty() {
            return Err(Error::unknown(format!("creating {} was answered with another object", new.reference())));
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
        let raw: RawBinding = self.exchange.decode(&call, &answer)?;
        Ok(Deleted::Terminating(Box::new(raw.into_binding(reference.kind))))
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
        let raw: RawBinding = self.exchange.object(call).await?;
        Ok(raw.into_binding(reference.kind))
    }

    /// Every other binding of this subject in this cluster, its projects included, that is not going itself: after a revoke
    /// they are to be touched, for Rancher's legacy model lets bindings share downstream objects and deletes those with the
    /// first binding that goes.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn survivors(
        &self,
        subject: &Subject,
        cluster: &str,
        except: &BindingRef,
    ) -> Result<Vec<Binding>, Error> {
        let mut all = self.bindings(BindingKind::Cluster, Some(cluster)).await?;
        // Their namespaces differ by project and version: what they say they are for decides.
        all.extend(self.bindings(BindingKind::Project, None).await?);
        all.retain(|b| {
            b.scope.cluster() == cluster && subject.is_of(b) && !b.meta.is_terminating() && b.reference() != *except
        });
        Ok(all)
    }

    fn binding_path(&self, reference: &BindingRef) -> Result<String, Error> {
        self.management(reference.kind.resource(), Some(&reference.namespace), Some(&reference.name))
    }
}

#[cfg(test)]
mod tests;
