use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn record(kind: ResourceKind, cluster: &str, id: &str) -> Record {
    Record {
        kind,
        id: id.to_owned(),
        cluster: cluster.to_owned(),
        display_name: format!("The {id}"),
        project: None,
        labels: BTreeMap::new(),
        owner: None,
        state: ResourceState::Available,
        guarded: false,
        withheld: false,
    }
}

fn cluster(id: &str) -> Record {
    record(ResourceKind::Cluster, "", id)
}

fn project(cluster: &str, id: &str) -> Record {
    record(ResourceKind::Project, cluster, id)
}

fn role(id: &str) -> Record {
    record(ResourceKind::ClusterRole, "", id)
}

/// A list of all that a source has.
fn list(inventory: &mut Inventory, source: &Source, records: &[Record]) {
    inventory.begin(source);
    for record in records {
        inventory.seen(source, &[record.key()], Some(record.clone()));
    }
    inventory.listed(source, now());
}

/// All sources are listed: a cluster, a project, a role.
fn listed() -> Inventory {
    let mut inventory = Inventory::new("prod", false);
    list(&mut inventory, &Source::Clusters, &[cluster("c-1")]);
    list(&mut inventory, &Source::Projects, &[project("c-1", "p-1")]);
    list(&mut inventory, &Source::RoleTemplates, &[role("member")]);
    list(&mut inventory, &Source::GlobalRoles, &[]);
    inventory.all_stand(&HashSet::new());
    inventory
}

fn around(policy: serde_json::Value, used: &[&str]) -> Surroundings {
    let mut object = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessPolicy", "metadata": {"name": "p"},
        "spec": {"integrationRef": {"name": "prod"}, "namespaceSelector": {}}});
    object["spec"]["access"] = policy;
    let policies = vec![Arc::new(serde_json::from_value(object).unwrap())];
    Surroundings { policies, used: used.iter().map(|name| (*name).to_owned()).collect() }
}

fn nothing() -> Surroundings {
    around(json!([]), &[])
}

/// Does all that is to be done, as if each write went through; says what was written.
fn settle(inventory: &mut Inventory, around: &Surroundings) -> Vec<String> {
    let mut written = Vec::new();
    for name in inventory.names() {
        match inventory.step(&name, around) {
            Some(Step::Create(spec)) => {
                written.push(format!("create {name}"));
                inventory.stands(name, *spec, true);
            }
            Some(Step::Change(spec)) => {
                written.push(format!("change {name}"));
                inventory.stands(name, *spec, true);
            }
            Some(Step::Delete) => {
                written.push(format!("delete {name}"));
                inventory.deleted(&name);
            }
            None => {}
        }
    }
    written
}

#[test]
fn what_is_there_is_written_once_and_then_no_more() {
    let mut inventory = listed();
    let all = ["create prod.cluster.c-1", "create prod.clusterrole.member", "create prod.project.c-1.p-1"];
    assert_eq!(settle(&mut inventory, &nothing()), all);
    assert_eq!(settle(&mut inventory, &nothing()), [""; 0]);
    let spec = inventory.present["prod.project.c-1.p-1"].spec.clone();
    let parent = Parent { id: "c-1".to_owned(), display_name: "The c-1".to_owned() };
    assert_eq!((spec.cluster, spec.display_name.as_str()), (Some(parent), "The p-1"));
}

