//! Whose a cluster or project is.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::{collection::vec, prelude::*, sample::select};

use super::{labels, now};
use crate::{
    api::integration::{OwnerKind, OwnerRecord, ResourceOwner},
    policy::{Mark, owner_of, record_owners, said_owner},
};

fn by(settle: &str) -> ResourceOwner {
    ResourceOwner { key: "owner".to_owned(), kind: OwnerKind::Group, settle: settle.to_owned() }
}

fn record(resource: &str, owner: &str, hours_ago: i64) -> OwnerRecord {
    let since = Time(now() - SignedDuration::from_hours(hours_ago));
    OwnerRecord { resource: resource.to_owned(), owner: owner.to_owned(), since }
}

fn saw(pairs: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    let value = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    pairs.iter().map(|(resource, owner)| ((*resource).to_owned(), value(owner))).collect()
}

#[test]
fn a_value_counts_from_a_label_or_an_annotation_but_not_from_two() {
    let said = |label: &[(&str, &str)], annotation: &[(&str, &str)]| {
        said_owner("owner", &labels(label), &labels(annotation)).map(|(mark, value)| (mark, value.to_owned()))
    };
    let web = "web".to_owned();
    assert_eq!(said(&[("owner", "web")], &[]), Ok((Mark::Label, web.clone())));
    assert_eq!(said(&[], &[("owner", "web")]), Ok((Mark::Annotation, web.clone())));
    assert_eq!(said(&[("owner", "web")], &[("owner", "web")]), Ok((Mark::Label, web.clone())));
    assert_eq!(said(&[("owner", "")], &[("owner", "web")]), Ok((Mark::Annotation, web)));
    assert!(
        said(&[("owner", "web")], &[("owner", "sre")]).unwrap_err().contains("owner=web and its annotation owner=sre")
    );
    assert!(said(&[("team", "web")], &[("owner", "  ")]).unwrap_err().contains("no label or annotation owner"));
    for odd in ["a\nb", "a\u{202e}b", "a\u{200b}", &"x".repeat(254)] {
        let why = said(&[], &[("owner", odd)]).unwrap_err();
        assert!(why.contains("annotation owner") && !why.contains(odd), "{why}");
    }
}

#[test]
fn a_value_is_believed_once_it_has_stood() {
    let web = labels(&[("owner", "web")]);
    let none = labels(&[]);
    let of = |settle: &str, recorded: Option<&OwnerRecord>| {
        owner_of(&by(settle), &web, &none, recorded, now()).map(str::to_owned)
    };
    assert_eq!(of("24h", Some(&record("c-1", "web", 24))), Ok("web".to_owned()));
    let young = of("24h", Some(&record("c-1", "web", 23))).unwrap_err();
    assert!(young.contains("since 2026-05-31T13:00:00Z") && young.contains("from 2026-06-01T13:00:00Z on"), "{young}");
    assert!(of("24h", Some(&record("c-1", "web", -1))).is_err(), "not in the past either");
    for unrecorded in [None, Some(&record("c-1", "sre", 100))] {
        let why = of("24h", unrecorded).unwrap_err();
        assert!(why.contains("not in the integration's status yet") && why.contains("24h"), "{why}");
        assert_eq!(of("0s", unrecorded), Ok("web".to_owned()));
    }
    assert!(of("1d", Some(&record("c-1", "web", 100))).unwrap_err().contains("cannot be read"));
    assert!(of("999999h9999999m999999999s", Some(&record("c-1", "web", 0))).is_err());
    assert!(owner_of(&by("0s"), &none, &none, None, now()).is_err());
}

