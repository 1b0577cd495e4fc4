//! What there is in Rancher, mirrored as objects.

use std::{collections::BTreeMap, time::Duration};

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rancher_access_operator::api::{
    Condition, RancherIntegration, condition, discovery::DiscoveryStatus, status::Phase,
};
use serde_json::{Value, json};
use testkit::apiserver::Gvr;

use crate::{
    SOON,
    embedded::world::{CLUSTER, Given, World},
    hands::management,
    world,
};

stories![
    nothing_is_mirrored_where_nobody_asks_for_it,
    what_there_is_is_mirrored_and_follows_rancher,
    whatever_people_call_it_it_has_a_name,
    what_is_offered_follows_the_policies,
    what_a_grant_uses_stays_as_removed_until_it_is_settled,
    a_role_that_may_not_be_bound_is_not_mirrored,
    namespaces_are_mirrored_where_they_are_asked_for,
];

keyless_stories![what_there_is_is_mirrored_and_follows_rancher, namespaces_are_mirrored_where_they_are_asked_for];

/// How late a change may be seen at most that a watch tells.
pub const FOLLOWS: Duration = Duration::from_secs(5);

pub fn resources() -> Gvr {
    Gvr::new("rancheraccess.io", "v1alpha1", "rancherresources")
}

async fn patch(world: &World, spec: Value) {
    let api = Api::<RancherIntegration>::all(world.admin());
    api.patch("prod", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.expect("patched");
}

pub async fn discover(world: &World, discovery: Value) {
    patch(world, json!({"discovery": discovery})).await;
}

/// The specs of all objects, by name.
pub fn mirrored(world: &World) -> BTreeMap<String, Value> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    world.server.list(&resources(), None).into_iter().map(|object| (name(&object), object["spec"].clone())).collect()
}

/// How often the operator wrote one of them.
pub fn writes(world: &World) -> Vec<String> {
    let asked = world.server.requests().into_iter();
    asked
        .filter(|r| {
            r.resource == "rancherresources"
                && !matches!(r.verb.as_str(), "list" | "watch")
                && r.user.contains("operator")
        })
        .map(|r| format!("{} {} {}", r.verb, r.name, r.code))
        .collect()
}

async fn integration(world: &World) -> RancherIntegration {
    Api::<RancherIntegration>::all(world.admin()).get("prod").await.expect("the integration")
}

pub async fn status(world: &World) -> Option<DiscoveryStatus> {
    integration(world).await.status.unwrap_or_default().discovery
}

pub async fn says(world: &World, type_: &str) -> Option<Condition> {
    condition::find(&integration(world).await.status.unwrap_or_default().conditions, type_).cloned()
}

/// Waits until all is mirrored, and the status says so.
pub async fn complete(world: &World, within: Duration) {
    world
        .until("all is mirrored", within, || async {
            says(world, "Discovered").await.is_some_and(|said| said.reason == "Mirrored")
        })
        .await;
}

/// Waits until the object of that name has this value at a pointer into its spec.
pub async fn shows(world: &World, name: &str, at: &str, value: Value, within: Duration) {
    let is = || mirrored(world).get(name).and_then(|spec| spec.pointer(at).cloned()) == Some(value.clone());
    world.until(&format!("{name} has {at} {value}"), within, || async { is() }).await;
}

pub async fn goes(world: &World, name: &str, within: Duration) {
    world.until(&format!("{name} is gone"), within, || async { !mirrored(world).contains_key(name) }).await;
}

pub fn of_project(id: &str) -> String {
    format!("prod.project.{CLUSTER}.{id}")
}

async fn change(world: &World, plural: &str, namespace: &str, name: &str, patch: Value) {
    world.rancher.local().patch(&management(plural), namespace, name, "", &patch).await.expect("changed");
}

pub async fn remove(world: &World, plural: &str, namespace: &str, name: &str) {
    world.rancher.local().delete(&management(plural), namespace, name, None).await.expect("removed");
}

