//! For whom.

use serde_json::{Value, json};

use super::{RefusalReason as R, *};
use crate::policy::{Wanted, wanted_subject};

fn wanted(name: &str, template: Option<&str>) -> Result<Wanted, Refusal> {
    let mapping = template.map(|t| IdentityMapping { user_principal: Some(t.to_owned()), group_principal: None });
    wanted_subject(&grant(json!({"requestedBy": {"username": name}})), mapping.as_ref())
}

#[test]
fn the_requester_is_mapped_or_refused_with_a_remedy() {
    let okta = Some("okta_user://{name}");
    assert_eq!(wanted("alice@x.org", okta).unwrap(), Wanted::Principal("okta_user://alice@x.org".to_owned()));
    assert_eq!(wanted("{name}", okta).unwrap(), Wanted::Principal("okta_user://{name}".to_owned()));
    for id in ["u-x7k2m9qabc", "user-8pvqg"] {
        assert_eq!(wanted(id, okta).unwrap(), Wanted::User(id.to_owned()));
        assert_eq!(wanted(id, None).unwrap(), Wanted::User(id.to_owned()));
    }
    for odd in ["u-", "u-../x", "user-A", "u-a/b", "u-a-"] {
        assert_eq!(wanted(odd, okta).unwrap(), Wanted::Principal(format!("okta_user://{odd}")));
        refused(wanted(odd, None), R::SubjectUnmapped, &["userPrincipal"]);
    }
    for name in ["system:serviceaccount:a:b", "system:admin", "system:"] {
        refused(wanted(name, okta), R::SubjectUnmapped, &[name, "spec.subject"]);
    }
    refused(wanted("alice", None), R::SubjectUnmapped, &["identityMapping", "alice"]);
    refused(wanted("alice", Some("okta_user://alice")), R::SubjectUnmapped, &["{name}"]);
    refused(wanted("", okta), R::SubjectUnmapped, &["empty"]);
    refused(wanted(&"a".repeat(512), okta), R::SubjectUnmapped, &["too long"]);
}

#[test]
fn a_name_cannot_break_out_of_a_distinguished_name() {
    let ldap = Some("openldap_user://uid={name},ou=people");
    assert_eq!(wanted("alice", ldap).unwrap(), Wanted::Principal("openldap_user://uid=alice,ou=people".to_owned()));
    refused(wanted("root,ou=admins", ldap), R::SubjectUnmapped, &["distinguished name"]);
}

#[test]
fn a_subject_is_exactly_one_thing() {
    let of = |subject: Value| wanted_subject(&grant(json!({"subject": subject})), None);
    assert_eq!(of(json!({"user": "u-1"})).unwrap(), Wanted::User("u-1".to_owned()));
    assert_eq!(of(json!({"principal": "a://b"})).unwrap(), Wanted::Principal("a://b".to_owned()));
    assert_eq!(of(json!({"group": "a://b"})).unwrap(), Wanted::Group("a://b".to_owned()));
    let local = json!({"username": "deploy"});
    assert_eq!(of(json!({"localUser": local})).unwrap(), Wanted::LocalUser("deploy".to_owned()));
    for subject in [json!({}), json!({"user": "u-1", "group": "a://b"}), json!({"user": "u-1", "localUser": local})] {
        refused(of(subject), R::SubjectInvalid, &["exactly one"]);
    }
}

/// Whether the first stage, and then both, let `alice` ask for the subject.
fn for_subject(subjects: Value, subject: Value, known: SubjectFacts) -> (bool, bool) {
    let policies = [policy("web", json!({"subjects": subjects}))];
    let spec = grant(json!({"subject": subject}));
    let facts = Facts { subject: known, ..facts() };
    (first(&spec, &policies).is_ok(), both(&spec, &policies, &facts).is_ok())
}

fn user(id: &str, principals: &[&str]) -> SubjectFacts {
    SubjectFacts {
        user_id: Some(id.to_owned()),
        principals: principals.iter().map(|p| (*p).to_owned()).collect(),
        group: None,
    }
}

