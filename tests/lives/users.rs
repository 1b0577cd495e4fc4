//! Users in Rancher that are there because of grants: local users, and those whom Rancher makes for a principal.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::Api;
use rancher_access_operator::api::{RancherIntegration, condition, status::Phase, user::UsersStatus};
use serde_json::{Value, json};
use testkit::{
    apiserver::Gvr,
    rancher::{TokenSpec, Version},
};

use crate::{
    SOON,
    embedded::{
        NAMESPACE,
        world::{Given, World},
    },
    end_of,
    keys::patch,
    world,
};

stories![
    a_local_user_is_made_used_disabled_used_again_and_deleted,
    nobody_elses_grant_uses_a_local_user,
    a_local_user_is_asked_for_only_where_a_policy_names_him,
    a_user_that_somebody_else_made_is_not_taken_over,
    who_holds_anything_by_others_is_kept,
    a_password_is_replaced_after_its_days,
    a_crash_at_any_time_leaves_no_user_that_may_log_in,
    grants_of_one_requester_share_a_user,
    a_user_made_for_a_principal_is_deleted_unless_a_person_comes,
];

keyless_stories![a_local_user_is_made_used_disabled_used_again_and_deleted, who_holds_anything_by_others_is_kept,];

const DAY: u64 = 86_400;

pub fn users() -> Gvr {
    Gvr::new("management.cattle.io", "v3", "users")
}

/// So many seconds pass, of which nobody wants to see each minute: no operator runs meanwhile.
async fn pass(world: &mut World, seconds: u64) {
    world.kill().await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    world.start().await;
    // It leads once the lease of the one before has run out.
    tokio::time::sleep(Duration::from_secs(30)).await;
}

/// The users in Rancher that the operator made.
fn local_users(world: &World) -> Vec<Value> {
    let named = |user: &Value| user["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("rao-"));
    world.rancher.local().list(&users(), None).into_iter().filter(named).collect()
}

fn only_user(world: &World) -> Value {
    let mut found = local_users(world);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn is_disabled(world: &World) -> bool {
    only_user(world)["enabled"] == false
}

/// Lets alice and bob ask for local users whose names begin so.
pub async fn allow(world: &World, patterns: &[&str]) {
    world
        .patch_policy(json!({"subjects": {"self": true, "users": ["okta_user://ext-*"], "localUsers": patterns}}))
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
}

pub fn for_local_user(world: &World, username: &str, duration: &str) -> Value {
    json!({"access": world.on_cluster(), "duration": duration,
        "subject": {"localUser": {"username": username, "displayName": "Deployments"}}})
}

async fn status(world: &World) -> (Option<UsersStatus>, String) {
    let status =
        Api::<RancherIntegration>::all(world.admin()).get("prod").await.expect("it").status.unwrap_or_default();
    let told = condition::find(&status.conditions, "UsersTended").map(|c| format!("{}: {}", c.reason, c.message));
    (status.users, told.unwrap_or_default())
}

/// Whether this Rancher takes passwords from Secrets; where it does not, sees that the grant is told so.
async fn has_local_users(world: &World, given: Given) -> bool {
    if given.version >= Version::V2_13 {
        return true;
    }
    allow(world, &["deploy"]).await;
    world.ask("alice", "old", for_local_user(world, "deploy", "1h")).await;
    let pending = world.reaches("old", Phase::Pending, SOON).await;
    let said = condition::find(&pending.status.expect("a status").conditions, "Ready").expect("told").message.clone();
    assert!(said.contains("2.13"), "{said}");
    assert!(local_users(world).is_empty());
    false
}

fn requester_may_read(world: &World, secret: &str, who: &str) -> bool {
    let of = |kind: &str| world.server.get(&Gvr::new("rbac.authorization.k8s.io", "v1", kind), NAMESPACE, secret);
    let (Some(role), Some(binding)) = (of("roles"), of("rolebindings")) else { return false };
    let rule = json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]}]);
    role["rules"] == rule
        && binding["roleRef"]["name"] == secret
        && binding["subjects"].as_array().is_some_and(|subjects| subjects.len() == 1)
        && binding["subjects"][0]["name"] == who
        && binding["subjects"][0]["kind"] == "User"
}