async fn nothing_is_mirrored_where_nobody_asks_for_it(given: Given) {
    let world = world(given).await;
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert!(mirrored(&world).is_empty());
    assert!(world.server.requests().iter().all(|asked| asked.resource != "rancherresources"), "nor looked for");
    assert!(world.rancher.requests().iter().all(|asked| !asked.path.contains("/v3/globalroles?")));
    assert_eq!((status(&world).await, says(&world, "Discovered").await), (None, None));
}

async fn what_there_is_is_mirrored_and_follows_rancher(given: Given) {
    let world = world(given).await;
    patch(
        &world,
        json!({"integrationOwner": [{"kind": "Group", "name": "platform"}],
        "resourceOwner": {"key": "team", "kind": "Group", "settle": "24h"}}),
    )
    .await;
    discover(&world, json!({})).await;
    complete(&world, SOON).await;
    let all = mirrored(&world);
    let web = &all[&of_project(&world.project)];
    assert_eq!(
        *web,
        json!({"integrationRef": {"name": "prod"}, "kind": "Project", "id": world.project, "displayName": "web", "owner": "web",
            "cluster": {"id": CLUSTER, "displayName": "production"}, "state": "Available", "offered": true})
    );
    for (name, kind) in [
        ("prod.cluster.local", "Cluster"),
        ("prod.clusterrole.cluster-member", "ClusterRole"),
        ("prod.projectrole.read-only", "ProjectRole"),
        ("prod.globalrole.user-base", "GlobalRole"),
    ] {
        assert_eq!(all[name]["kind"], kind);
    }
    let found = status(&world).await.expect("a status");
    assert_eq!((found.clusters, found.projects, found.namespaces, found.error), (2, 5, 0, None));
    let kinds = |kind: &str| i32::try_from(all.values().filter(|spec| spec["kind"] == kind).count()).expect("few");
    assert_eq!(
        (found.cluster_roles, found.project_roles, found.global_roles),
        (kinds("ClusterRole"), kinds("ProjectRole"), kinds("GlobalRole"))
    );
    let object = world.server.get(&resources(), "", &of_project(&world.project)).expect("an object");
    let labels = json!({"rancheraccess.io/integration": "prod", "rancheraccess.io/kind": "Project", "rancheraccess.io/cluster": CLUSTER});
    assert_eq!(object["metadata"]["labels"], labels);
    let owner = &object["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], owner["uid"].as_str()),
        (&json!("RancherIntegration"), integration(&world).await.metadata.uid.as_deref())
    );
    // Added, changed, renamed with its cluster, removed.
    let added = world.rancher.add_project(CLUSTER, "added", &[]);
    shows(&world, &of_project(&added), "/offered", json!(false), FOLLOWS).await;
    change(
        &world,
        "projects",
        CLUSTER,
        &added,
        json!({"spec": {"displayName": "renamed"}, "metadata": {"labels": {"team": "web"}}}),
    )
    .await;
    shows(&world, &of_project(&added), "/displayName", json!("renamed"), FOLLOWS).await;
    shows(&world, &of_project(&added), "/offered", json!(true), FOLLOWS).await;
    shows(&world, &of_project(&added), "/owner", json!("web"), FOLLOWS).await;
    let away = json!({"spec": {"displayName": "Produktion"}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    change(&world, "clusters", "", CLUSTER, away).await;
    shows(&world, &of_project(&added), "/cluster/displayName", json!("Produktion"), FOLLOWS).await;
    shows(&world, &format!("prod.cluster.{CLUSTER}"), "/state", json!("Unavailable"), FOLLOWS).await;
    shows(&world, &of_project(&added), "/state", json!("Available"), FOLLOWS).await;
    remove(&world, "projects", CLUSTER, &added).await;
    goes(&world, &of_project(&added), FOLLOWS).await;
    world
        .until("the figures follow", Duration::from_secs(70), || async {
            status(&world).await.is_some_and(|s| s.projects == 5)
        })
        .await;
    // And then nobody writes anything, whatever is listed anew.
    tokio::time::sleep(Duration::from_secs(65)).await;
    world.server.clear_requests();
    tokio::time::sleep(Duration::from_secs(1300)).await;
    assert_eq!(writes(&world), [""; 0]);
    let patched =
        world.server.requests().into_iter().filter(|r| r.resource == "rancherintegrations" && r.verb == "patch");
    assert_eq!(patched.count(), 0, "no time alone is news");
    let text = world.operator.as_ref().expect("an operator").metrics.encode().expect("figures");
    assert!(text.contains(r#"rancher_access_discovered_resources{integration="prod",kind="Project"} 5"#), "{text}");
}

async fn whatever_people_call_it_it_has_a_name(given: Given) {
    let world = world(given).await;
    discover(&world, json!({})).await;
    let longest = "ü".repeat(253);
    let odd = ["Zwillinge", "Zwillinge", "команда 東京 🚀", "a\u{202e}b\nc\u{0}", "", "  ", &longest];
    let ids: Vec<_> = odd.iter().map(|name| world.rancher.add_project(CLUSTER, name, &[])).collect();
    world
        .rancher
        .add_role_template(json!({"metadata": {"name": "dotted.role"}, "context": "cluster", "displayName": "Dotted"}));
    complete(&world, SOON).await;
    world
        .until("all of them are there", SOON, || async {
            ids.iter().all(|id| mirrored(&world).contains_key(&of_project(id)))
        })
        .await;
    let all = mirrored(&world);
    let shown: Vec<_> = ids.iter().map(|id| all[&of_project(id)]["displayName"].as_str().unwrap_or_default()).collect();
    assert_eq!(shown[..3], odd[..3]);
    assert_eq!(shown[3], "a b c ");
    assert_eq!(shown[4..6], [ids[4].as_str(), ids[5].as_str()], "where it has no name, its id");
    assert!(shown[6].starts_with("üü") && shown[6].len() <= 253, "{}", shown[6]);
    let dotted: Vec<_> = all.iter().filter(|(_, spec)| spec["id"] == "dotted.role").map(|(name, _)| name).collect();
    assert!(matches!(dotted.as_slice(), [name] if name.starts_with("prod.clusterrole-hash.")), "{dotted:?}");
}

async fn what_is_offered_follows_the_policies(given: Given) {
    let world = world(given).await;
    discover(&world, json!({})).await;
    complete(&world, SOON).await;
    let (web, role) = (of_project(&world.project), "prod.clusterrole.nodes-view");
    let offered = |name: &str| mirrored(&world)[name]["offered"].clone();
    assert_eq!(
        (offered(&web), offered(role), offered("prod.clusterrole.cluster-member")),
        (json!(true), json!(false), json!(true))
    );
    world.patch_policy(json!({"access": [{"cluster": {"names": ["*"], "roles": ["nodes-view"]}}]})).await;
    shows(&world, &web, "/offered", json!(false), FOLLOWS).await;
    shows(&world, role, "/offered", json!(true), FOLLOWS).await;
    // Rancher's own cluster takes more than a star.
    assert_eq!(
        (offered(&format!("prod.cluster.{CLUSTER}")), offered("prod.cluster.local")),
        (json!(true), json!(false))
    );
    world.patch_policy(json!({"allowPrivileged": true})).await;
    shows(&world, "prod.cluster.local", "/offered", json!(true), FOLLOWS).await;
    world.patch_policy(json!({"suspend": true})).await;
    shows(&world, role, "/offered", json!(false), FOLLOWS).await;
    tokio::time::sleep(FOLLOWS).await;
    assert!(mirrored(&world).values().all(|spec| spec["offered"] == false));
}

async fn what_a_grant_uses_stays_as_removed_until_it_is_settled(given: Given) {
    let world = world(given).await;
    discover(&world, json!({})).await;
    complete(&world, SOON).await;
    let ahead = json!({"access": world.on_project(), "duration": "1h", "startTime": "2026-12-01T20:00:00Z"});
    world.ask("alice", "g", ahead).await;
    world.reaches("g", Phase::Scheduled, SOON).await;
    let name = of_project(&world.project);
    remove(&world, "projects", CLUSTER, &world.project).await;
    shows(&world, &name, "/state", json!("Removed"), FOLLOWS).await;
    assert_eq!(mirrored(&world)[&name]["offered"], false);
    assert_eq!(mirrored(&world)[&name]["displayName"], "web");
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert_eq!(mirrored(&world)[&name]["state"], "Removed");
    world.delete("g").await;
    goes(&world, &name, Duration::from_secs(30)).await;
}

async fn a_role_that_may_not_be_bound_is_not_mirrored(given: Given) {
    let world = world(given).await;
    let role = |name: &str, more: Value| {
        let mut role = json!({"metadata": {"name": name}, "context": "cluster", "displayName": name});
        role.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        world.rancher.add_role_template(role);
    };
    role("hidden", json!({"hidden": true}));
    role("locked", json!({"locked": true}));
    role("inherited", json!({"context": ""}));
    role("open", json!({}));
    discover(&world, json!({})).await;
    complete(&world, SOON).await;
    let has = |id: &str| mirrored(&world).values().any(|spec| spec["id"] == id);
    assert_eq!(["hidden", "locked", "inherited", "open"].map(has), [false, false, false, true]);
    change(&world, "roletemplates", "", "open", json!({"locked": true})).await;
    goes(&world, "prod.clusterrole.open", FOLLOWS).await;
    change(&world, "roletemplates", "", "hidden", json!({"hidden": false})).await;
    shows(&world, "prod.clusterrole.hidden", "/state", json!("Available"), FOLLOWS).await;
}

async fn namespaces_are_mirrored_where_they_are_asked_for(given: Given) {
    let world = world(given).await;
    discover(&world, json!({"namespaces": false})).await;
    complete(&world, SOON).await;
    let name = |cluster: &str, namespace: &str| format!("prod.namespace.{cluster}.{namespace}");
    assert!(mirrored(&world).keys().all(|name| !name.starts_with("prod.namespace.")));
    discover(&world, json!({"namespaces": true})).await;
    shows(&world, &name("local", "cattle-system"), "/kind", json!("Namespace"), SOON).await;
    if given.keyless {
        // Without a key there is no way to any other cluster.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!mirrored(&world).contains_key(&name(CLUSTER, "web-frontend")));
        return;
    }
    let web = name(CLUSTER, "web-frontend");
    shows(&world, &web, "/project", json!({"id": world.project, "displayName": "web"}), SOON).await;
    world.rancher.add_namespace(CLUSTER, "", "alone").await;
    shows(&world, &name(CLUSTER, "alone"), "/cluster/id", json!(CLUSTER), FOLLOWS).await;
    assert_eq!(mirrored(&world)[&name(CLUSTER, "alone")].get("project"), None);
    // A cluster that is away keeps what it had, and catches up when it is back.
    world.rancher.cluster_away(CLUSTER, true);
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert!(mirrored(&world).contains_key(&web));
    assert_eq!(says(&world, "Ready").await.map(|c| c.reason).as_deref(), Some("Ready"));
    world.rancher.cluster_away(CLUSTER, false);
    world.rancher.add_namespace(CLUSTER, "", "later").await;
    shows(&world, &name(CLUSTER, "later"), "/state", json!("Available"), Duration::from_secs(90)).await;
    discover(&world, json!({"namespaces": false})).await;
    goes(&world, &web, SOON).await;
    world
        .until("the figures follow", Duration::from_secs(90), || async {
            status(&world).await.is_some_and(|s| s.namespaces == 0)
        })
        .await;
}
