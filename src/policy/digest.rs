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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn binding(change: Value) -> BindingRecord {
        let mut record = json!({"kind": "ProjectRoleTemplateBinding", "cluster": "c-1", "project": "p-1",
            "namespace": "c-1-p-1", "name": "rao-1", "subject": "user:u-1", "subjectUID": "uid-1", "role": "r",
            "state": "Intended", "since": "2026-01-01T00:00:00Z"});
        record.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(record).unwrap()
    }

    fn set(change: Value) -> ApproverSet {
        let mut set = json!({"name": "policy web", "required": 1, "approved": 0, "source": "policy",
            "candidates": [{"kind": "User", "name": "bob"}, {"kind": "Group", "name": "sre"}]});
        set.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(set).unwrap()
    }

    fn policy(generation: i64, uid: &str) -> PolicyRecord {
        serde_json::from_value(json!({"name": "web", "uid": uid, "generation": generation})).unwrap()
    }

    /// What is approved, owned.
    struct Case {
        rancher: &'static str,
        bindings: Vec<BindingRecord>,
        target: (&'static str, &'static str),
        window: [Option<String>; 5],
        sets: Vec<ApproverSet>,
        self_approval: bool,
        policies: Vec<PolicyRecord>,
    }

    fn digest(change: impl FnOnce(&mut Case)) -> String {
        let mut case = Case {
            rancher: "install",
            bindings: vec![binding(json!({}))],
            target: ("uid-p-1", "rules"),
            window: [None, None, Some("3600".to_owned()), None, None],
            sets: vec![set(json!({}))],
            self_approval: false,
            policies: vec![policy(1, "uid-web")],
        };
        change(&mut case);
        let approved = Approved {
            rancher: case.rancher,
            bindings: &case.bindings,
            targets: vec![case.target],
            window: case.window,
            sets: &case.sets,
            self_approval: case.self_approval,
            policies: case.policies.iter().collect(),
        };
        approved.digest()
    }

    #[test]
    fn whatever_is_approved_counts_and_how_it_is_called_does_not() {
        let base = digest(|_| {});
        assert_eq!(base.len(), LENGTH);
        let mut others = vec![
            digest(|case| case.rancher = "other"),
            digest(|case| case.target.0 = "uid-p-2"),
            digest(|case| case.target.1 = "more rules"),
            digest(|case| case.self_approval = true),
            digest(|case| case.policies.clear()),
            digest(|case| case.policies = vec![policy(2, "uid-web")]),
            digest(|case| case.policies = vec![policy(1, "uid-other")]),
        ];
        others.extend((0..5).map(|part| digest(|case| case.window[part] = Some("changed".to_owned()))));
        for change in [
            json!({"subject": "user:u-2"}),
            json!({"subjectUID": "uid-2"}),
            json!({"role": "s"}),
            json!({"cluster": "c-2"}),
            json!({"project": "p-2"}),
            json!({"kind": "ClusterRoleTemplateBinding"}),
        ] {
            others.push(digest(|case| case.bindings = vec![binding(change)]));
        }
        for change in [json!({"required": 2}), json!({"candidates": []}), json!({"name": "policy more"})] {
            others.push(digest(|case| case.sets = vec![set(change)]));
        }
        others.push(base.clone());
        let count = others.len();
        others.sort();
        others.dedup();
        assert_eq!(others.len(), count, "two of them are the same");

        let shown = json!({"source": "label owner=web", "approved": 1,
            "candidates": [{"kind": "Group", "name": "sre"}, {"kind": "User", "name": "bob", "displayName": "Bob"}]});
        assert_eq!(digest(|case| case.sets = vec![set(shown)]), base);
    }
}