async fn a_local_user_is_made_used_disabled_used_again_and_deleted(given: Given) {
    let mut world = world(given).await;
    if !has_local_users(&world, given).await {
        return;
    }
    patch(&world, json!({"userCleanupDays": 2})).await;
    allow(&world, &["deploy*"]).await;
    world.ask("alice", "g", for_local_user(&world, "deploy", "1h")).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    println!("{}", serde_json::to_string_pretty(&active.status).expect("JSON"));
    let made = only_user(&world);
    let id = made["metadata"]["name"].as_str().expect("a name").to_owned();
    assert_eq!(made["displayName"], "Deployments");
    assert_eq!(world.bindings_of(&id).len(), 1);
    let first = world.credentials(&active).expect("credentials");
    assert!(first.0.starts_with("rao-deploy-"));
    assert_eq!(world.login(&first).await, 201);
    assert!(requester_may_read(&world, &id, "alice"));
    world.until("he has access", SOON, || async { world.has_access(&id) }).await;

    world.reaches("g", Phase::Expired, Duration::from_secs(3700)).await;
    world.until("he is disabled", SOON, || async { is_disabled(&world) }).await;
    let late = world.clock.now().duration_since(end_of(&world.grant("g").await.expect("the grant")));
    assert!(late.as_secs() < 8, "{late}");
    assert_eq!(world.login(&first).await, 403);
    let gone = || world.server.get(&Gvr::core("secrets"), NAMESPACE, &id).is_none();
    world.until("the credentials are gone", SOON, || async { gone() }).await;
    world.until("nobody may read them", SOON, || async { !requester_may_read(&world, &id, "alice") }).await;
    world.until("it is told", SOON, || async { status(&world).await.0.is_some_and(|users| users.disabled == 1) }).await;

    pass(&mut world, DAY).await;
    let kubeconfig = world.rancher.add_token(&id, TokenSpec::default());
    world.ask("alice", "again", for_local_user(&world, "deploy", "1h")).await;
    let again = world.reaches("again", Phase::Active, SOON).await;
    assert_eq!(only_user(&world)["metadata"]["uid"], made["metadata"]["uid"], "the same user");
    let second = world.credentials(&again).expect("credentials");
    assert_eq!(second.0, first.0);
    assert_eq!(world.login(&first).await, 401, "the old password is void");
    assert_eq!(world.login(&second).await, 201);
    let tokens = world.rancher.local().list(&Gvr::new("management.cattle.io", "v3", "tokens"), None);
    let left = tokens.iter().any(|token| kubeconfig.starts_with(token["metadata"]["name"].as_str().unwrap_or("none")));
    assert!(!left, "what was made before is void too");
    // Two days after the first grant: he is in use since.
    world.delete("again").await;
    world.until("he is disabled again", SOON, || async { is_disabled(&world) }).await;
    pass(&mut world, 2 * DAY - 600).await;
    assert_eq!(local_users(&world).len(), 1, "not before his time");
    world.until("he is deleted", Duration::from_secs(1800), || async { local_users(&world).is_empty() }).await;
    world.until("nobody is told of", SOON, || async { status(&world).await == (None, String::new()) }).await;
    let events = world.events();
    assert!(events.contains("UserDisabled") && events.contains("UserDeleted"), "{events}");
    for (_, password) in [first, second] {
        let told = format!("{events}{}", world.tell().await);
        assert!(!told.contains(&password) && !told.contains(&STANDARD.encode(&password)));
    }
}

