//! What an approval is for, in one word.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::api::{
    approval::ApproverSet,
    reference::IdentityKind,
    status::{BindingRecord, PolicyRecord},
};

/// Length of a digest, in characters: 128 bits, in hexadecimal.
const LENGTH: usize = 32;

/// All that is approved, as it was resolved. Whatever of it changes makes another digest.
#[derive(Clone, Debug)]
pub struct Approved<'a> {
    /// Which Rancher: its install-uuid.
    pub rancher: &'a str,
    /// The bindings that would be made: whom they bind, his UID, where, and which role.
    pub bindings: &'a [BindingRecord],
    /// For each `spec.access`, what stands for the target itself (its UID) and for the role (its rules).
    pub targets: Vec<(&'a str, &'a str)>,
    /// When it begins and ends: start, end, duration, and the UID and end of the grant that it extends.
    pub window: [Option<String>; 5],
    /// Who may approve.
    pub sets: &'a [ApproverSet],
    /// Whether one may approve one's own.
    pub self_approval: bool,
    /// The policies that allow it and that demand something, as they stood.
    pub policies: Vec<&'a PolicyRecord>,
}

impl Approved<'_> {
    /// The digest.
    pub fn digest(&self) -> String {
        let bindings: Vec<_> = self
            .bindings
            .iter()
            .map(|b| {
                (format!("{:?}", b.kind), &b.cluster, &b.project, &b.namespace, &b.subject, &b.subject_uid, &b.role)
            })
            .collect();
        let mut sets: Vec<_> = self.sets.iter().map(people).collect();
        sets.sort();
        let policies: Vec<_> = self.policies.iter().map(|p| (&p.name, &p.uid, p.generation)).collect();
        fingerprint(&(self.rancher, bindings, &self.targets, &self.window, sets, self.self_approval, policies))
    }
}

type Person<'a> = (IdentityKind, &'a str, Option<&'a str>);

/// Whose approval a set asks for. How they are called in Rancher, and where they are named, is not what is approved.
fn people(set: &ApproverSet) -> (&str, i32, Vec<Person<'_>>) {
    let mut people: Vec<_> = set.candidates.iter().map(|c| (c.kind, c.name.as_str(), c.namespace.as_deref())).collect();
    people.sort();
    (&set.name, set.required, people)
}

/// Stands for a value: two values have the same only if they are the same.
pub fn fingerprint(value: &impl Serialize) -> String {
    // What cannot be written down stands for itself alone, so that nothing else has its fingerprint by chance; nothing
    // that is passed here is of that kind.
    let text = serde_json::to_vec(value).unwrap_or_else(|error| error.to_string().into_bytes());
    let hash = Sha256::digest(&text);
    hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>().chars().take(LENGTH).collect()
}