#[test]
fn nothing_is_written_before_all_is_known_that_it_depends_on() {
    let mut inventory = Inventory::new("prod", false);
    list(&mut inventory, &Source::Projects, &[project("c-1", "p-1")]);
    list(&mut inventory, &Source::RoleTemplates, &[role("member")]);
    inventory.begin(&Source::Clusters);
    inventory.seen(&Source::Clusters, &[Key::cluster("c-1")], Some(cluster("c-1")));
    assert_eq!(settle(&mut inventory, &nothing()), [""; 0], "our own objects are not known yet");
    let old = listed();
    for name in ["prod.cluster.c-1", "prod.project.c-1.p-1"] {
        let record = old.records[name].clone();
        inventory.stands(name.to_owned(), old.spec(&record, &nothing()), true);
    }
    inventory.stands("prod.cluster.c-9".to_owned(), old.spec(&cluster("c-9"), &nothing()), true);
    let names = ["prod.cluster.c-1", "prod.cluster.c-9", "prod.project.c-1.p-1"];
    inventory.all_stand(&names.map(str::to_owned).into());
    let written = settle(&mut inventory, &nothing());
    assert_eq!(written, ["create prod.clusterrole.member"], "half a list of clusters says nothing of clusters");
    assert_eq!(inventory.status(), None);
    inventory.listed(&Source::Clusters, now());
    assert_eq!(settle(&mut inventory, &nothing()), ["delete prod.cluster.c-9"]);
}

#[test]
fn what_is_gone_is_deleted_unless_a_grant_uses_it() {
    let mut inventory = listed();
    settle(&mut inventory, &nothing());
    let used = around(json!([]), &["prod.project.c-1.p-1"]);
    list(&mut inventory, &Source::Projects, &[]);
    inventory.gone(&[Key::role(ResourceKind::ClusterRole, "member")]);
    assert!(inventory.has_leftovers());
    let written = settle(&mut inventory, &used);
    assert_eq!(written, ["delete prod.clusterrole.member", "change prod.project.c-1.p-1"]);
    let state = |inventory: &Inventory| inventory.present["prod.project.c-1.p-1"].spec.state;
    assert_eq!(state(&inventory), ResourceState::Removed);
    assert_eq!(settle(&mut inventory, &used), [""; 0]);
    // Whoever asked by the names that Rancher shows uses it too.
    let called = Key::project("The c-1", "The p-1").name("prod");
    assert_eq!(settle(&mut inventory, &around(json!([]), &[called.as_str()])), [""; 0]);
    // It comes back, goes again, and nobody uses it any more.
    list(&mut inventory, &Source::Projects, &[project("c-1", "p-1")]);
    settle(&mut inventory, &used);
    assert_eq!(state(&inventory), ResourceState::Available);
    list(&mut inventory, &Source::Projects, &[]);
    settle(&mut inventory, &used);
    assert_eq!(settle(&mut inventory, &nothing()), ["delete prod.project.c-1.p-1"]);
}

#[test]
fn a_role_that_is_withheld_goes_at_once_and_another_context_is_another_object() {
    let mut inventory = listed();
    settle(&mut inventory, &nothing());
    let keys = [ResourceKind::ClusterRole, ResourceKind::ProjectRole].map(|kind| Key::role(kind, "member"));
    let locked = Record { withheld: true, ..role("member") };
    assert!(inventory.seen(&Source::RoleTemplates, &keys, Some(locked.clone())));
    assert!(!inventory.seen(&Source::RoleTemplates, &keys, Some(locked)), "no news");
    let used = around(json!([]), &["prod.clusterrole.member"]);
    assert_eq!(settle(&mut inventory, &used), ["delete prod.clusterrole.member"]);
    assert_eq!(inventory.status().unwrap().cluster_roles, 0);
    inventory.seen(&Source::RoleTemplates, &keys, Some(record(ResourceKind::ProjectRole, "", "member")));
    assert_eq!(settle(&mut inventory, &nothing()), ["create prod.projectrole.member"]);
}

