//! Whom a grant is for, and whether a policy lets its requester ask for that.

use super::{
    SubjectFacts, glob,
    mapping::{PRINCIPAL_MAX, Unmapped, rancher_user},
    refusal::{Miss, Refusal, RefusalReason, Step, quote},
};
use crate::api::{AccessGrantSpec, grant::Subject, integration::IdentityMapping, policy::Subjects};

/// Whom the grant asks for, before Rancher was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A Rancher user, by id.
    User(String),
    /// A user, by the principal of an identity provider.
    Principal(String),
    /// A group, by its principal.
    Group(String),
    /// A local user that is made for the access, by the name that the requester gives him.
    LocalUser(String),
}

/// Whom the grant asks for: its `subject`, or else its requester.
///
/// # Errors
/// `SubjectInvalid` where `subject` does not name exactly one; `SubjectUnmapped` where the requester's name leads
/// nowhere in Rancher. Both say what to write instead.
pub fn wanted_subject(spec: &AccessGrantSpec, mapping: Option<&IdentityMapping>) -> Result<Wanted, Refusal> {
    let Some(subject) = &spec.subject else {
        return mapped(&spec.requested_by.username, mapping)
            .map_err(|why| Refusal::new(RefusalReason::SubjectUnmapped, why));
    };
    match subject {
        Subject { user: Some(id), principal: None, group: None, local_user: None } => Ok(Wanted::User(id.clone())),
        Subject { user: None, principal: Some(p), group: None, local_user: None } => Ok(Wanted::Principal(p.clone())),
        Subject { user: None, principal: None, group: Some(p), local_user: None } => Ok(Wanted::Group(p.clone())),
        Subject { user: None, principal: None, group: None, local_user: Some(local) } => {
            Ok(Wanted::LocalUser(local.username.clone()))
        }
        _ => Err(Refusal::new(
            RefusalReason::SubjectInvalid,
            "spec.subject must set exactly one of user, principal, group and localUser. Create the grant anew with one of them",
        )),
    }
}

/// What the requester's name is in Rancher, or what to write where it is nothing there.
fn mapped(name: &str, mapping: Option<&IdentityMapping>) -> Result<Wanted, String> {
    const REMEDY: &str = "set spec.subject to a Rancher user id (user), or to the principal of a user or group";
    let who = quote(name);
    rancher_user(name, mapping).map_err(|why| match why {
        Unmapped::System => {
            format!("The requester {who} is not a person, so the grant must say whom it is for: {REMEDY}")
        }
        Unmapped::NoTemplate(field) => format!(
            "The integration has no {field}, so nobody knows who {who} is in Rancher: {REMEDY}, or have the platform team set the mapping"
        ),
        Unmapped::BadTemplate(field) => format!(
            "The integration's {field} lacks {{name}}: have the platform team write it like okta_user://{{name}}, or {REMEDY}"
        ),
        Unmapped::DistinguishedName(field) => {
            format!("The requester's name {who} cannot stand in the distinguished name of {field}: {REMEDY}")
        }
        Unmapped::Length => format!(
            "The requester's name {who} is empty or too long for a principal (at most {PRINCIPAL_MAX} bytes): {REMEDY}"
        ),
    })
}

/// Whom a grant is for, and who asks.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Whom the grant asks for.
    pub wanted: Wanted,
    /// What the requester's own name leads to in Rancher, if it leads anywhere.
    own: Option<Wanted>,
}

impl Asked {
    /// # Errors
    /// As [`wanted_subject`].
    pub(super) fn of(spec: &AccessGrantSpec, mapping: Option<&IdentityMapping>) -> Result<Self, Refusal> {
        Ok(Self {
            wanted: wanted_subject(spec, mapping)?,
            own: rancher_user(&spec.requested_by.username, mapping).ok(),
        })
    }

