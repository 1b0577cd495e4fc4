use std::collections::BTreeMap;

use super::*;
use crate::{
    grant::GrantKey,
    rancher::{
        issued::Detail,
        wire::{ObjectMeta, Scope},
    },
};

fn at(time: &str) -> Timestamp {
    format!("2026-12-01T{time}:00Z").parse().unwrap()
}

const NOW: &str = "10:00";

fn window() -> Window {
    let grant = GrantKey { namespace: "web".to_owned(), name: "g".to_owned() };
    Window { user: "u-1".to_owned(), grant, from: at("08:00"), until: at("09:00") }
}

fn token(name: &str, made: &str) -> Issued {
    let detail =
        Detail { user: Some("u-1".to_owned()), derived: true, enabled: true, expiry: Expiry::Never, description: None };
    Issued {
        key: name.parse().unwrap(),
        uid: format!("uid-{name}"),
        created: Some(at(made)),
        session: false,
        labels: BTreeMap::new(),
        detail: Some(detail),
    }
}

fn entry(name: &str, action: TokenAction) -> LeftoverToken {
    LeftoverToken {
        name: name.to_owned(),
        user: "u-1".to_owned(),
        grant: "web/g".to_owned(),
        created_time: Time(at("08:30")),
        action,
        time: Time(at("09:30")),
    }
}

fn found(token: Issued, listed: &[LeftoverToken], wanted: LeftoverTokens) -> Option<Finding> {
    let (window, listed) = (window(), listed.iter().collect::<Vec<_>>());
    let mut left = candidates(vec![token], &[&window], &listed);
    finding(left.pop()?, "u-1", &[&window], &listed, wanted, at(NOW))
}

#[test]
fn only_api_keys_made_during_a_grant_are_left_over() {
    let wanted = LeftoverTokens::Delete;
    let act = |token: Issued| found(token, &[], wanted).map(|finding| finding.act);
    assert_eq!(act(token("token-1", "08:30")), Some(Act::Delete));
    assert_eq!(act(token("token-1", "07:30")), None, "made before");
    assert_eq!(act(token("token-1", "09:30")), None, "made after");
    let detailed = |change: fn(&mut Detail)| {
        let mut changed = token("ext/token-1", "08:30");
        changed.detail.iter_mut().for_each(change);
        changed
    };
    assert_eq!(act(detailed(|d| d.derived = false)), None, "a session, though its label does not say so");
    assert_eq!(act(detailed(|d| d.user = Some("u-2".to_owned()))), None, "another's, though its label says otherwise");
    assert_eq!(act(detailed(|d| d.expiry = Expiry::At(at(NOW)))), None, "over");
    assert_eq!(act(detailed(|d| d.expiry = Expiry::Unknown)), Some(Act::Delete));
    assert_eq!(act(detailed(|d| d.description = Some(format!("{}x", words::KEY_MARK)))), None, "an operator's own");
    assert_eq!(act(Issued { session: true, ..token("token-1", "08:30") }), None);
    assert_eq!(act(Issued { created: None, ..token("token-1", "08:30") }), None);
    assert_eq!(act(Issued { detail: None, ..token("token-1", "08:30") }), None, "gone meanwhile");
    let labels = [(LABEL_INSTALLATION.to_owned(), "x".to_owned())].into();
    assert_eq!(act(Issued { labels, ..token("ext/token-1", "08:30") }), None, "an operator's own");
}

/// Whatever stands in the list and whatever the token is: what is wanted comes to be, and is told once.
#[test]
fn what_is_wanted_comes_to_be_and_is_told_once() {
    use TokenAction::{Deleted, Disabled, Reported};
    for wanted in [LeftoverTokens::Report, LeftoverTokens::Disable, LeftoverTokens::Delete] {
        for before in [None, Some(Reported), Some(Disabled)] {
            for enabled in [true, false] {
                let mut token = token("token-1", "08:30");
                token.detail.iter_mut().for_each(|detail| detail.enabled = enabled);
                let mut listed: Vec<_> = before.map(|action| entry("token-1", action)).into_iter().collect();
                let (mut told, mut gone) = (0, false);
                for _ in 0..3 {
                    let Some(Finding { act, entry, .. }) =
                        (!gone).then(|| found(token.clone(), &listed, wanted)).flatten()
                    else {
                        listed.clear();
                        break;
                    };
                    let action = match act {
                        Act::Nothing => entry.action,
                        Act::Tell => Reported,
                        Act::Disable => Disabled,
                        Act::Delete => Deleted,
                    };
                    told += u32::from(act != Act::Nothing);
                    gone |= act == Act::Delete;
                    token.detail.iter_mut().for_each(|detail| detail.enabled &= act != Act::Disable);
                    listed = vec![LeftoverToken { action, ..entry }];
                }
                let what = format!("{wanted:?} {before:?} {enabled}");
                assert!(told <= 1, "{what}: told {told} times");
                let works = !gone && token.detail.is_some_and(|detail| detail.enabled);
                match wanted {
                    LeftoverTokens::Report => {
                        assert_eq!(works, enabled, "{what}: nothing was done");
                        assert!(!works || listed[0].action == Reported, "{what}: what works is said to be disabled");
                    }
                    LeftoverTokens::Disable => assert!(!works && listed[0].action == Disabled, "{what}"),
                    LeftoverTokens::Delete => assert!(gone, "{what}"),
                }
            }
        }
    }
}