async fn nobody_elses_grant_uses_a_local_user(given: Given) {
    let world = world(given).await;
    if !has_local_users(&world, given).await {
        return;
    }
    allow(&world, &["deploy"]).await;
    world.ask("alice", "alices", for_local_user(&world, "deploy", "1h")).await;
    world.ask("bob", "bobs", for_local_user(&world, "deploy", "1h")).await;
    let alices = world.credentials(&world.reaches("alices", Phase::Active, SOON).await).expect("credentials");
    let bobs = world.credentials(&world.reaches("bobs", Phase::Active, SOON).await).expect("credentials");
    assert_ne!(alices.0, bobs.0, "the same name, and two users");
    let id = world
        .grant("alices")
        .await
        .and_then(|g| g.status?.bindings.first().map(|b| b.subject.clone()))
        .expect("a subject");
    let id = id.trim_start_matches("user:").to_owned();
    // By whatever name he is called: he is nobody else's.
    world.patch_policy(json!({"subjects": {"self": true, "users": ["*"], "localUsers": ["deploy"]}})).await;
    patch(&world, json!({"identityMapping": {"userPrincipal": "local://{name}"}})).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    for (name, subject) in
        [("by-id", json!({"user": id})), ("by-principal", json!({"principal": format!("local://{id}")}))]
    {
        world.ask("bob", name, json!({"access": world.on_project(), "subject": subject})).await;
    }
    world.ask(&id, "by-name", json!({"access": world.on_project()})).await;
    for name in ["by-id", "by-principal", "by-name"] {
        world
            .until("it is refused", SOON, || async {
                let status = world.grant(name).await.and_then(|grant| grant.status).unwrap_or_default();
                condition::find(&status.conditions, "Ready").is_some_and(|c| c.reason == "SubjectIsLocalUser")
            })
            .await;
    }
    assert_eq!(world.bindings_of(&id).len(), 1);
}

async fn a_local_user_is_asked_for_only_where_a_policy_names_him(given: Given) {
    let world = world(given).await;
    if !has_local_users(&world, given).await {
        return;
    }
    world.ask("alice", "g", for_local_user(&world, "deploy", "1h")).await;
    let pending = world.reaches("g", Phase::Pending, SOON).await;
    let said = condition::find(&pending.status.expect("a status").conditions, "Ready").expect("told").message.clone();
    assert!(said.contains("localUsers") && said.contains("deploy"), "{said}");
    assert!(local_users(&world).is_empty());
    allow(&world, &["deploy"]).await;
    world.reaches("g", Phase::Active, Duration::from_secs(20)).await;
    assert_eq!(local_users(&world).len(), 1);
}

async fn a_user_that_somebody_else_made_is_not_taken_over(given: Given) {
    let world = world(given).await;
    if !has_local_users(&world, given).await {
        return;
    }
    allow(&world, &["deploy"]).await;
    world
        .ask("alice", "dry", {
            let mut spec = for_local_user(&world, "deploy", "1h");
            spec["dryRun"] = json!(true);
            spec
        })
        .await;
    world
        .until("the names are told", SOON, || async {
            world.grant("dry").await.and_then(|g| g.status?.digest).is_some()
        })
        .await;
    assert!(local_users(&world).is_empty(), "a dry run makes nobody");
    // Another installation's, or one that lost its mark: whoever has the id is not touched.
    world.ask("alice", "g", for_local_user(&world, "deploy", "1h")).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.delete("g").await;
    world.until("he is disabled", SOON, || async { is_disabled(&world) }).await;
    let mut stripped = only_user(&world);
    let marks = stripped["metadata"].as_object_mut().expect("metadata");
    marks.remove("annotations");
    world.rancher.local().update_unchecked(&users(), stripped).expect("stripped");
    world.ask("alice", "again", for_local_user(&world, "deploy", "1h")).await;
    let failed = world.reaches("again", Phase::Failed, Duration::from_secs(150)).await;
    let said = condition::find(&failed.status.expect("a status").conditions, "Ready").expect("told").message.clone();
    assert!(said.contains("mark"), "{said}");
    assert_eq!(only_user(&world)["enabled"], false, "he was not touched");
    let kept = || async { status(&world).await.0.is_some_and(|users| users.kept.len() == 1) };
    world.until("it is told", Duration::from_secs(700), kept).await;
}