#[test]
fn a_cluster_that_is_renamed_or_guarded_changes_what_is_in_it() {
    let all = around(json!([{"project": {"clusters": ["*"], "names": ["*"], "roles": ["r"]}}]), &[]);
    let mut inventory = listed();
    settle(&mut inventory, &all);
    assert!(inventory.present["prod.project.c-1.p-1"].spec.offered);
    let renamed = Record { display_name: "Other".to_owned(), guarded: true, ..cluster("c-1") };
    assert!(inventory.seen(&Source::Clusters, &[Key::cluster("c-1")], Some(renamed)));
    assert_eq!(settle(&mut inventory, &all), ["change prod.cluster.c-1", "change prod.project.c-1.p-1"]);
    let spec = &inventory.present["prod.project.c-1.p-1"].spec;
    assert!(!spec.offered && spec.cluster.as_ref().is_some_and(|cluster| cluster.display_name == "Other"));
    assert_eq!(settle(&mut inventory, &nothing()), [""; 0]);
}

#[test]
fn what_somebody_wrote_into_an_object_is_put_right() {
    let mut inventory = listed();
    settle(&mut inventory, &nothing());
    let name = "prod.cluster.c-1";
    let good = inventory.present[name].spec.clone();
    inventory.stands(name.to_owned(), RancherResourceSpec { owner: Some("eve".to_owned()), ..good.clone() }, true);
    assert_eq!(inventory.step(name, &nothing()), Some(Step::Change(Box::new(good.clone()))));
    inventory.stands(name.to_owned(), good.clone(), false);
    assert_eq!(inventory.step(name, &nothing()), Some(Step::Change(Box::new(good.clone()))), "its labels, say");
    inventory.deleted(name);
    assert_eq!(inventory.step(name, &nothing()), Some(Step::Create(Box::new(good))));
}

