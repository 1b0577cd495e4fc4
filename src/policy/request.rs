//! What is judged, and by what.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{limits::Limits, overlay};
use crate::api::{
    AccessGrantSpec, AccessPolicy, AccessPolicySpec, integration::IdentityMapping, policy::Effect, reference::Caller,
    status::PolicyRecord,
};

/// A policy, as it stood when it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// What it says.
    pub spec: AccessPolicySpec,
}

impl Policy {
    /// Whether it denies what it matches, and is in force.
    pub fn is_in_force_to_deny(&self) -> bool {
        self.spec.effect == Effect::Deny && !self.spec.suspend
    }

    /// Whether an overlay may be about what that requester asks for.
    pub fn may_mean(&self, requester: &Caller) -> bool {
        self.spec.requesters.is_empty() || self.spec.requesters.iter().any(|entry| overlay::may_be(entry, requester))
    }

    /// What a grant's status keeps of the policy that allowed it.
    pub fn record(&self) -> PolicyRecord {
        PolicyRecord {
            name: self.name.clone(),
            uid: self.uid.clone(),
            generation: self.generation,
            on_policy_change: self.spec.on_policy_change,
        }
    }
}

/// Why an AccessPolicy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The object did not come from an API server.
    #[error("AccessPolicy {name:?} has no metadata.{field}: it must be read from the API server")]
    Unborn {
        /// The policy's name, as far as it has one.
        name: String,
        /// The field that is missing.
        field: &'static str,
    },
    /// A duration or a number in it makes no sense.
    #[error("AccessPolicy {name}: {why}")]
    Invalid {
        /// The policy's name.
        name: String,
        /// The field, and what to write there.
        why: String,
    },
}

impl TryFrom<&AccessPolicy> for Policy {
    type Error = PolicyError;

    fn try_from(object: &AccessPolicy) -> Result<Self, Self::Error> {
        let metadata = &object.metadata;
        let name = metadata.name.clone().unwrap_or_default();
        let unborn = |field| PolicyError::Unborn { name: name.clone(), field };
        if name.is_empty() {
            return Err(unborn("name"));
        }
        let uid = metadata.uid.clone().ok_or_else(|| unborn("uid"))?;
        let generation = metadata.generation.ok_or_else(|| unborn("generation"))?;
        let spec = object.spec.clone();
        if let Err(why) = Limits::of(&spec) {
            return Err(PolicyError::Invalid { name, why });
        }
        Ok(Policy { name, uid, generation, spec })
    }
}

/// A grant that is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The namespace that the grant lives in.
    pub namespace: &'a str,
    /// The labels of that namespace.
    pub namespace_labels: &'a BTreeMap<String, String>,
    /// What it asks for. Its `requestedBy` must have been proven.
    pub spec: &'a AccessGrantSpec,
    /// How the integration maps names.
    pub mapping: Option<&'a IdentityMapping>,
    /// When the grant that it extends ends: it begins there.
    pub from: Option<Timestamp>,
    /// The grants besides it that are not finished.
    pub unfinished: &'a Unfinished,
}

/// How many grants are allowed and not finished, by the policy that allowed them: those of policies with limits, in the
/// namespace and by the requester of the grant that is judged. That grant itself, and the one that it extends, do not
/// count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished(pub BTreeMap<String, Count>);

/// How many grants are not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// In this namespace.
    pub in_namespace: usize,
    /// By this requester.
    pub by_requester: usize,
}