async fn who_holds_anything_by_others_is_kept(given: Given) {
    let mut world = world(given).await;
    if !has_local_users(&world, given).await {
        return;
    }
    patch(&world, json!({"userCleanupDays": 1})).await;
    allow(&world, &["deploy"]).await;
    world.ask("alice", "g", for_local_user(&world, "deploy", "10m")).await;
    world.reaches("g", Phase::Active, SOON).await;
    let id = only_user(&world)["metadata"]["name"].as_str().expect("a name").to_owned();
    let grb = json!({"apiVersion": "management.cattle.io/v3", "kind": "GlobalRoleBinding", "metadata": {"name": "theirs"},
        "globalRoleName": "user", "userName": id});
    let grbs = Gvr::new("management.cattle.io", "v3", "globalrolebindings");
    world.rancher.local().create(&grbs, &grb).await.expect("theirs");
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    world.until("he is disabled", SOON, || async { is_disabled(&world) }).await;
    pass(&mut world, DAY).await;
    let seen = || async { status(&world).await.0.is_some_and(|users| !users.kept.is_empty()) };
    world.until("he is kept", SOON, seen).await;
    let (users, said) = status(&world).await;
    let kept = users.expect("users").kept;
    assert!(kept.len() == 1 && kept[0].user == id && kept[0].reason.contains("theirs"), "{kept:?}");
    assert!(said.starts_with("UsersKept") && world.events().contains("UserKept"), "{said}");
    world.rancher.local().delete(&grbs, "", "theirs", None).await.expect("taken away");
    world.until("he is deleted", Duration::from_secs(900), || async { local_users(&world).is_empty() }).await;
}

async fn a_password_is_replaced_after_its_days(given: Given) {
    let mut world = world(given).await;
    if !has_local_users(&world, given).await {
        return;
    }
    patch(&world, json!({"credentialRotationDays": 1})).await;
    allow(&world, &["deploy"]).await;
    world.patch_policy(json!({"duration": {"max": "100h"}})).await;
    world.ask("alice", "g", for_local_user(&world, "deploy", "50h")).await;
    let active = world.reaches("g", Phase::Active, Duration::from_secs(20)).await;
    let first = world.credentials(&active).expect("credentials");
    pass(&mut world, DAY - 600).await;
    assert_eq!(world.credentials(&active).as_ref(), Some(&first), "not before its time");
    let changed = || world.credentials(&active).is_some_and(|now| now != first);
    world.until("the password changes", Duration::from_secs(900), || async { changed() }).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let second = world.credentials(&active).expect("credentials");
    assert_eq!((world.login(&first).await, world.login(&second).await), (401, 201));
    pass(&mut world, DAY).await;
    world.reaches("g", Phase::Expired, Duration::from_secs(3 * 3600)).await;
    world.until("he is disabled", SOON, || async { is_disabled(&world) }).await;
}

async fn a_crash_at_any_time_leaves_no_user_that_may_log_in(given: Given) {
    let mut world = world(given).await;
    if !has_local_users(&world, given).await {
        return;
    }
    allow(&world, &["deploy"]).await;
    for millis in [20, 60, 120, 250, 500, 900] {
        let name = format!("g{millis}");
        world.ask("alice", &name, for_local_user(&world, "deploy", "2m")).await;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        world.kill().await;
        tokio::time::sleep(Duration::from_secs(40)).await;
        world.start().await;
        let active = world.reaches(&name, Phase::Active, Duration::from_secs(60)).await;
        let credentials = world.credentials(&active).expect("credentials");
        assert_eq!(world.login(&credentials).await, 201, "{millis}");
        world.kill().await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        world.start().await;
        world.reaches(&name, Phase::Expired, Duration::from_secs(60)).await;
        world.until("he is disabled", SOON, || async { is_disabled(&world) }).await;
        assert_eq!(world.login(&credentials).await, 403, "{millis}");
    }
    // The grants are gone, and with them all that was known.
    world.kill().await;
    let grants = Gvr::new("rancheraccess.io", "v1alpha1", "accessgrants");
    for mut grant in world.server.list(&grants, None).into_iter() {
        grant["metadata"]["finalizers"] = json!([]);
        let name = grant["metadata"]["name"].as_str().expect("a name").to_owned();
        world.server.update_unchecked(&grants, grant).expect("without finalizers");
        let _ = world.server.delete(&grants, "web", &name, None).await;
    }
    let mut enabled = only_user(&world);
    enabled["enabled"] = json!(true);
    enabled["metadata"]["annotations"].as_object_mut().expect("annotations").remove("rancheraccess.io/unused-since");
    world.rancher.local().update_unchecked(&users(), enabled).expect("enabled");
    world.start().await;
    world.until("who is nobody's is disabled", Duration::from_secs(700), || async { is_disabled(&world) }).await;
}