#[test]
fn what_is_listed_stays_left_over_when_its_grant_is_long_forgotten() {
    let listed = [entry("token-1", TokenAction::Reported)];
    let refs: Vec<_> = listed.iter().collect();
    assert_eq!(candidates(vec![token("token-1", "08:30")], &[], &refs).len(), 1);
    let kept = finding(token("token-1", "08:30"), "u-1", &[], &refs, LeftoverTokens::Report, at(NOW)).unwrap();
    assert_eq!((kept.act, kept.entry), (Act::Nothing, listed[0].clone()));
    assert!(candidates(vec![token("token-1", "08:31")], &[], &refs).is_empty(), "another one by that name");
    let deleted = [entry("token-1", TokenAction::Deleted)];
    assert!(candidates(vec![token("token-1", "08:30")], &[], &deleted.iter().collect::<Vec<_>>()).is_empty());
}

#[test]
fn what_was_deleted_is_told_for_a_day() {
    let deleted = entry("token-1", TokenAction::Deleted);
    assert!(is_told(&deleted, at("10:00")));
    assert!(!is_told(&deleted, "2026-12-02T09:30:00Z".parse().unwrap()));
    assert!(!is_told(&entry("token-1", TokenAction::Reported), at("10:00")));
}

fn binding(kind: BindingKind, role: &str, change: impl FnOnce(&mut Binding)) -> Binding {
    let mut binding = Binding {
        kind,
        meta: ObjectMeta::default(),
        user_name: None,
        user_principal_name: None,
        group_name: None,
        group_principal_name: None,
        service_account: None,
        others: Vec::new(),
        scope: Scope::Global,
        role: role.to_owned(),
    };
    change(&mut binding);
    binding
}

#[test]
fn whoever_is_bound_in_any_form_has_access() {
    let foreseen =
        Subject { user_principal: Some("okta_user://a".to_owned()), ..Subject::default() }.user_id().unwrap();
    let person = |id: &str| Person {
        id: id.to_owned(),
        principals: vec!["local://u-1".to_owned()],
        groups: vec!["okta_group://g".to_owned()],
    };
    let some = |text: &str| Some(text.to_owned());
    let gives = |of: &Person, change: &dyn Fn(&mut Binding)| {
        [BindingKind::Cluster, BindingKind::Project, BindingKind::Global]
            .map(|kind| of.has_access(&[binding(kind, "r", |b| change(b))], &BTreeSet::new()))
    };
    let (alice, yes, no) = (person("u-1"), [true; 3], [false; 3]);
    assert_eq!(gives(&alice, &|b| b.user_name = some("u-1")), yes);
    assert_eq!(gives(&alice, &|b| b.user_principal_name = some("local://u-1")), yes);
    assert_eq!(gives(&alice, &|b| b.group_principal_name = some("okta_group://g")), yes);
    assert_eq!(gives(&alice, &|b| b.group_name = some("system:cattle:authenticated")), yes);
    assert_eq!(gives(&person(&foreseen), &|b| b.user_principal_name = some("okta_user://a")), yes, "not filled in yet");
    assert_eq!(gives(&alice, &|b| b.user_name = some("u-2")), no);
    assert_eq!(gives(&alice, &|b| b.group_principal_name = some("okta_group://h")), no);
    assert_eq!(gives(&alice, &|b| b.service_account = some("x/u-1")), no);
}

#[test]
fn what_everybody_has_is_no_access_unless_it_leads_somewhere() {
    let everybodys = BTreeSet::from(["user".to_owned()]);
    let alice = Person { id: "u-1".to_owned(), principals: Vec::new(), groups: Vec::new() };
    let bound = |kind, role: &str| [binding(kind, role, |b| b.user_name = Some("u-1".to_owned()))];
    assert!(!alice.has_access(&bound(BindingKind::Global, "user"), &everybodys));
    assert!(alice.has_access(&bound(BindingKind::Global, "other"), &everybodys));
    assert!(alice.has_access(&bound(BindingKind::Cluster, "user"), &everybodys), "a role template of that name");
    let role = |json: &str| is_everybodys(&serde_json::from_str::<GlobalRole>(json).unwrap());
    assert!(role(r#"{"metadata":{"name":"user"},"newUserDefault":true}"#));
    assert!(!role(r#"{"metadata":{"name":"user"}}"#));
    assert!(!role(r#"{"metadata":{"name":"admin"},"newUserDefault":true}"#));
    assert!(!role(r#"{"metadata":{"name":"all"},"newUserDefault":true,"inheritedClusterRoles":["cluster-member"]}"#));
}