#[test]
fn namespaces_go_with_their_cluster_or_when_nobody_wants_them_and_stay_while_it_is_away() {
    let namespaces = Source::Namespaces("c-1".to_owned());
    let of = |on: bool| Inventory { namespaces: on, namespaces_wait: on, ..listed() };
    let web = Record { project: Some("p-1".to_owned()), ..record(ResourceKind::Namespace, "c-1", "web") };
    let mut inventory = of(true);
    assert!(inventory.status().is_none(), "which there are is not known yet");
    inventory.begin(&namespaces);
    assert!(inventory.namespaces_begin() && !inventory.namespaces_begin());
    assert!(inventory.status().is_none());
    list(&mut inventory, &namespaces, &[web]);
    assert_eq!(inventory.status().map(|status| status.namespaces), Some(1));
    settle(&mut inventory, &nothing());
    let spec = inventory.present["prod.namespace.c-1.web"].spec.clone();
    assert_eq!(spec.project.as_ref().map(|project| project.display_name.as_str()), Some("The p-1"));
    // The cluster is away: an operator that begins then knows nothing of its namespaces.
    inventory.failed(&namespaces, "away");
    inventory.left("c-1");
    assert_eq!((settle(&mut inventory, &nothing()), inventory.trouble("10m")), (Vec::new(), None));
    let mut begins = of(true);
    begins.stands("prod.namespace.c-1.web".to_owned(), spec.clone(), true);
    assert_eq!(begins.step("prod.namespace.c-1.web", &nothing()), None);
    let used = around(json!([]), &["prod.namespace.c-1.web"]);
    let mut unwanted = of(false);
    unwanted.stands("prod.namespace.c-1.web".to_owned(), spec, true);
    assert_eq!(unwanted.step("prod.namespace.c-1.web", &used), Some(Step::Delete));
    // The cluster is gone.
    list(&mut inventory, &Source::Clusters, &[]);
    list(&mut inventory, &Source::Projects, &[]);
    inventory.left("c-1");
    let written = settle(&mut inventory, &nothing());
    assert_eq!(written, ["delete prod.cluster.c-1", "delete prod.namespace.c-1.web", "delete prod.project.c-1.p-1"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_told_until_it_can() {
    let mut inventory = listed();
    assert_eq!(inventory.trouble("10m"), None);
    inventory.failed(&Source::GlobalRoles, "forbidden");
    inventory.refused(&Source::Projects, "no watch");
    let none = Inventory::new("prod", false).status();
    let time = inventory.status().unwrap().last_sync_time;
    assert_eq!((none, time.map(|time| time.0)), (None, Some(now())));
    let told = inventory.trouble("10m").unwrap();
    assert!(told.contains("global roles cannot be listed") && told.contains("only every 10m: no watch"), "{told}");
    inventory.unreadable(&Source::GlobalRoles, &[Key::role(ResourceKind::GlobalRole, "odd")]);
    inventory.listed(&Source::GlobalRoles, now());
    tokio::time::advance(REFUSED).await;
    assert_eq!(inventory.trouble("10m"), None, "it is watched by now, or was refused again");
}

#[test]
fn what_cannot_be_read_any_more_stays_as_it_was() {
    let mut inventory = listed();
    inventory.begin(&Source::RoleTemplates);
    inventory.unreadable(&Source::RoleTemplates, &[Key::role(ResourceKind::ClusterRole, "member")]);
    inventory.listed(&Source::RoleTemplates, now());
    assert_eq!(inventory.status().unwrap().cluster_roles, 1);
}

/// What may happen to one of a few projects.
#[derive(Clone, Debug)]
enum Event {
    Seen(u8, u8),
    Gone(u8),
    Listed(Vec<(u8, u8)>),
    Edited(u8),
    Deleted(u8),
    Write,
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..4_u8, 0..3_u8).prop_map(|(id, name)| Event::Seen(id, name)),
        (0..4_u8).prop_map(Event::Gone),
        prop::collection::vec((0..4_u8, 0..3_u8), 0..4).prop_map(Event::Listed),
        (0..4_u8).prop_map(Event::Edited),
        (0..4_u8).prop_map(Event::Deleted),
        Just(Event::Write),
    ]
}

proptest! {
    /// Whatever happens in whatever order, what is written comes to what is there, and then nothing more is.
    #[test]
    fn what_stands_comes_to_what_is_there(events in prop::collection::vec(events(), 0..40)) {
        let mut inventory = listed();
        let mut there: BTreeMap<u8, u8> = BTreeMap::new();
        let id = |id: u8| format!("p-{id}");
        let named = |one: u8, name: u8| Record { display_name: format!("Name {name}"), ..project("c-1", &id(one)) };
        let object = |one: u8| format!("prod.project.c-1.p-{one}");
        list(&mut inventory, &Source::Projects, &[]);
        for event in events {
            match event {
                Event::Seen(one, name) => {
                    there.insert(one, name);
                    let record = named(one, name);
                    inventory.seen(&Source::Projects, &[record.key()], Some(record.clone()));
                }
                Event::Gone(one) => {
                    there.remove(&one);
                    inventory.gone(&[Key::project("c-1", &id(one))]);
                }
                Event::Listed(all) => {
                    there = all.iter().copied().collect();
                    let records: Vec<_> = there.iter().map(|(one, name)| named(*one, *name)).collect();
                    list(&mut inventory, &Source::Projects, &records);
                }
                Event::Edited(one) => {
                    if let Some(present) = inventory.present.get_mut(&object(one)) {
                        present.spec.display_name = "Eve's".to_owned();
                    }
                }
                Event::Deleted(one) => inventory.deleted(&object(one)),
                Event::Write => {
                    settle(&mut inventory, &nothing());
                }
            }
        }
        settle(&mut inventory, &nothing());
        prop_assert!(settle(&mut inventory, &nothing()).is_empty());
        let stands: BTreeMap<_, _> = inventory.present.iter()
            .filter(|(_, present)| present.spec.kind == ResourceKind::Project)
            .map(|(name, present)| (name.clone(), present.spec.display_name.clone()))
            .collect();
        let expected: BTreeMap<_, _> = there.iter().map(|(one, name)| (object(*one), format!("Name {name}"))).collect();
        prop_assert_eq!(stands, expected);
    }
}
