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
use testkit::{
    apiserver::Gvr,
    rancher::{FaultAction, FaultRule},
};

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
    where_a_watch_is_refused_it_is_listed_again_and_again,
    what_cannot_be_listed_makes_no_integration_unready,
    what_somebody_does_by_hand_is_put_right,
    switched_off_all_of_it_goes,
    an_operator_that_begins_writes_nothing_anew,
    a_rancher_put_back_to_a_backup_is_mirrored_as_it_is,
    namespaces_are_mirrored_where_they_are_asked_for,
];

keyless_stories![what_there_is_is_mirrored_and_follows_rancher, namespaces_are_mirrored_where_they_are_asked_for];

/// How late a change may be seen at most that a watch tells.
const FOLLOWS: Duration = Duration::from_secs(5);

type Edit = fn(&mut Value);

fn resources() -> Gvr {
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

async fn status(world: &World) -> Option<DiscoveryStatus> {
    integration(world).await.status.unwrap_or_default().discovery
}

async fn says(world: &World, type_: &str) -> Option<Condition> {
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
async fn shows(world: &World, name: &str, at: &str, value: Value, within: Duration) {
    let is = || mirrored(world).get(name).and_then(|spec| spec.pointer(at).cloned()) == Some(value.clone());
    world.until(&format!("{name} has {at} {value}"), within, || async { is() }).await;
}

async fn goes(world: &World, name: &str, within: Duration) {
    world.until(&format!("{name} is gone"), within, || async { !mirrored(world).contains_key(name) }).await;
}

fn of_project(id: &str) -> String {
    format!("prod.project.{CLUSTER}.{id}")
}

async fn change(world: &World, plural: &str, namespace: &str, name: &str, patch: Value) {
    world.rancher.local().patch(&management(plural), namespace, name, "", &patch).await.expect("changed");
}

async fn remove(world: &World, plural: &str, namespace: &str, name: &str) {
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

async fn where_a_watch_is_refused_it_is_listed_again_and_again(given: Given) {
    let world = world(given).await;
    let is_watch = |path: &str| path.contains("/v3/projects?") && path.contains("watch=");
    let no = FaultAction::Status(403, "no".to_owned());
    world.rancher.fault(FaultRule::new(move |_, path| is_watch(path), no));
    discover(&world, json!({"interval": "2m"})).await;
    world
        .until("it is told", SOON, || async {
            says(&world, "Discovered").await.is_some_and(|c| c.reason == "Incomplete")
        })
        .await;
    let said = says(&world, "Discovered").await.expect("a condition").message;
    assert!(said.contains("projects cannot be watched") && said.contains("every 2m"), "{said}");
    assert_eq!(says(&world, "Ready").await.map(|c| c.reason).as_deref(), Some("Ready"));
    world
        .until("it is mirrored all the same", SOON, || async {
            mirrored(&world).contains_key(&of_project(&world.project))
        })
        .await;
    let added = world.rancher.add_project(CLUSTER, "added", &[]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!mirrored(&world).contains_key(&of_project(&added)));
    shows(&world, &of_project(&added), "/displayName", json!("added"), Duration::from_secs(110)).await;
    world.rancher.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let lists =
        world.rancher.requests().into_iter().filter(|r| r.path.contains("/v3/projects?") && !is_watch(&r.path)).count();
    assert!((4..=6).contains(&lists), "one list in two minutes: {lists}");
    world.rancher.clear_faults();
    complete(&world, Duration::from_secs(200)).await;
    let again = world.rancher.add_project(CLUSTER, "again", &[]);
    shows(&world, &of_project(&again), "/displayName", json!("again"), FOLLOWS).await;
}

async fn what_cannot_be_listed_makes_no_integration_unready(given: Given) {
    let world = world(given).await;
    let no = FaultAction::Status(500, "no".to_owned());
    world.rancher.fault(FaultRule::on("GET", "/v3/globalroles?", no));
    discover(&world, json!({})).await;
    world
        .until("it is told", SOON, || async {
            says(&world, "Discovered").await.is_some_and(|c| c.reason == "Incomplete")
        })
        .await;
    let error = status(&world).await.and_then(|status| status.error).expect("an error");
    assert!(error.contains("global roles cannot be listed"), "{error}");
    assert_eq!(says(&world, "Ready").await.map(|c| c.reason).as_deref(), Some("Ready"));
    // What can be listed is mirrored meanwhile.
    shows(&world, &of_project(&world.project), "/displayName", json!("web"), SOON).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.rancher.clear_faults();
    complete(&world, Duration::from_secs(60)).await;
    shows(&world, "prod.globalrole.user-base", "/kind", json!("GlobalRole"), SOON).await;
    assert_eq!(status(&world).await.and_then(|status| status.error), None);
}

async fn what_somebody_does_by_hand_is_put_right(given: Given) {
    let world = world(given).await;
    discover(&world, json!({})).await;
    complete(&world, SOON).await;
    let name = of_project(&world.project);
    let good = world.server.get(&resources(), "", &name).expect("an object");
    let is_good = || {
        world.server.get(&resources(), "", &name).is_some_and(|now| {
            let same = |field: &str| now["metadata"][field] == good["metadata"][field];
            now["spec"] == good["spec"] && same("labels") && same("ownerReferences")
        })
    };
    // Admission lets nobody but the operator do this; whoever can switch that off can too.
    let edits: [(&str, Edit); 4] = [
        ("another owner", |object| object["spec"]["owner"] = json!("eve")),
        ("another integration and kind", |object| {
            object["spec"]["integrationRef"] = json!({"name": "other"});
            object["spec"]["kind"] = json!("Namespace");
        }),
        ("no labels", |object| object["metadata"]["labels"] = json!({})),
        ("no owner", |object| object["metadata"]["ownerReferences"] = json!([])),
    ];
    for (what, edit) in edits {
        let mut object = world.server.get(&resources(), "", &name).expect("an object");
        edit(&mut object);
        world.server.update_unchecked(&resources(), object).expect("edited");
        world.until(&format!("{what} is put right"), SOON, || async { is_good() }).await;
    }
    world.server.delete_unchecked(&resources(), "", &name).expect("deleted");
    world.until("it is made again", SOON, || async { is_good() }).await;
    let mut stray = good.clone();
    stray["metadata"] = json!({"name": "stray", "labels": good["metadata"]["labels"]});
    stray["spec"]["id"] = json!("p-stray");
    world.server.create_unchecked(&resources(), stray).expect("created");
    goes(&world, "stray", SOON).await;
}

async fn switched_off_all_of_it_goes(given: Given) {
    let mut world = world(given).await;
    discover(&world, json!({"namespaces": true})).await;
    complete(&world, SOON).await;
    discover(&world, Value::Null).await;
    world.until("all of it is gone", SOON, || async { mirrored(&world).is_empty() }).await;
    world.until("the status too", SOON, || async { status(&world).await.is_none() }).await;
    assert_eq!(says(&world, "Discovered").await, None);
    let text = world.operator.as_ref().expect("an operator").metrics.encode().expect("figures");
    assert!(!text.contains("discovered_resources{"), "{text}");
    // The same where nobody was there to see it.
    discover(&world, json!({})).await;
    complete(&world, SOON).await;
    world.kill().await;
    discover(&world, Value::Null).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!mirrored(&world).is_empty());
    world.launch().await;
    world.until("all of it is gone", Duration::from_secs(90), || async { mirrored(&world).is_empty() }).await;
    world.until("the status too", SOON, || async { status(&world).await.is_none() }).await;
    world.server.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(world.server.requests().iter().all(|asked| asked.resource != "rancherresources"));
}

async fn an_operator_that_begins_writes_nothing_anew(given: Given) {
    let mut world = world(given).await;
    discover(&world, json!({"namespaces": true})).await;
    complete(&world, SOON).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = mirrored(&world);
    let made = writes(&world);
    assert_eq!(made.len(), before.len(), "one write for each: {made:?}");
    world.kill().await;
    let new = world.rancher.add_project(CLUSTER, "new", &[]);
    world.server.clear_requests();
    world.launch().await;
    shows(&world, &of_project(&new), "/displayName", json!("new"), Duration::from_secs(90)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(writes(&world), ["create  201"; 2], "the project, and its namespace on Rancher's own cluster");
    assert_eq!(says(&world, "Discovered").await.map(|said| said.reason).as_deref(), Some("Mirrored"));
}

async fn a_rancher_put_back_to_a_backup_is_mirrored_as_it_is(given: Given) {
    let world = world(given).await;
    discover(&world, json!({"interval": "10m"})).await;
    complete(&world, SOON).await;
    let backup = world.rancher.backup();
    let lost = world.rancher.add_project(CLUSTER, "lost", &[]);
    shows(&world, &of_project(&lost), "/displayName", json!("lost"), FOLLOWS).await;
    remove(&world, "projects", CLUSTER, &world.project).await;
    goes(&world, &of_project(&world.project), FOLLOWS).await;
    // At once where the server knows nothing of what the watch saw; where it has written as much since, with the next list.
    world.rancher.restore(&backup).await;
    shows(&world, &of_project(&world.project), "/displayName", json!("web"), Duration::from_secs(700)).await;
    goes(&world, &of_project(&lost), Duration::from_secs(10)).await;
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