#[test]
fn what_changes_and_changes_back_starts_anew() {
    let owner = by("24h");
    let later = |hours| now() + SignedDuration::from_hours(hours);
    let first = record_owners(Some(&owner), &saw(&[("c-1", "web"), ("c-1:p-1", "api"), ("c-2", "")]), &[], now());
    assert_eq!(first, [record("c-1", "web", 0), record("c-1:p-1", "api", 0)]);
    let same = record_owners(Some(&owner), &saw(&[("c-1:p-1", "api"), ("c-1", "web")]), &first, later(1));
    assert_eq!(same, first, "whatever the order");
    let changed = record_owners(Some(&owner), &saw(&[("c-1", "eve"), ("c-1:p-1", "api")]), &first, later(1));
    assert_eq!(changed, [record("c-1", "eve", -1), record("c-1:p-1", "api", 0)]);
    let back = record_owners(Some(&owner), &saw(&[("c-1", "web"), ("c-1:p-1", "api")]), &changed, later(2));
    assert_eq!(back.first(), Some(&record("c-1", "web", -2)));
    let gone = record_owners(Some(&owner), &saw(&[("c-1", "")]), &back, later(3));
    assert!(gone.is_empty());
    let again = record_owners(Some(&owner), &saw(&[("c-1", "web")]), &gone, later(4));
    assert_eq!(again, [record("c-1", "web", -4)]);
    assert!(record_owners(None, &saw(&[("c-1", "web")]), &first, now()).is_empty());
}

#[test]
fn of_two_records_the_younger_counts_and_none_is_of_a_time_to_come() {
    let stood = [record("c-1", "web", 100), record("c-1", "web", 1), record("c-2", "sre", -5)];
    let kept = record_owners(Some(&by("24h")), &saw(&[("c-1", "web"), ("c-2", "sre")]), &stood, now());
    assert_eq!(kept, [record("c-1", "web", 1), record("c-2", "sre", 0)]);
}

#[test]
fn what_no_status_could_hold_is_not_kept() {
    let odd = [("c-1", "a\u{202e}b"), (&*"c".repeat(129), "web"), ("c-2", &*"x".repeat(254)), ("c-3", "web")];
    let kept = record_owners(Some(&by("24h")), &saw(&odd), &[], now());
    assert_eq!(kept, [record("c-3", "web", 0)]);
    let many: Vec<_> = (0..5000).map(|n| (format!("c-{n:04}"), Some("web".to_owned()))).collect();
    let kept = record_owners(Some(&by("24h")), &many, &[], now());
    assert_eq!((kept.len(), kept.last().unwrap().resource.as_str()), (4096, "c-4095"));
    // However much somebody writes, the status can be written.
    let heavy: Vec<_> = (0..5000).map(|n| (format!("c-{n:04}"), Some("<".repeat(253)))).collect();
    let kept = record_owners(Some(&by("24h")), &heavy, &[], now());
    let size = serde_json::to_string(&kept).unwrap().replace('<', "\\u003c").len();
    assert!(kept.len() > 500 && size < 1_000_000, "{} of {size} bytes", kept.len());
}

type Sight = Vec<(String, Option<String>)>;

/// Something that is seen at a time.
fn any_sight() -> impl Strategy<Value = Sight> {
    let owner = select(vec![None, Some("web"), Some("sre"), Some("eve")]);
    vec((select(vec!["c-1", "c-2", "c-1:p-1"]), owner), 0..4)
        .prop_map(|all| all.into_iter().map(|(r, o)| (r.to_owned(), o.map(str::to_owned))).collect())
}

proptest! {
    /// The law: what is believed was seen at every look for as long as `settle`, and before.
    #[test]
    fn what_is_believed_has_stood(sights in vec((0i64..20, any_sight()), 1..12)) {
        let owner = by("24h");
        let (mut at, mut stood) = (now(), Vec::new());
        let mut history: Vec<(jiff::Timestamp, Sight)> = Vec::new();
        for (hours, sight) in sights {
            at += SignedDuration::from_hours(hours);
            stood = record_owners(Some(&owner), &sight, &stood, at);
            history.push((at, sight));
            prop_assert!(stood.is_sorted_by(|a, b| a.resource < b.resource));
        }
        for record in &stood {
            let value = labels(&[("owner", &record.owner)]);
            let last = |sight: &[(String, Option<String>)]| {
                sight.iter().rev().find(|(r, o)| *r == record.resource && o.is_some()).and_then(|(_, o)| o.clone())
            };
            let run = history.iter().rev().take_while(|(_, sight)| last(sight).as_ref() == Some(&record.owner));
            let since = run.last().unwrap().0;
            prop_assert_eq!(record.since.0, since);
            let believed = owner_of(&owner, &value, &labels(&[]), Some(record), at).is_ok();
            prop_assert_eq!(believed, at.duration_since(since) >= SignedDuration::from_hours(24));
        }
    }
}
