//! Whether two grants ask for the same.

use super::subject::wanted_subject;
use crate::api::{AccessGrantSpec, grant::Access, integration::IdentityMapping};

/// In what a grant differs from the one that it extends, in words; `None` where integration, subject and access are the
/// same. The order of accesses does not count.
pub fn difference(
    spec: &AccessGrantSpec,
    extended: &AccessGrantSpec,
    mapping: Option<&IdentityMapping>,
) -> Option<String> {
    let among = |access: &Access, others: &[Access]| others.contains(access);
    let same_access = spec.access.len() == extended.access.len()
        && spec.access.iter().all(|access| among(access, &extended.access))
        && extended.access.iter().all(|access| among(access, &spec.access));
    // Who leads to nobody is refused for that.
    let same_subject = match (wanted_subject(spec, mapping), wanted_subject(extended, mapping)) {
        (Ok(one), Ok(other)) => one == other,
        _ => spec.subject == extended.subject && spec.requested_by.username == extended.requested_by.username,
    };
    let parts: Vec<_> = [
        ("integrationRef", spec.integration_ref == extended.integration_ref),
        ("subject", same_subject),
        ("access", same_access),
    ]
    .into_iter()
    .filter(|(_, same)| !same)
    .map(|(field, _)| field)
    .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(by: &str, more: Value) -> AccessGrantSpec {
        let mut spec = json!({
            "integrationRef": {"name": "prod"}, "requestedBy": {"username": by},
            "access": [{"cluster": {"name": "c-1", "role": "a"}}, {"cluster": {"name": "c-2", "role": "b"}}],
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn what_is_the_same_and_what_is_not() {
        let mapping = IdentityMapping { user_principal: Some("okta_user://{name}".to_owned()), group_principal: None };
        let differ = |one: &AccessGrantSpec, other: &AccessGrantSpec| difference(one, other, Some(&mapping));
        let alice = spec("alice", json!({}));
        let turned = json!({"access": [{"cluster": {"name": "c-2", "role": "b"}}, {"cluster": {"name": "c-1", "role": "a"}}], "duration": "1h"});
        assert_eq!(differ(&spec("alice", turned), &alice), None);
        let by_name = spec("bob", json!({"subject": {"principal": "okta_user://alice"}}));
        assert_eq!(differ(&by_name, &alice), None, "bob asks for alice, as she did herself");
        assert_eq!(differ(&spec("bob", json!({})), &alice).as_deref(), Some("subject"));
        let fewer = json!({"access": [{"cluster": {"name": "c-1", "role": "a"}}], "integrationRef": {"name": "test"}});
        assert_eq!(differ(&spec("alice", fewer), &alice).as_deref(), Some("integrationRef, access"));
        let twice =
            json!({"access": [{"cluster": {"name": "c-1", "role": "a"}}, {"cluster": {"name": "c-1", "role": "a"}}]});
        assert_eq!(differ(&spec("alice", twice), &alice).as_deref(), Some("access"));
    }
}