async fn grants_of_one_requester_share_a_user(given: Given) {
    let world = world(given).await;
    if !has_local_users(&world, given).await {
        return;
    }
    allow(&world, &["deploy"]).await;
    world.ask("alice", "short", for_local_user(&world, "deploy", "10m")).await;
    let short = world.reaches("short", Phase::Active, SOON).await;
    let mut project = for_local_user(&world, "deploy", "20m");
    project["access"] = world.on_project();
    world.ask("alice", "long", project).await;
    let long = world.reaches("long", Phase::Active, SOON).await;
    let shared = world.credentials(&short).expect("credentials");
    assert_eq!(Some(&shared), world.credentials(&long).as_ref());
    world.reaches("short", Phase::Expired, Duration::from_secs(700)).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.login(&shared).await, 201, "the other grant goes on");
    world.reaches("long", Phase::Expired, Duration::from_secs(700)).await;
    world.until("he is disabled", SOON, || async { is_disabled(&world) }).await;
}

async fn a_user_made_for_a_principal_is_deleted_unless_a_person_comes(given: Given) {
    let mut world = world(given).await;
    patch(&world, json!({"userCleanupDays": 1})).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for who in ["ext-eve", "ext-mia"] {
        let spec = json!({"access": world.on_cluster(), "duration": "10m", "subject": {"principal": format!("okta_user://{who}")}});
        world.ask("alice", who, spec).await;
        world.reaches(who, Phase::Active, SOON).await;
    }
    let local = world.rancher.local();
    let of = |who: &str| {
        let principal = json!(format!("okta_user://{who}"));
        let found = local.list(&users(), None);
        found.into_iter().find(|user| user["principalIds"].as_array().is_some_and(|ids| ids.contains(&principal)))
    };
    world
        .until("they are marked", SOON, || async {
            ["ext-eve", "ext-mia"].iter().all(|who| {
                of(who).is_some_and(|user| user["metadata"]["annotations"]["rancheraccess.io/user-seal"].is_string())
            })
        })
        .await;
    for who in ["ext-eve", "ext-mia"] {
        world.reaches(who, Phase::Expired, Duration::from_secs(900)).await;
        world.delete(who).await;
    }
    let mia = of("ext-mia").expect("a user")["metadata"]["name"].as_str().expect("a name").to_owned();
    world.rancher.set_groups(&mia, &["okta_group://people"]);
    world.rancher.add_token(&mia, TokenSpec { session: true, ..TokenSpec::default() });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(of("ext-eve").is_some_and(|user| user["enabled"] != false), "nobody is disabled who may be a person");
    pass(&mut world, DAY).await;
    world.until("nobody came, and he is deleted", SOON, || async { of("ext-eve").is_none() }).await;
    tokio::time::sleep(Duration::from_secs(900)).await;
    let person = of("ext-mia").expect("a person stays");
    assert!(person["metadata"]["annotations"]["rancheraccess.io/user-seal"].is_null(), "and is nobody of ours");
    assert!(status(&world).await.0.is_none());
}
