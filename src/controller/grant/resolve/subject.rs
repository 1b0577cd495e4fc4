//! Who the subject is in Rancher.

use super::{Result, unknown, wrong};
use crate::{
    controller::{Context, connection::Connection, users},
    grant::name::{LocalUserKey, SubjectKey},
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
        // Nobody's name leads to him.
        Wanted::LocalUser(_) => return Ok(SubjectFacts::default()),
        Wanted::User(id) => rancher.user(id).await?,
        Wanted::Principal(principal) => rancher.users_with_principal(principal).await?.pop(),
    };
    Ok(user.map_or_else(SubjectFacts::default, |user| SubjectFacts {
        user_id: Some(user.meta.name),
        principals: user.principal_ids,
        group: None,
    }))
}

/// A local user, who need not be there yet: his id is foreseen. It is made of whose he is, so his UID says nothing more.
pub(super) fn local_user(ctx: &Context, connection: &Connection, whose: LocalUserKey) -> Result<Found> {
    if !connection.release.keeps_passwords_in_secrets() {
        return Err(wrong(
            "LocalUserUnsupported",
            "This Rancher is older than 2.13 and takes no passwords from Secrets, so no local user can be made: upgrade it, or name a user that exists in spec.subject.".to_owned(),
        ));
    }
    let id = whose.id(&ctx.installation.key, &connection.install_uuid);
    let facts = SubjectFacts { user_id: Some(id.clone()), principals: vec![format!("local://{id}")], group: None };
    Ok(Found { key: SubjectKey::User(id), uid: None, facts })
}

/// Asks Rancher who is wanted.
pub(super) async fn subject(rancher: &Rancher, wanted: &Wanted) -> Result<Found> {
    let mut facts = SubjectFacts { user_id: None, principals: Vec::new(), group: None };
    let user = match wanted {
        Wanted::Group(group) => {
            facts.group = Some(group.clone());
            return Ok(Found { key: SubjectKey::Group(group.clone()), uid: None, facts });
        }
        Wanted::LocalUser(_) => return Err(wrong("SubjectInvalid", "spec.subject.localUser is missing.".to_owned())),
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
    if users::may_be_local(&user) {
        return Err(wrong(
            "SubjectIsLocalUser",
            format!(
                "The user {} in Rancher is a local user that the operator makes for the grants of one requester, and nobody else's: ask for one of your own in spec.subject.localUser.",
                user.meta.name
            ),
        ));
    }
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
