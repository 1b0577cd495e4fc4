//! Proof that an object is not there. A 404 alone proves nothing: load balancers and proxies answer 404 too.
use std::fmt;

use super::answer::{Answer, StatusDetails};

/// One object, as the API addresses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The resource's plural name, for example `clusterroletemplatebindings`.
    pub resource: &'static str,
    /// The namespace, where the resource has one.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.resource, self.name),
            None => write!(f, "{} {}", self.resource, self.name),
        }
    }
}

/// Rancher itself said that this object does not exist. Only an answer can make one: there is no public constructor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofOfAbsence {
    target: Target,
}

impl ProofOfAbsence {
    /// What is absent.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Reads an answer as proof: HTTP 404, a Kubernetes `Status` with the reason `NotFound` that names this object and its
    /// resource, and, where Rancher sits in between (`through_rancher`), its header `X-API-Cattle-Auth: true`.
    pub(crate) fn read(target: &Target, answer: &Answer, through_rancher: bool) -> Option<Self> {
        let status = answer.kubernetes_status()?;
        let details: &StatusDetails = status.details.as_ref()?;
        let proven = answer.code == 404
            && status.reason == "NotFound"
            && details.name == target.name
            && details.kind == target.resource
            && (details.group.is_empty() || details.group == target.group)
            && (!through_rancher || answer.rancher_authenticated);
        proven.then(|| Self { target: target.clone() })
    }
}

impl fmt::Display for ProofOfAbsence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

/// What a look at one object showed.
#[derive(Clone, Debug)]
pub enum Sighting<T> {
    /// It is there.
    Found(T),
    /// It is not there, proven.
    Gone(ProofOfAbsence),
}

impl<T> Sighting<T> {
    /// The object, where it is there.
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(object) => Some(object),
            Self::Gone(_) => None,
        }
    }
}
