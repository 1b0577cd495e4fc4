//! Whether a policy covers what a grant asks for: its targets, and the roles on them.

use super::{
    facts::{Facts, TargetFacts},
    glob,
    refusal::{Miss, Refusal, RefusalReason, Step, quote},
    selector,
};
use crate::api::{
    grant::Access,
    policy::{AccessRule, ClusterRule, NamespaceRule, ProjectRule, Selector},
};
use std::collections::BTreeMap;

/// Whether this may be the id of something in Rancher: what its schema lets `metadata.name` be.
pub fn is_rancher_id(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.chars().all(|c| is_word(c) || c == '-' || c == '.')
        && name.starts_with(is_word)
        && name.ends_with(is_word)
}

/// One role on one target, as a grant names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub on: On<'a>,
    pub role: &'a str,
}

/// A target, as a grant names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On<'a> {
    Cluster { cluster: &'a str },
    Project { cluster: &'a str, project: &'a str },
    Namespace { cluster: &'a str, namespace: &'a str },
    Global,
}

impl Place<'_> {
    /// The target in words.
    pub(super) fn words(&self) -> String {
        match self.on {
            On::Cluster { cluster } => format!("cluster {}", quote(cluster)),
            On::Project { cluster, project } => format!("project {} on cluster {}", quote(project), quote(cluster)),
            On::Namespace { cluster, namespace } => {
                format!("namespace {} on cluster {}", quote(namespace), quote(cluster))
            }
            On::Global => "Rancher as a whole".to_owned(),
        }
    }
}

/// What a grant asks for.
///
/// # Errors
/// `TargetInvalid` where it asks for nothing, or an entry does not name exactly one target.
pub(super) fn places(access: &[Access]) -> Result<Vec<Place<'_>>, Refusal> {
    let invalid = |what| {
        let message = format!("{what}. Create the grant anew with 1 to 32 targets");
        Refusal::new(RefusalReason::TargetInvalid, message)
    };
    if access.is_empty() {
        return Err(invalid("spec.access is empty"));
    }
    let place = |access| {
        place_of(access).ok_or_else(|| {
            invalid("An entry of spec.access must set exactly one of cluster, project, namespace and global")
        })
    };
    access.iter().map(place).collect()
}

fn place_of(access: &Access) -> Option<Place<'_>> {
    let (on, role) = match access {
        Access { cluster: Some(a), project: None, namespace: None, global: None } => {
            (On::Cluster { cluster: &a.name }, &a.role)
        }
        Access { cluster: None, project: Some(a), namespace: None, global: None } => {
            (On::Project { cluster: &a.cluster, project: &a.name }, &a.role)
        }
        Access { cluster: None, project: None, namespace: Some(a), global: None } => {
            (On::Namespace { cluster: &a.cluster, namespace: &a.name }, &a.role)
        }
        Access { cluster: None, project: None, namespace: None, global: Some(a) } => (On::Global, &a.role),
        _ => return None,
    };
    Some(Place { on, role })
}

/// Whether the facts are about what the grant asks for, one by one.
///
/// # Errors
/// `TargetUnknown`.
pub(super) fn known(places: &[Place<'_>], facts: &Facts) -> Result<(), Refusal> {
    let same = |(place, facts): (&Place<'_>, &TargetFacts)| {
        let cluster = facts.cluster.as_ref().map(|cluster| cluster.id.as_str());
        let project = facts.project.as_ref().map(|project| project.id.as_str());
        let namespace = facts.namespace.as_ref().map(|namespace| namespace.name.as_str());
        let named = match place.on {
            On::Cluster { cluster } => (Some(cluster), None, None),
            On::Project { cluster, project } => (Some(cluster), Some(project), None),
            On::Namespace { cluster, namespace } => (Some(cluster), None, Some(namespace)),
            On::Global => (None, None, None),
        };
        (cluster, project, namespace) == named && facts.role.id == place.role
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

/// Whether one of the rules of an overlay is about one of the places. What a rule leaves out, it means all of.
pub(super) fn touches(rules: &[AccessRule], places: &[Place<'_>], facts: &Facts) -> bool {
    let role_fits = |roles: &[String], role: &str| roles.iter().any(|pattern| glob::matches(pattern, role));
    let open =
        |names: &[String], selector: Option<&Selector>| names.is_empty() && selector.is_none_or(Selector::is_empty);
    let any = |rule: &AccessRule| {
        // A part that says nothing is filled in, so that it means everything.
        let mut rule = rule.clone();
        let all = || vec!["*".to_owned()];
        if let Some(cluster) = rule.cluster.as_mut().filter(|rule| open(&rule.names, rule.selector.as_ref())) {
            cluster.names = all();
        }
        if let Some(project) = &mut rule.project {
            if open(&project.clusters, project.cluster_selector.as_ref()) {
                project.clusters = all();
            }
            if open(&project.names, project.selector.as_ref()) {
                project.names = all();
            }
        }
        places.iter().enumerate().any(|(index, place)| {
            roles_on(&rule, place, facts.targets.get(index)).is_some_and(|roles| role_fits(roles, place.role))
        })
    };
    rules.iter().any(any)
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
    let none = BTreeMap::new();
    let of_cluster = facts.map(|facts| facts.cluster.as_ref().map_or(&none, |found| &found.labels));
    match (rule, place.on) {
        (AccessRule { cluster: Some(rule), project: None, namespace: None, global: None }, On::Cluster { cluster }) => {
            let ClusterRule { names, selector, roles } = rule;
            meant(names, selector.as_ref(), cluster, of_cluster).then_some(roles)
        }
        (
            AccessRule { cluster: None, project: Some(rule), namespace: None, global: None },
            On::Project { cluster, project },
        ) => {
            let of_project = facts.map(|facts| facts.project.as_ref().map_or(&none, |found| &found.labels));
            let ProjectRule { clusters, cluster_selector, names, selector, roles } = rule;
            let both = meant(clusters, cluster_selector.as_ref(), cluster, of_cluster)
                && meant(names, selector.as_ref(), project, of_project);
            both.then_some(roles)
        }
        (
            AccessRule { cluster: None, project: None, namespace: Some(rule), global: None },
            On::Namespace { cluster, namespace },
        ) => {
            let NamespaceRule { clusters, names, roles } = rule;
            (glob::any_matches(clusters, cluster) && glob::any_matches(names, namespace)).then_some(roles)
        }
        (AccessRule { cluster: None, project: None, namespace: None, global: Some(rule) }, On::Global) => {
            Some(&rule.roles)
        }
        _ => None,
    }
}

/// Whether an object is meant by a pattern of its id, or by its labels. Where the labels are not known yet, a selector
/// that says something may mean it.
pub(super) fn meant(
    names: &[String],
    selector: Option<&Selector>,
    id: &str,
    labels: Option<&BTreeMap<String, String>>,
) -> bool {
    let by_labels = match labels {
        Some(labels) => selector::may_select(selector, labels),
        None => selector.is_some_and(|selector| !selector.is_empty()),
    };
    by_labels || glob::any_matches(names, id)
}
