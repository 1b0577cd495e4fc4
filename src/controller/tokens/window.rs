//! During what time somebody had access by a grant of ours: what he made then may outlive it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    api::{AccessGrant, status::BindingState},
    controller::words,
    grant::{GrantKey, GrantView, name::SubjectKey},
};

/// One user's access by one grant, from its beginning to the proof of its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The Rancher user's id.
    pub user: String,
    /// The grant.
    pub grant: GrantKey,
    /// When the access began.
    pub from: Timestamp,
    /// When it was proven gone.
    pub until: Timestamp,
}

impl Window {
    /// Whether something was made meanwhile. Times have whole seconds: what was made in the very second in which the access
    /// began may have been there before.
    pub fn covers(&self, made: Timestamp) -> bool {
        self.from < made && made <= self.until
    }
}

/// The windows of a grant whose access is proven gone: of its users, for a group is nobody in particular. What somebody else
/// gave all along was not ours.
pub fn windows(grant: &AccessGrant) -> Vec<Window> {
    // A local user is disabled with his last access, and what he made is deleted before he is used again.
    if grant.spec.subject.as_ref().is_some_and(|subject| subject.local_user.is_some()) {
        return Vec::new();
    }
    let Some(status) = &grant.status else { return Vec::new() };
    let Some(until) = status.revoked_time.as_ref().map(|time| time.0) else { return Vec::new() };
    let given =
        || status.bindings.iter().filter(|b| matches!(b.state, BindingState::Removed | BindingState::HandedOver));
    let begun = status.granted_time.as_ref().or(status.continuous_since.as_ref()).map(|time| time.0);
    let Some(from) = begun.or_else(|| given().map(|binding| binding.since.0).min()) else { return Vec::new() };
    let mut users: Vec<String> = given().filter_map(|binding| user_of(&binding.subject)).collect();
    users.sort();
    users.dedup();
    let key = GrantView::from(grant).key;
    users.into_iter().map(|user| Window { user, grant: key.clone(), from, until }).collect()
}

/// The id of the user that a recorded subject means, known or foreseen; `None` for a group, and for what cannot be read.
pub fn user_of(subject: &str) -> Option<String> {
    match subject.parse::<SubjectKey>().ok()? {
        SubjectKey::Group(_) => None,
        user => words::subject(&user).user_id(),
    }
}

/// The windows that ended at `since` or later, and those of the same users that go before them without a gap.
pub fn recent(mut all: Vec<Window>, since: Timestamp) -> Vec<Window> {
    all.sort_by(|a, b| (b.until, &a.user, &a.grant, a.from).cmp(&(a.until, &b.user, &b.grant, b.from)));
    all.dedup();
    let mut reached: BTreeMap<String, Timestamp> = BTreeMap::new();
    all.retain(|window| {
        let follows = reached.get(&window.user).is_some_and(|from| window.until >= *from);
        let counts = window.until >= since || follows;
        if counts {
            let from = reached.entry(window.user.clone()).or_insert(window.from);
            *from = window.from.min(*from);
        }
        counts
    });
    all
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(time: &str) -> Timestamp {
        format!("2026-12-01T{time}:00Z").parse().unwrap()
    }

    fn grant(status: Value) -> AccessGrant {
        serde_json::from_value(json!({
            "apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant", "metadata": {"namespace": "web", "name": "g"},
            "spec": {"integrationRef": {"name": "prod"}, "requestedBy": {"username": "a"}, "access": []}, "status": status,
        }))
        .unwrap()
    }

    fn binding(subject: &str, state: &str) -> Value {
        json!({"kind": "ClusterRoleTemplateBinding", "cluster": "c", "namespace": "c", "name": "rao-1", "subject": subject,
            "role": "r", "state": state, "since": "2026-12-01T08:30:00Z"})
    }

    #[test]
    fn a_window_is_from_the_grant_to_the_proof_and_of_users_only() {
        let bindings = [
            binding("user:u-1", "Removed"),
            binding("user:u-1", "HandedOver"),
            binding("principal:okta_user://a", "Removed"),
            binding("group:okta_group://g", "Removed"),
            binding("user:u-2", "AlreadyHeld"),
            binding("user:u-3", "Abandoned"),
        ];
        let mut status = json!({"bindings": bindings, "grantedTime": "2026-12-01T08:00:00Z"});
        assert!(windows(&grant(status.clone())).is_empty(), "not proven gone");
        status["revokedTime"] = json!("2026-12-01T09:00:00Z");
        let found = windows(&grant(status.clone()));
        let users: Vec<_> = found.iter().map(|w| w.user.as_str()).collect();
        assert_eq!(users.len(), 2, "{users:?}");
        assert!(users.contains(&"u-1") && found.iter().all(|w| (w.from, w.until) == (at("08:00"), at("09:00"))));
        status["grantedTime"] = Value::Null;
        assert_eq!(windows(&grant(status))[0].from, at("08:30"), "it was never in force as a whole");
    }

    #[test]
    fn what_was_there_before_or_made_after_is_not_covered() {
        let window = window("u-1", "08:00", "09:00");
        for (time, covered) in [("07:59", false), ("08:00", false), ("08:01", true), ("09:00", true), ("09:01", false)]
        {
            assert_eq!(window.covers(at(time)), covered, "{time}");
        }
    }

    fn window(user: &str, from: &str, until: &str) -> Window {
        let grant = GrantKey { namespace: "web".to_owned(), name: format!("g-{from}") };
        Window { user: user.to_owned(), grant, from: at(from), until: at(until) }
    }

    #[test]
    fn what_goes_before_without_a_gap_counts_however_long_ago_it_ended() {
        let all = vec![
            window("u-1", "01:00", "02:00"),
            window("u-1", "03:00", "05:00"),
            window("u-1", "05:00", "07:00"),
            window("u-1", "06:00", "20:00"),
            window("u-1", "06:00", "20:00"),
            window("u-2", "03:00", "05:00"),
        ];
        let kept = recent(all, at("18:00"));
        assert_eq!(
            kept,
            [window("u-1", "06:00", "20:00"), window("u-1", "05:00", "07:00"), window("u-1", "03:00", "05:00")]
        );
    }
}