#[test]
fn self_is_the_requester_by_either_name_and_nobody_else() {
    let alice = user("u-alice", &["local://u-alice", "okta_user://alice"]);
    let bob = user("u-bob", &["okta_user://bob"]);
    let nobody = SubjectFacts::default();
    let principal = |name: &str| json!({"principal": format!("okta_user://{name}")});
    let id = |id: &str| json!({"user": id});
    let group = json!({"group": "okta_user://alice"});
    for (own, subject, known, expected) in [
        (true, json!(null), &alice, (true, true)),
        (true, json!(null), &nobody, (true, true)),
        (true, principal("alice"), &nobody, (true, true)),
        (true, id("u-alice"), &alice, (true, true)),
        (true, id("u-bob"), &bob, (true, false)),
        (true, principal("bob"), &bob, (false, false)),
        (true, group, &nobody, (false, false)),
        (false, json!(null), &alice, (false, false)),
        (false, id("u-alice"), &alice, (false, false)),
    ] {
        let got = for_subject(json!({"self": own}), subject.clone(), known.clone());
        assert_eq!(got, expected, "{own} {subject}");
    }
}

#[test]
fn other_users_are_named_by_patterns_of_id_or_principal() {
    let ext = json!({"self": false, "users": ["okta_user://ext-*"]});
    let carl = user("u-carl", &["local://u-carl", "okta_user://ext-carl"]);
    assert_eq!(
        for_subject(ext.clone(), json!({"principal": "okta_user://ext-carl"}), SubjectFacts::default()),
        (true, true)
    );
    assert_eq!(for_subject(ext.clone(), json!({"user": "u-carl"}), carl.clone()), (true, true));
    assert_eq!(for_subject(ext.clone(), json!({"user": "u-bob"}), user("u-bob", &["okta_user://bob"])), (true, false));
    assert_eq!(for_subject(ext, json!({"group": "okta_user://ext-x"}), SubjectFacts::default()), (false, false));
    let by_id = json!({"self": false, "users": ["u-carl"]});
    assert_eq!(for_subject(by_id, json!({"principal": "okta_user://ext-carl"}), carl), (true, true));
}

#[test]
fn groups_are_named_by_patterns_of_their_own() {
    let groups = json!({"self": true, "users": ["*"], "groups": ["okta_group://web-*"]});
    let facts = |name: &str| SubjectFacts { group: Some(name.to_owned()), ..SubjectFacts::default() };
    let asked = |name: &str, known: &str| for_subject(groups.clone(), json!({"group": name}), facts(known));
    assert_eq!(asked("okta_group://web-devs", "okta_group://web-devs"), (true, true));
    assert_eq!(asked("okta_group://db", "okta_group://db"), (false, false));
    assert_eq!(asked("okta_group://web-devs", "okta_group://admins"), (true, false));
}

#[test]
fn local_users_are_named_by_patterns_of_their_own() {
    let asked = |subjects: Value, name: &str| {
        for_subject(subjects, json!({"localUser": {"username": name}}), user("rao-x", &["local://rao-x"]))
    };
    let ours = json!({"self": false, "localUsers": ["deploy-*"]});
    assert_eq!(asked(ours.clone(), "deploy-web"), (true, true));
    assert_eq!(asked(ours.clone(), "admin"), (false, false));
    // Nothing else leads to one, and one leads to nobody else.
    assert_eq!(asked(json!({"self": true, "users": ["*"], "groups": ["*"]}), "deploy-web"), (false, false));
    assert_eq!(for_subject(ours.clone(), json!({"user": "deploy-web"}), user("deploy-web", &[])), (false, false));
    assert_eq!(for_subject(ours, json!(null), user("u-alice", &["okta_user://alice"])), (false, false));
}

#[test]
fn a_user_id_that_rancher_does_not_know_is_refused() {
    let policies = [policy("web", json!({"subjects": {"users": ["*"]}}))];
    let spec = grant(json!({"subject": {"user": "u-gone"}}));
    for known in [SubjectFacts::default(), user("u-other", &[])] {
        let facts = Facts { subject: known, ..facts() };
        refused(both(&spec, &policies, &facts), R::SubjectUnknown, &["u-gone"]);
    }
}
