use super::*;
use crate::rancher::{binding::BindingRef, wire::BindingKind};

fn trace(cluster: &str) -> Trace {
    Trace {
        binding: BindingRef {
            kind: BindingKind::Cluster,
            cluster: LOCAL.to_owned(),
            namespace: cluster.to_owned(),
            name: "rao-a".to_owned(),
        },
        clusters: vec![cluster.to_owned()],
        stays_admin: false,
        subject: Subject { user: Some("u-1".to_owned()), ..Subject::default() },
        roles: vec!["cluster-member".to_owned(), "edit".to_owned()],
    }
}

fn object(name: &str, subject: (&str, &str), labels: &[(&str, &str)]) -> Made {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "c-1", "uid": "uid-1", "resourceVersion": "5",
            "labels": labels.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect::<serde_json::Map<_, _>>()},
        "subjects": [{"kind": subject.0, "name": subject.1}], "roleRef": {"name": "r"},
    }))
    .unwrap()
}

const USER: (&str, &str) = ("User", "u-1");

#[test]
fn what_carries_our_label_and_names_our_subject_goes() {
    for label in [
        ("authz.cluster.cattle.io/rtb-owner-updated", "c-1_rao-a"),
        ("authz.cluster.cattle.io/crtb-owner-rao-a", "true"),
        ("c-1_rao-a", "membership-binding-owner"),
        ("c-1_rao-a", "true"),
        ("authz.cluster.cattle.io/crtb-owner", "rao-a"),
    ] {
        let found = object("x", USER, &[label, ("management.cattle.io/roletemplate-aggregation", "true")]);
        let leftover = judge(&trace("c-1"), "c-1", MadeKind::RoleBinding, &found).expect("ours");
        assert_eq!(leftover.remedy, Remedy::Delete, "{label:?}");
        for other in [("User", "u-2"), ("Group", "u-1"), ("ServiceAccount", "u-1")] {
            assert!(judge(&trace("c-1"), "c-1", MadeKind::RoleBinding, &object("x", other, &[label])).is_none());
        }
    }
}

#[test]
fn what_others_own_too_only_loses_our_key() {
    let ours = ("c-1_rao-a", "membership-binding-owner");
    for other in [
        ("c-1_crtb-xyz", "membership-binding-owner"),
        ("authz.cluster.cattle.io/prtb-owner-prtb-1", "true"),
        ("authz.cluster.cattle.io/rtb-owner-updated", "c-1_crtb-xyz"),
        ("authz.management.cattle.io/grb-owner", "grb-1"),
    ] {
        let shared = object("x", USER, &[ours, other]);
        let leftover = judge(&trace("c-1"), LOCAL, MadeKind::ClusterRoleBinding, &shared).expect("ours as well");
        let Remedy::DropKeys(keys) = &leftover.remedy else { panic!("{other:?}: {leftover:?}") };
        assert_eq!(keys, &[(ours.0.to_owned(), ours.1.to_owned())]);
        assert!(judge(&trace("c-1"), LOCAL, MadeKind::ClusterRoleBinding, &object("x", USER, &[other])).is_none());
    }
}

#[test]
fn the_patch_tests_before_it_takes() {
    let key = "authz.cluster.cattle.io/crtb-owner-rao-a";
    let shared = object("x", USER, &[(key, "true"), ("authz.cluster.cattle.io/crtb-owner-b", "true")]);
    let leftover = judge(&trace("c-1"), "c-1", MadeKind::RoleBinding, &shared).unwrap();
    let Remedy::DropKeys(keys) = &leftover.remedy else { panic!("shared") };
    let path = "/metadata/labels/authz.cluster.cattle.io~1crtb-owner-rao-a";
    assert_eq!(
        drop_keys(&leftover, keys),
        json!([{"op": "test", "path": "/metadata/uid", "value": "uid-1"},
            {"op": "test", "path": path, "value": "true"}, {"op": "remove", "path": path}])
    );
}

#[test]
fn by_name_only_the_recorded_form_in_the_recorded_place() {
    let right = object("rao-a-edit", USER, &[]);
    assert!(judge(&trace("c-1"), LOCAL, MadeKind::RoleBinding, &right).is_some());
    assert!(judge(&trace("c-1"), "c-1", MadeKind::RoleBinding, &right).is_none(), "not downstream");
    assert!(judge(&trace("c-1"), LOCAL, MadeKind::ClusterRoleBinding, &right).is_none());
    assert!(judge(&trace("c-2"), LOCAL, MadeKind::RoleBinding, &right).is_none(), "another namespace");
    for name in ["rao-a-admin", "rao-ab-edit", "rao-a"] {
        assert!(judge(&trace("c-1"), LOCAL, MadeKind::RoleBinding, &object(name, USER, &[])).is_none(), "{name}");
    }
    let labelled = object("rao-a-edit", USER, &[("c-1_crtb-xyz", "true")]);
    assert!(judge(&trace("c-1"), LOCAL, MadeKind::RoleBinding, &labelled).is_none(), "somebody else's");
}

