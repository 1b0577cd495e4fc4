//! Whether a policy covers what a grant asks for: its clusters and projects, and the roles on them.

use super::{
    facts::{Facts, TargetFacts},
    glob,
    refusal::{Miss, Refusal, RefusalReason, Step, quote},
    selector,
};
use crate::api::{
    grant::Access,
    policy::{AccessRule, ClusterRule, ProjectRule, Selector},
};
use std::collections::BTreeMap;

/// One role on one target, as a grant names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub cluster: &'a str,
    pub project: Option<&'a str>,
    pub role: &'a str,
}

impl Place<'_> {
    /// The target in words.
    pub(super) fn words(&self) -> String {
        let cluster = quote(self.cluster);
        match self.project {
            Some(project) => format!("project {} on cluster {cluster}", quote(project)),
            None => format!("cluster {cluster}"),
        }
    }
}

/// What a grant asks for.
///
/// # Errors
/// `TargetInvalid` where it asks for nothing, or an entry does not name exactly one target.
pub(super) fn places(access: &[Access]) -> Result<Vec<Place<'_>>, Refusal> {
    let invalid = |what| {
        let message = format!("{what}. Create the grant anew with 1 to 32 clusters or projects");
        Refusal::new(RefusalReason::TargetInvalid, message)
    };
    if access.is_empty() {
        return Err(invalid("spec.access is empty"));
    }
    let place = |access: &'_ Access| match (&access.cluster, &access.project) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        _ => Err(invalid("An entry of spec.access must set exactly one of cluster and project")),
    };
    access.iter().try_for_each(place)?;
    Ok(access.iter().filter_map(place_of).collect())
}

fn place_of(access: &Access) -> Option<Place<'_>> {
    let cluster = access.cluster.as_ref().map(|a| Place { cluster: &a.name, project: None, role: &a.role });
    let project = access.project.as_ref().map(|a| Place { cluster: &a.cluster, project: Some(&a.name), role: &a.role });
    cluster.or(project)
}

/// Whether the facts are about what the grant asks for, one by one.
///
/// # Errors
/// `TargetUnknown`.
pub(super) fn known(places: &[Place<'_>], facts: &Facts) -> Result<(), Refusal> {
    let same = |(place, facts): (&Place<'_>, &TargetFacts)| {
        facts.cluster.id == place.cluster
            && facts.project.as_ref().map(|project| project.id.as_str()) == place.project
            && facts.role.id == place.role
    };
    let all = places.len() == facts.targets.len() && places.iter().zip(&facts.targets).all(same);
    all.then_some(()).ok_or_else(|| {
        let message = "What was read from Rancher is not what spec.access names, so the grant is not judged by it. The operator looks again by itself; report this if it stays";
        Refusal::new(RefusalReason::TargetUnknown, message)
    })
}

/// Whether the policy covers all places. Without facts, a selector that says something passes.
pub(super) fn check(rules: &[AccessRule], places: &[Place<'_>], facts: Option<&Facts>) -> Result<(), Miss> {
    let targets = facts.map(|facts| facts.targets.as_slice());
    for (index, place) in places.iter().enumerate() {
        let known = match targets {
            Some(targets) => match targets.get(index) {
                Some(target) => Some(target),
                None => return Err(uncovered(place, false)),
            },
            None => None,
        };
        let roles: Vec<_> = rules.iter().filter_map(|rule| roles_on(rule, place, known)).collect();
        if roles.is_empty() {
            return Err(uncovered(place, known.is_some()));
        }
        if !roles.iter().any(|roles| roles.iter().any(|role| role == place.role)) {
            let (role, target) = (quote(place.role), place.words());
            let why = format!(
                "spec.access covers {target}, but not with role {role}. Ask for a role that it lists, or have the platform team add this one"
            );
            return Err(Miss::new(Step::Role, RefusalReason::RoleNotAllowed, why));
        }
    }
    Ok(())
}

fn uncovered(place: &Place<'_>, labels_known: bool) -> Miss {
    let target = place.words();
    let how = if labels_known {
        "neither by name nor by the labels it has in Rancher"
    } else {
        "by name, and no selector could"
    };
    let why = if labels_known {
        format!(
            "spec.access does not cover {target}: {how}. Ask for a target that the policy covers, or have the platform team add this one"
        )
    } else {
        format!("spec.access does not cover {target} {how}. Check the ids, or have the platform team add this target")
    };
    Miss::new(Step::Target, RefusalReason::TargetNotAllowed, why)
}

/// The roles that the rule lists for this place, where it covers it.
fn roles_on<'r>(rule: &'r AccessRule, place: &Place<'_>, facts: Option<&TargetFacts>) -> Option<&'r Vec<String>> {
    let of_cluster = facts.map(|facts| &facts.cluster.labels);
    match (&rule.cluster, &rule.project, place.project) {
        (Some(rule), None, None) => {
            let ClusterRule { names, selector, roles } = rule;
            meant(names, selector.as_ref(), place.cluster, of_cluster).then_some(roles)
        }
        (None, Some(rule), Some(project)) => {
            let none = BTreeMap::new();
            let of_project = facts.map(|facts| facts.project.as_ref().map_or(&none, |found| &found.labels));
            let ProjectRule { clusters, cluster_selector, names, selector, roles } = rule;
            let both = meant(clusters, cluster_selector.as_ref(), place.cluster, of_cluster)
                && meant(names, selector.as_ref(), project, of_project);
            both.then_some(roles)
        }
        _ => None,
    }
}

/// Whether an object is meant by a pattern of its id, or by its labels. Where the labels are not known yet, a selector
/// that says something may mean it.
fn meant(names: &[String], selector: Option<&Selector>, id: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
    let by_labels = match labels {
        Some(labels) => selector::may_select(selector, labels),
        None => selector.is_some_and(|selector| !selector.is_empty()),
    };
    by_labels || glob::any_matches(names, id)
}
