//! Users that Rancher made because a grant bound a principal that it had never seen: marked while the grant is there, so that
//! they can be told from people when it is gone.

use jiff::SignedDuration;

use super::{act::Hand, holdings::DEFAULT_ROLES, lock, mark, turn::Failure, wanted::Bound};
use crate::{
    api::ANNOTATION_USER_SEAL,
    grant::name::user_seal,
    rancher::{
        UserChange,
        wire::{Subject, User},
    },
};

/// How far the clocks of two servers may be apart for the one still to tell what the other did.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(5);

/// The id that Rancher gives a user that it makes for a principal.
pub(super) fn id(principal: &str) -> Option<String> {
    Subject { user_principal: Some(principal.to_owned()), ..Subject::default() }.user_id()
}

/// Marks the user that Rancher made for that principal, where it made one. Says whether he needs no further look.
pub(super) async fn mark(hand: &Hand<'_>, bound: &Bound) -> Result<bool, Failure> {
    let Some(id) = id(&bound.principal) else { return Ok(true) };
    let _held = lock(hand.ctx, hand.connection, &id).await;
    let looked = hand.connection.rancher.look_at_user(&id).await;
    let looked = looked.map_err(|error| Failure::of_rancher(format!("the user {id} cannot be read"), &error))?;
    let Some(user) = looked.found() else { return Ok(false) };
    if !is_made_for(&user, bound) || mark::of(hand.ctx, hand.connection, &user) != mark::Mark::Forged {
        return Ok(true);
    }
    let seal = user_seal(&hand.ctx.installation.key, &hand.connection.install_uuid, &id, &user.meta.uid);
    let integration = hand.integration.metadata.name.as_deref().unwrap_or_default();
    let change = UserChange {
        enabled: None,
        annotations: [(ANNOTATION_USER_SEAL.to_owned(), Some(seal))].into(),
        labels: mark::labels(hand.ctx, integration).into_iter().map(|(key, value)| (key, Some(value))).collect(),
    };
    hand.change(&user, &change).await.map(|()| true)
}

/// Whether Rancher made him of itself, and not before the grant bound the principal.
fn is_made_for(user: &User, bound: &Bound) -> bool {
    let since = bound.since.checked_sub(CLOCKS_APART).unwrap_or(bound.since);
    user.principal_ids.contains(&bound.principal)
        && user.meta.annotations.contains_key(DEFAULT_ROLES)
        && !user.meta.is_terminating()
        && user.meta.creation_timestamp.is_some_and(|made| made >= since)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn who_was_there_before_or_was_made_by_hand_is_nobodys() {
        let bound = Bound {
            principal: "okta_user://a".into(),
            since: "2027-01-01T12:00:00Z".parse::<Timestamp>().unwrap(),
            rancher: None,
        };
        let user = |made: &str, principal: &str, annotation: &str| -> User {
            serde_json::from_value(json!({
                "metadata": {"name": "u-1", "creationTimestamp": made, "annotations": {annotation: "{}"}},
                "principalIds": [principal, "local://u-1"],
            }))
            .unwrap()
        };
        let (principal, annotation) = ("okta_user://a", DEFAULT_ROLES);
        assert!(is_made_for(&user("2027-01-01T12:00:01Z", principal, annotation), &bound));
        assert!(is_made_for(&user("2027-01-01T11:56:00Z", principal, annotation), &bound), "clocks differ");
        assert!(!is_made_for(&user("2027-01-01T11:50:00Z", principal, annotation), &bound), "before the grant");
        assert!(!is_made_for(&user("2027-01-01T12:00:01Z", "okta_user://b", annotation), &bound));
        assert!(!is_made_for(&user("2027-01-01T12:00:01Z", principal, "other"), &bound), "by hand");
    }
}