    /// Whether the requester asks for himself. Without facts, an id and a principal may be the same user; two ids, or
    /// two principals, are two users.
    fn for_self(&self, facts: Option<&SubjectFacts>) -> bool {
        let by_id = |wanted: &Wanted| matches!(wanted, Wanted::User(_));
        match (&self.own, &self.wanted, facts) {
            (None, ..) | (_, Wanted::Group(_) | Wanted::LocalUser(_), _) => false,
            (Some(own), wanted, _) if own == wanted => true,
            (Some(own), _, Some(facts)) => is(own, facts),
            (Some(own), wanted, None) => by_id(own) != by_id(wanted),
        }
    }
}

/// Whether the policy lets the requester ask for this subject. Without facts, what only Rancher can tell passes: a user
/// id may have a principal that a pattern means, and the other way round.
pub(super) fn check(subjects: &Subjects, asked: &Asked, facts: Option<&SubjectFacts>) -> Result<(), Miss> {
    let (patterns, name, user) = match &asked.wanted {
        Wanted::Group(principal) => (&subjects.groups, principal, false),
        Wanted::LocalUser(name) => (&subjects.local_users, name, false),
        Wanted::User(name) | Wanted::Principal(name) => (&subjects.users, name, true),
    };
    let for_self = asked.for_self(facts);
    let by_rancher = || match facts {
        Some(facts) => {
            let mut names = facts.user_id.iter().chain(&facts.principals);
            names.any(|name| glob::any_matches(patterns, name))
        }
        None => !patterns.is_empty(),
    };
    let named = glob::any_matches(patterns, name) || (user && by_rancher());
    if named || (subjects.self_ && for_self) {
        return Ok(());
    }
    let who = quote(name);
    let why = if matches!(asked.wanted, Wanted::LocalUser(_)) {
        format!(
            "spec.subjects.localUsers does not name the local user {who}. Ask for one that the policy names, or have the platform team add this one"
        )
    } else if !user {
        format!(
            "spec.subjects.groups does not name the group {who}. Ask for a subject that the policy names, or have the platform team add this one"
        )
    } else if for_self {
        format!(
            "spec.subjects.self is false and spec.subjects.users does not name {who}, so nobody may ask for himself. Let somebody else be the subject, or have the platform team change the policy"
        )
    } else {
        format!(
            "spec.subjects.users does not name {who}, who is not the requester either. Leave spec.subject away to ask for yourself, or have the platform team add {who}"
        )
    };
    Err(Miss::new(Step::Subject, RefusalReason::SubjectNotAllowed, why))
}

/// Whether Rancher knows the subject as the one that was asked for.
///
/// # Errors
/// `SubjectUnknown`: a user id that does not exist would be accepted by Rancher, and given to whoever comes by it later.
pub(super) fn known(wanted: &Wanted, facts: &SubjectFacts) -> Result<(), Refusal> {
    let (kind, name, known) = match wanted {
        Wanted::User(id) => ("user", id, facts.user_id.as_ref() == Some(id)),
        Wanted::Group(principal) => {
            let other = facts.group.as_ref().is_some_and(|group| group != principal);
            ("group", principal, !other && facts.user_id.is_none())
        }
        Wanted::Principal(principal) => ("principal", principal, facts.group.is_none()),
        // He is made for the access.
        Wanted::LocalUser(name) => ("local user", name, facts.group.is_none()),
    };
    known.then_some(()).ok_or_else(|| {
        let message = format!(
            "Rancher does not know the {kind} {}. Create another grant with spec.subject as Rancher shows it",
            quote(name)
        );
        Refusal::new(RefusalReason::SubjectUnknown, message)
    })
}

/// Whether the user found in Rancher is the one that the requester's own name leads to.
fn is(own: &Wanted, facts: &SubjectFacts) -> bool {
    match own {
        Wanted::User(id) => facts.user_id.as_ref() == Some(id),
        Wanted::Principal(principal) => facts.principals.contains(principal),
        Wanted::Group(_) | Wanted::LocalUser(_) => false,
    }
}