#[test]
fn an_object_for_two_is_not_ranchers() {
    let mut two = object("x", USER, &[("c-1_rao-a", "true")]);
    two.subjects.push(MadeFor { kind: "User".to_owned(), name: "u-2".to_owned() });
    assert!(judge(&trace("c-1"), LOCAL, MadeKind::RoleBinding, &two).is_none());
    two.subjects.clear();
    assert!(judge(&trace("c-1"), LOCAL, MadeKind::RoleBinding, &two).is_none());
}

#[test]
fn no_place_is_asked_twice_and_every_recorded_label_is_asked_for() {
    let downstream = queries(&trace("c-1"));
    let local = queries(&trace(LOCAL));
    for (i, query) in local.iter().enumerate() {
        assert_eq!(query.cluster, LOCAL);
        assert!(!local[..i].contains(query), "{query:?} twice");
    }
    assert!(local.len() < downstream.len());
    let asks = |cluster: &str, kind, label: &str| {
        downstream.contains(&Query { cluster: cluster.to_owned(), kind, by: By::Label(label.to_owned()) })
    };
    use MadeKind::{ClusterRoleBinding, RoleBinding};
    assert!(asks("c-1", RoleBinding, "authz.cluster.cattle.io/rtb-owner-updated=c-1_rao-a"));
    assert!(asks("c-1", ClusterRoleBinding, "authz.cluster.cattle.io/rtb-owner-updated=c-1_rao-a"));
    assert!(asks("c-1", RoleBinding, "authz.cluster.cattle.io/crtb-owner-rao-a"));
    assert!(asks("c-1", ClusterRoleBinding, "c-1_rao-a"));
    assert!(asks(LOCAL, ClusterRoleBinding, "c-1_rao-a"));
    assert!(asks(LOCAL, RoleBinding, "c-1_rao-a"));
    assert!(asks(LOCAL, RoleBinding, "authz.cluster.cattle.io/crtb-owner-rao-a"));
    assert!(asks(LOCAL, RoleBinding, "authz.cluster.cattle.io/crtb-owner=rao-a"));
}

/// A global binding of user `u-1`, administrator of two clusters.
fn global() -> Trace {
    Trace {
        binding: BindingRef { kind: BindingKind::Global, namespace: String::new(), ..trace(LOCAL).binding },
        clusters: vec![LOCAL.to_owned(), "c-1".to_owned()],
        ..trace(LOCAL)
    }
}

#[test]
fn a_global_binding_is_looked_for_on_every_cluster_that_it_ruled() {
    let asks = |trace: &Trace, cluster: &str, kind, by| {
        queries(trace).contains(&Query { cluster: cluster.to_owned(), kind, by })
    };
    let named = |name: &str| By::Name { namespace: String::new(), name: name.to_owned() };
    let owner = || By::Label("authz.management.cattle.io/grb-owner=rao-a".to_owned());
    for kind in [MadeKind::RoleBinding, MadeKind::ClusterRoleBinding, MadeKind::ClusterRoleTemplateBinding] {
        assert!(asks(&global(), LOCAL, kind, owner()), "{kind:?}");
    }
    assert!(asks(&global(), LOCAL, MadeKind::ClusterRoleBinding, named("cattle-globalrolebinding-rao-a")));
    assert!(asks(&global(), "c-1", MadeKind::RoleBinding, owner()));
    assert!(asks(&global(), "c-1", MadeKind::ClusterRoleBinding, named("globaladmin-u-1")));
    let stays = Trace { stays_admin: true, ..global() };
    assert!(!asks(&stays, "c-1", MadeKind::ClusterRoleBinding, named("globaladmin-u-1")));
}

#[test]
fn what_a_global_binding_left_is_told_by_its_owner_or_its_name() {
    let owned = object("x", USER, &[("authz.management.cattle.io/grb-owner", "rao-a")]);
    assert_eq!(judge(&global(), LOCAL, MadeKind::RoleBinding, &owned).unwrap().remedy, Remedy::Delete);
    let of_another = object("x", USER, &[("authz.management.cattle.io/grb-owner", "grb-b")]);
    assert!(judge(&global(), LOCAL, MadeKind::RoleBinding, &of_another).is_none());
    let mut admin = object("globaladmin-u-1", USER, &[]);
    assert!(judge(&global(), "c-1", MadeKind::ClusterRoleBinding, &admin).is_none(), "of another role");
    admin.role_ref.name = "cluster-admin".to_owned();
    assert!(judge(&global(), "c-1", MadeKind::ClusterRoleBinding, &admin).is_some());
    let stays = Trace { stays_admin: true, ..global() };
    assert!(judge(&stays, "c-1", MadeKind::ClusterRoleBinding, &admin).is_none(), "he is administrator by another too");
    admin.subjects[0].name = "u-2".to_owned();
    assert!(judge(&global(), "c-1", MadeKind::ClusterRoleBinding, &admin).is_none(), "somebody else's");
}

#[test]
fn a_groups_administrator_is_named_as_ranchers_source_does() {
    let group = Subject { group: Some("okta_group://g".to_owned()), ..Subject::default() };
    let as_user = Subject { user_principal: Some("okta_group://g".to_owned()), ..Subject::default() };
    assert_eq!(names::global_admin(&group), Some(format!("globaladmin-{}", as_user.user_id().unwrap())));
}
