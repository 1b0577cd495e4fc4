//! Whose the targets are: who approves where a policy says `ResourceOwner`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Result, unknown};
use crate::{
    api::{
        RancherIntegration,
        approval::Candidate,
        condition::one_line,
        integration::{OwnerKind, ResourceOwner},
        reference::IdentityKind,
    },
    controller::connection::Connection,
    policy::{Owners, TargetFacts, Wanted, owner_of, rancher_group, rancher_user, said_owner},
    rancher::{Rancher, wire::User},
};

/// Longest `source` of a set of approvers, and longest display name, in bytes; as in the schema of grants.
const SOURCE_MAX: usize = 600;
const NAME_MAX: usize = 253;

type Marks<'a> = &'a BTreeMap<String, String>;

/// Who may approve access to each cluster and project among the targets, each once, in their order. A namespace is its
/// cluster's.
///
/// # Errors
/// Where Rancher cannot be asked. Nobody else approves meanwhile: those who may must not change with Rancher's moods.
pub(in crate::controller::grant) async fn owners(
    connection: &Connection,
    integration: &RancherIntegration,
    targets: &[TargetFacts],
    now: Timestamp,
) -> Result<Vec<Owners>> {
    let mut people = People { rancher: &connection.rancher, integration, known: BTreeMap::new() };
    let mut found: Vec<Owners> = Vec::new();
    let mut seen = BTreeSet::new();
    for resource in targets.iter().map(Thing::of) {
        if !seen.insert(resource.id.clone()) {
            continue;
        }
        let (candidates, source) = match resource.owner(integration, now) {
            Ok((owner, mark, value)) => match people.named(owner.kind, value).await? {
                Ok(candidate) => (vec![candidate], mark),
                Err(why) => fallback(integration, &format!("its {mark} names nobody in Rancher: {why}")),
            },
            Err(why) => fallback(integration, &why),
        };
        let source = one_line(&source, SOURCE_MAX);
        found.push(Owners { resource: resource.name, candidates, source });
    }
    Ok(found)
}

/// The integration's owner, and why him.
fn fallback(integration: &RancherIntegration, why: &str) -> (Vec<Candidate>, String) {
    let owners: Vec<_> = integration.spec.integration_owner.iter().cloned().map(Candidate::from).collect();
    let source = match owners.is_empty() {
        true => format!("nobody can approve, for the integration has no spec.integrationOwner, and {why}"),
        false => format!("integration owner (fallback): {why}"),
    };
    (owners, source)
}

/// What a target belongs to.
struct Thing<'a> {
    id: String,
    name: String,
    /// Labels and annotations; `None` for Rancher as a whole.
    marks: Option<(Marks<'a>, Marks<'a>)>,
}

impl<'a> Thing<'a> {
    fn of(target: &'a TargetFacts) -> Self {
        match (&target.cluster, &target.project) {
            (Some(cluster), Some(project)) => Self {
                id: format!("{}:{}", cluster.id, project.id),
                name: format!("project {} on cluster {}", project.id, cluster.id),
                marks: Some((&project.labels, &project.annotations)),
            },
            (Some(cluster), None) => Self {
                id: cluster.id.clone(),
                name: format!("cluster {}", cluster.id),
                marks: Some((&cluster.labels, &cluster.annotations)),
            },
            (None, _) => Self { id: String::new(), name: "Rancher as a whole".to_owned(), marks: None },
        }
    }

    /// The value that is believed and where it stands, or why none is.
    fn owner<'i>(
        &self,
        integration: &'i RancherIntegration,
        now: Timestamp,
    ) -> std::result::Result<(&'i ResourceOwner, String, &'a str), String> {
        let (labels, annotations) = self.marks.ok_or("Rancher as a whole has no owner")?;
        let owner = integration.spec.resource_owner.as_ref();
        let owner = owner.ok_or("the integration has no spec.resourceOwner, so nothing says whose this is")?;
        let recorded = integration.status.as_ref();
        let recorded = recorded.and_then(|status| status.owners.iter().find(|record| record.resource == self.id));
        let value = owner_of(owner, labels, annotations, recorded, now)?;
        let (mark, _) = said_owner(&owner.key, labels, annotations)?;
        Ok((owner, format!("{mark} {}={value}", owner.key), value))
    }
}

/// Who is who in Rancher, each asked for once.
struct People<'a> {
    rancher: &'a Rancher,
    integration: &'a RancherIntegration,
    known: BTreeMap<String, Named>,
}

/// An owner who is somebody, or why he is not.
type Named = std::result::Result<Candidate, String>;

impl People<'_> {
    async fn named(&mut self, kind: OwnerKind, value: &str) -> Result<Named> {
        if let Some(known) = self.known.get(value) {
            return Ok(known.clone());
        }
        let named = match kind {
            OwnerKind::User => self.user(value).await?,
            OwnerKind::Group => self.group(value).await?,
        };
        self.known.insert(value.to_owned(), named.clone());
        Ok(named)
    }

    async fn group(&self, value: &str) -> Result<Named> {
        let principal = match rancher_group(value, self.integration.spec.identity_mapping.as_ref()) {
            Ok(principal) => principal,
            Err(why) => return Ok(Err(why.to_string())),
        };
        Ok(match self.rancher.known_group(&principal).await.map_err(unknown)? {
            true => Ok(candidate(IdentityKind::Group, value, None)),
            false => Err(format!("nobody who ever logged in there is in the group {principal}")),
        })
    }

    async fn user(&self, value: &str) -> Result<Named> {
        let user = match rancher_user(value, self.integration.spec.identity_mapping.as_ref()) {
            Ok(Wanted::User(id)) => {
                self.rancher.user(&id).await.map_err(unknown)?.ok_or_else(|| format!("there is no user {id}"))
            }
            Ok(Wanted::Principal(principal)) => {
                let mut users = self.rancher.users_with_principal(&principal).await.map_err(unknown)?;
                match (users.pop(), users.is_empty()) {
                    (Some(user), true) => Ok(user),
                    (Some(_), false) => Err(format!("more than one user has the principal {principal}")),
                    (None, _) => Err(format!("no user has the principal {principal}")),
                }
            }
            Ok(Wanted::Group(other) | Wanted::LocalUser(other)) => Err(format!("{other} is no user")),
            Err(why) => Err(why.to_string()),
        };
        Ok(user.and_then(acting).map(|user| candidate(IdentityKind::User, value, user.display_name)))
    }
}

/// Whoever may not log in, or is no person, owns nothing any more.
fn acting(user: User) -> std::result::Result<User, String> {
    let id = &user.meta.name;
    if user.enabled == Some(false) {
        return Err(format!("the user {id} is disabled"));
    }
    if user.meta.is_terminating() {
        return Err(format!("the user {id} is being deleted"));
    }
    if user.is_system() {
        return Err(format!("the user {id} is Rancher's own"));
    }
    Ok(user)
}

fn candidate(kind: IdentityKind, name: &str, display_name: Option<String>) -> Candidate {
    let display_name = display_name.map(|name| one_line(&name, NAME_MAX)).filter(|name| !name.trim().is_empty());
    Candidate { kind, name: name.to_owned(), namespace: None, display_name }
}

#[cfg(test)]
mod tests;
