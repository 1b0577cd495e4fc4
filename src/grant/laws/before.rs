//! Any grant that extends another, and whatever may be known of that other.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::{option, prelude::*, sample::select};

use super::arbitrary::{because, meta, status, text, time, whole};
use crate::{
    api::{AccessGrantStatus, status::ExtendedRecord},
    grant::{Extended, GrantKey, GrantView, Seen, view::Summary},
};

/// The same grant, extending another, which it may have seen before.
pub(super) fn extending(grant: GrantView) -> impl Strategy<Value = GrantView> {
    let name = prop_oneof![9 => Just("before".to_owned()), 1 => Just("grant".to_owned())];
    let seen = (option::weighted(0.7, whole()), select(vec!["uid-before", "uid-other"]));
    (Just(grant), name, seen).prop_map(|(mut grant, name, (end, uid))| {
        grant.start_time = None;
        grant.status.extends =
            end.map(|end| ExtendedRecord { name: name.clone(), uid: uid.to_owned(), end_time: Time(end) });
        grant.extends = Some(name);
        grant
    })
}

/// What is known of the grant that another one extends.
pub(super) fn extended() -> BoxedStrategy<Extended> {
    let differs = option::weighted(0.1, text());
    let seen = (any::<bool>().prop_flat_map(status), meta(), option::weighted(0.4, time()), differs);
    let seen = seen.prop_map(|(status, (created, deleted, finalizer, generation), end_time, differs)| {
        let grant = GrantView {
            key: GrantKey { namespace: "web".into(), name: "before".into() },
            uid: "uid-before".into(),
            generation,
            created,
            deleted,
            finalizer,
            start_time: None,
            end_time,
            extends: None,
            local_user: None,
            requester: String::new(),
            dry_run: false,
            abandoned: false,
            summary: Summary::default(),
            status: AccessGrantStatus { conditions: Vec::new(), ..status },
        };
        Extended::Seen(Box::new(Seen { grant, differs }))
    });
    prop_oneof![
        1 => Just(Extended::NotLooked),
        1 => because().prop_map(Extended::Unknown),
        1 => Just(Extended::Missing),
        6 => seen,
    ]
    .boxed()
}
