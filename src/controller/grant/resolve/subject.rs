//! Who the subject is in Rancher.

use super::{Result, unknown, wrong};
use crate::{
    grant::name::SubjectKey,
    policy::{SubjectFacts, Wanted},
    rancher::{Error, Rancher, wire::Subject},
};

/// The subject, in the form that bindings of Rancher's name him by.
pub(super) struct Found {
    pub key: SubjectKey,
    /// UID of the Rancher user, where there is one.
    pub uid: Option<String>,
    pub facts: SubjectFacts,
}

impl Found {
    /// The form that Kubernetes' own bindings name him by. Somebody who never logged in has no user yet: Rancher makes
    /// one when it binds his principal, and his id is foreseen.
    pub(super) fn of_kubernetes(&self) -> SubjectKey {
        match &self.key {
            SubjectKey::Principal(principal) => {
                let him = Subject { user_principal: Some(principal.clone()), ..Subject::default() };
                him.user_id().map_or_else(|| self.key.clone(), SubjectKey::User)
            }
            key => key.clone(),
        }
    }
}

/// What Rancher knows of who is wanted; nothing where it knows nobody.
pub(in crate::controller::grant) async fn facts(
    rancher: &Rancher,
    wanted: &Wanted,
) -> std::result::Result<SubjectFacts, Error> {
    let user = match wanted {
        Wanted::Group(group) => return Ok(SubjectFacts { group: Some(group.clone()), ..SubjectFacts::default() }),
        Wanted::User(id) => rancher.user(id).await?,
        Wanted::Principal(principal) => rancher.users_with_principal(principal).await?.pop(),
    };
    Ok(user.map_or_else(SubjectFacts::default, |user| SubjectFacts {
        user_id: Some(user.meta.name),
        principals: user.principal_ids,
        group: None,
    }))
}

/// Asks Rancher who is wanted.
pub(super) async fn subject(rancher: &Rancher, wanted: &Wanted) -> Result<Found> {
    let mut facts = SubjectFacts { user_id: None, principals: Vec::new(), group: None };
    let user = match wanted {
        Wanted::Group(group) => {
            facts.group = Some(group.clone());
            return Ok(Found { key: SubjectKey::Group(group.clone()), uid: None, facts });
        }
        Wanted::User(id) => match rancher.user(id).await.map_err(unknown)? {
            Some(user) => user,
            None => {
                return Err(wrong(
                    "SubjectNotFound",
                    format!(
                        "There is no user {id} in Rancher: name one that exists in spec.subject.user, or a principal in spec.subject.principal."
                    ),
                ));
            }
        },
        Wanted::Principal(principal) => {
            facts.principals.push(principal.clone());
            let mut users = rancher.users_with_principal(principal).await.map_err(unknown)?;
            match (users.pop(), users.is_empty()) {
                // He never logged in: Rancher makes a user for the principal when it is bound.
                (None, _) => return Ok(Found { key: SubjectKey::Principal(principal.clone()), uid: None, facts }),
                (Some(user), true) => user,
                (Some(_), false) => {
                    return Err(wrong(
                        "SubjectAmbiguous",
                        format!(
                            "More than one user in Rancher has the principal {principal}: name the right one by id in spec.subject.user."
                        ),
                    ));
                }
            }
        }
    };
    if user.enabled == Some(false) {
        return Err(wrong(
            "SubjectDisabled",
            format!("The user {} is disabled in Rancher: enable him there first.", user.meta.name),
        ));
    }
    facts.user_id = Some(user.meta.name.clone());
    facts
        .principals
        .extend(user.principal_ids.iter().filter(|p| !facts.principals.contains(p)).cloned().collect::<Vec<_>>());
    let uid = Some(user.meta.uid).filter(|uid| !uid.is_empty());
    Ok(Found { key: SubjectKey::User(user.meta.name), uid, facts })
}
