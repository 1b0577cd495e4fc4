//! Who approves what: the sets of approvers that a grant's policies and targets make.

use super::judge::Demand;
use crate::api::{
    approval::{ApproverSet, Candidate},
    condition::one_line,
};

/// Longest name and source of a set, in bytes; as in the schema of grants.
const TEXT_MAX: usize = 600;

/// Who approves as the owner of one cluster or project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// Which, in words. Example: `cluster c-m-abc12def`.
    pub resource: String,
    /// Who they are.
    pub candidates: Vec<Candidate>,
    /// Where they are named.
    pub source: String,
}

/// Whether the demands ask for the owners of targets at all.
pub fn asks_owners(demands: &[Demand]) -> bool {
    demands.iter().any(Demand::asks_owner)
}

/// One set for each policy; where its approvers are owners, one for each target.
pub fn approver_sets(demands: &[Demand], owners: &[Owners]) -> Vec<ApproverSet> {
    demands.iter().flat_map(|demand| sets_of(demand, owners)).collect()
}

fn sets_of(demand: &Demand, owners: &[Owners]) -> Vec<ApproverSet> {
    let listed: Vec<Candidate> =
        demand.approvers.iter().filter_map(|approver| approver.identity().map(Candidate::from)).collect();
    let set = |about: Option<&Owners>| {
        let mut candidates = listed.clone();
        let mut source = if listed.is_empty() { Vec::new() } else { vec!["policy".to_owned()] };
        if let Some(owners) = about {
            candidates.extend(owners.candidates.iter().filter(|owner| !listed.iter().any(|l| same(l, owner))).cloned());
            source.push(owners.source.clone());
        }
        let name = match about {
            None => format!("policy {}", demand.policy),
            Some(owners) => format!("policy {}, {}", demand.policy, owners.resource),
        };
        let (name, source) = (one_line(&name, TEXT_MAX), one_line(&source.join("; "), TEXT_MAX));
        ApproverSet { name, required: demand.required, approved: 0, candidates, source }
    };
    if demand.asks_owner() { owners.iter().map(|owners| set(Some(owners))).collect() } else { vec![set(None)] }
}

fn same(one: &Candidate, other: &Candidate) -> bool {
    (one.kind, &one.name, &one.namespace) == (other.kind, &other.name, &other.namespace)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn demand(approvers: serde_json::Value) -> Demand {
        Demand { policy: "web".to_owned(), required: 1, approvers: serde_json::from_value(approvers).unwrap() }
    }

    fn owners(resource: &str, group: &str) -> Owners {
        let candidate = json!({"kind": "Group", "name": group});
        Owners {
            resource: resource.to_owned(),
            candidates: vec![serde_json::from_value(candidate).unwrap()],
            source: format!("label owner={group}"),
        }
    }

    #[test]
    fn each_target_has_its_owners_where_owners_are_asked() {
        let both = [owners("cluster c-1", "web"), owners("project p-1 on cluster c-2", "sre")];
        let sre = json!({"kind": "Group", "name": "sre"});
        let sets = approver_sets(&[demand(json!([{"kind": "ResourceOwner"}, sre]))], &both);
        let told: Vec<_> = sets.iter().map(|s| (s.name.as_str(), s.candidates.len(), s.source.as_str())).collect();
        assert_eq!(
            told,
            [
                ("policy web, cluster c-1", 2, "policy; label owner=web"),
                // Who is named twice is one.
                ("policy web, project p-1 on cluster c-2", 1, "policy; label owner=sre"),
            ]
        );
        let sets = approver_sets(&[demand(json!([sre]))], &both);
        assert_eq!(sets.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["policy web"]);
    }
}
