//! Tokens that people make while they have access.

use std::time::Duration;

use bytes::Bytes;
use kube::Api;
use rancher_access_operator::api::{
    RancherIntegration,
    integration::RancherIntegrationStatus,
    status::Phase,
    user::{LeftoverToken, TokenAction},
};
use serde_json::json;
use testkit::rancher::{FaultAction, FaultRule, TokenSpec, Version};
use tower::ServiceExt;

use crate::{
    SOON,
    embedded::world::{Given, World, crtbs},
    hands::management,
    keys::{name_of, patch},
    world,
};

stories![
    what_is_left_over_is_told_of_and_nothing_else,
    what_is_left_over_is_disabled,
    what_is_left_over_is_deleted_and_told_for_a_day,
    whoever_has_other_access_keeps_his_tokens_until_that_ends_too,
    whoever_has_access_by_a_group_keeps_his_tokens,
    what_is_not_known_leads_to_nothing,
    a_deleted_grant_is_remembered,
    a_crash_forgets_nothing_of_a_grant_that_is_there,
    an_answer_that_is_lost_is_made_good,
    a_token_that_comes_to_be_another_is_not_touched,
    access_that_overlaps_is_one,
    whose_key_the_operator_uses_is_never_asked_for,
    nobody_is_asked_for_who_made_nothing,
];

/// How long after an end the look at the tokens is over.
const LOOKED: Duration = Duration::from_secs(60);

/// A world in which left-over tokens are treated so, and alice has logged in once.
async fn treated(given: Given, wanted: &str) -> World {
    let world = world(given).await;
    patch(&world, json!({"leftoverTokens": wanted})).await;
    world.rancher.set_groups("u-alice", &[]);
    world
}

async fn status(world: &World) -> RancherIntegrationStatus {
    let integration = Api::<RancherIntegration>::all(world.admin()).get("prod").await.expect("the integration");
    integration.status.unwrap_or_default()
}

async fn left(world: &World) -> Vec<LeftoverToken> {
    status(world).await.leftover_tokens
}

/// The names of what is left over, with what was done about each.
async fn names(world: &World) -> Vec<(String, TokenAction)> {
    left(world).await.into_iter().map(|token| (token.name, token.action)).collect()
}

/// Whether Rancher takes a bearer.
async fn works(world: &World, bearer: &str) -> bool {
    let request = http::Request::get("https://rancher.example.com/v3/settings/server-version")
        .header("authorization", format!("Bearer {bearer}"));
    let request = request.body(Bytes::new()).expect("a request");
    world.rancher.service().oneshot(request).await.expect("an answer").status().as_u16() != 401
}

fn key() -> TokenSpec {
    TokenSpec::default()
}

/// As `status` names it.
fn full(bearer: &str) -> String {
    bearer.split(':').next().unwrap_or_default().to_owned()
}

/// Keys of both kinds, as far as the release has them.
fn keys_of(world: &World, given: Given, user: &str) -> Vec<String> {
    let kinds = if given.version >= Version::V2_13 { &[false, true][..] } else { &[false] };
    kinds.iter().map(|&ext| world.rancher.add_token(user, TokenSpec { ext, ..key() })).collect()
}

/// Alice has access for ten minutes; in the middle she makes keys of all kinds.
async fn grant_with_keys(world: &World, given: Given) -> Vec<String> {
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    keys_of(world, given, "u-alice")
}

async fn ends(world: &World) {
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
}

/// Waits until exactly these are listed, and how.
async fn listed(world: &World, keys: &[String], action: TokenAction) {
    let mut expected: Vec<_> = keys.iter().map(|key| (full(key), action)).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let what = format!("{expected:?} are listed");
    world
        .until(&what, Duration::from_secs(700), || async {
            let mut found = names(world).await;
            found.sort_by(|a, b| a.0.cmp(&b.0));
            found == expected
        })
        .await;
}

/// How often something was told of.
fn told(world: &World, reason: &str) -> usize {
    world.events().matches(reason).count()
}

async fn what_is_left_over_is_told_of_and_nothing_else(given: Given) {
    let world = treated(given, "Report").await;
    let before = keys_of(&world, given, "u-alice");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let keys = grant_with_keys(&world, given).await;
    let session = world.rancher.add_token("u-alice", TokenSpec { session: true, ..key() });
    let others = keys_of(&world, given, "u-bob");
    ends(&world).await;
    listed(&world, &keys, TokenAction::Reported).await;
    for bearer in before.iter().chain(&keys).chain(&others).chain([&session]) {
        assert!(works(&world, bearer).await, "nothing was done");
    }
    let token = left(&world).await.remove(0);
    assert_eq!((token.user.as_str(), token.grant.as_str()), ("u-alice", "web/g"));
    // Once on the integration and once on the grant, however often it is looked.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(told(&world, "LeftoverTokenReported"), 2, "{}", world.events());
    assert!(keys.iter().all(|key| world.events().contains(&full(key))), "{}", world.events());
    let everything = format!("{}{}", world.tell().await, world.events());
    for bearer in &keys {
        assert!(!everything.contains(bearer.split(':').nth(1).expect("a secret")), "a secret is told");
    }
    // What is gone is dropped.
    let (local, ext) = (world.rancher.local(), testkit::apiserver::Gvr::new("ext.cattle.io", "v1", "tokens"));
    for bearer in &keys {
        let kind = if bearer.starts_with("ext/") { &ext } else { &management("tokens") };
        local.delete_unchecked(kind, "", &name_of(bearer)).expect("deleted");
    }
    listed(&world, &[], TokenAction::Reported).await;
}

async fn what_is_left_over_is_disabled(given: Given) {
    let world = treated(given, "Report").await;
    let before = world.rancher.add_token("u-alice", key());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let keys = grant_with_keys(&world, given).await;
    ends(&world).await;
    listed(&world, &keys, TokenAction::Reported).await;
    // Another word counts for what is listed too, at once.
    patch(&world, json!({"leftoverTokens": "Disable"})).await;
    world
        .until("all are disabled", SOON, || async {
            names(&world).await.iter().all(|(_, a)| *a == TokenAction::Disabled)
        })
        .await;
    listed(&world, &keys, TokenAction::Disabled).await;
    for bearer in &keys {
        assert!(!works(&world, bearer).await, "it works still");
    }
    assert!(works(&world, &before).await);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(told(&world, "LeftoverTokenDisabled"), 2);
}

async fn what_is_left_over_is_deleted_and_told_for_a_day(given: Given) {
    let world = treated(given, "Delete").await;
    let before = world.rancher.add_token("u-alice", key());
    let session = world.rancher.add_token("u-alice", TokenSpec { session: true, ..key() });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let keys = grant_with_keys(&world, given).await;
    ends(&world).await;
    listed(&world, &keys, TokenAction::Deleted).await;
    for bearer in &keys {
        assert!(!works(&world, bearer).await, "it works still");
    }
    assert!(works(&world, &before).await && works(&world, &session).await);
    assert_eq!(told(&world, "LeftoverTokenDeleted"), 2);
    tokio::time::sleep(Duration::from_secs(23 * 3600)).await;
    assert_eq!(left(&world).await.len(), keys.len());
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert!(left(&world).await.is_empty(), "a day is over");
}

async fn whoever_has_other_access_keeps_his_tokens_until_that_ends_too(given: Given) {
    let world = treated(given, "Delete").await;
    let keys = grant_with_keys(&world, given).await;
    // Another cluster, that no grant is about.
    world.rancher.add_cluster("c-m-other001", "other", &[]);
    let crtb = json!({"apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding",
        "metadata": {"name": "by-hand", "namespace": "c-m-other001"}, "clusterName": "c-m-other001",
        "roleTemplateName": "cluster-member", "userName": "u-alice"});
    world.rancher.local().create(&crtbs(), &crtb).await.expect("a binding by hand");
    ends(&world).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(left(&world).await.is_empty());
    for bearer in &keys {
        assert!(works(&world, bearer).await, "she has access");
    }
    world.rancher.local().delete(&crtbs(), "c-m-other001", "by-hand", None).await.expect("deleted");
    listed(&world, &keys, TokenAction::Deleted).await;
}

async fn whoever_has_access_by_a_group_keeps_his_tokens(given: Given) {
    let world = treated(given, "Disable").await;
    world.rancher.set_groups("u-alice", &["okta_group://web"]);
    let keys = grant_with_keys(&world, given).await;
    let grb = json!({"apiVersion": "management.cattle.io/v3", "kind": "GlobalRoleBinding", "metadata": {"name": "group"},
        "globalRoleName": "user-base", "groupPrincipalName": "okta_group://web"});
    world.rancher.local().create(&management("globalrolebindings"), &grb).await.expect("a binding by hand");
    let default = json!({"apiVersion": "management.cattle.io/v3", "kind": "GlobalRoleBinding", "metadata": {"name": "default"},
        "globalRoleName": "user", "userName": "u-alice"});
    world.rancher.local().create(&management("globalrolebindings"), &default).await.expect("what everybody has");
    ends(&world).await;
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert!(left(&world).await.is_empty() && works(&world, &keys[0]).await);
    world.rancher.set_groups("u-alice", &["okta_group://other"]);
    listed(&world, &keys, TokenAction::Disabled).await;
    // She has access again, by other means: it is no longer left over.
    world.rancher.set_groups("u-alice", &["okta_group://web"]);
    listed(&world, &[], TokenAction::Disabled).await;
}

async fn what_is_not_known_leads_to_nothing(given: Given) {
    let world = treated(given, "Delete").await;
    let keys = grant_with_keys(&world, given).await;
    for what in ["userattributes", "projectroletemplatebindings?", "users/u-alice", "selfsubjectreviews"] {
        world.rancher.fault(FaultRule::new(
            move |_, path| path.contains(what),
            FaultAction::Status(
                403,
                r#"{"kind":"Status","status":"Failure","reason":"Forbidden","code":403,"message":"no"}"#.to_owned(),
            ),
        ));
        if what == "userattributes" {
            ends(&world).await;
        }
        tokio::time::sleep(Duration::from_secs(1300)).await;
        assert!(left(&world).await.is_empty(), "{what}");
        assert!(works(&world, &keys[0]).await, "{what}");
        world.rancher.clear_faults();
    }
    listed(&world, &keys, TokenAction::Deleted).await;
}

async fn a_deleted_grant_is_remembered(given: Given) {
    let world = treated(given, "Delete").await;
    let keys = grant_with_keys(&world, given).await;
    world.delete("g").await;
    world.until("the grant is gone", SOON, || async { world.grant("g").await.is_none() }).await;
    listed(&world, &keys, TokenAction::Deleted).await;
    assert_eq!(told(&world, "LeftoverTokenDeleted"), 1, "on the integration alone");
}

async fn a_crash_forgets_nothing_of_a_grant_that_is_there(given: Given) {
    let mut world = treated(given, "Disable").await;
    let keys = grant_with_keys(&world, given).await;
    ends(&world).await;
    world.kill().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(works(&world, &keys[0]).await, "nobody is there to disable it");
    world.launch().await;
    world.until("it is disabled", Duration::from_secs(120), || async { !works(&world, &keys[0]).await }).await;
    // Before anything of that could be written, or just after.
    world.kill().await;
    world.launch().await;
    listed(&world, &keys, TokenAction::Disabled).await;
    tokio::time::sleep(LOOKED).await;
    world.kill().await;
    let before = left(&world).await;
    world.launch().await;
    tokio::time::sleep(Duration::from_secs(1300)).await;
    assert_eq!(left(&world).await, before, "what is listed is what was listed");
}

async fn an_answer_that_is_lost_is_made_good(given: Given) {
    let world = treated(given, "Disable").await;
    let keys = grant_with_keys(&world, given).await;
    let disables = |method: &http::Method, path: &str| *method == http::Method::PATCH && path.contains("/tokens/");
    world.rancher.fault(FaultRule::new(disables, FaultAction::DropAfter));
    ends(&world).await;
    world.until("it is disabled", Duration::from_secs(120), || async { !works(&world, &keys[0]).await }).await;
    listed(&world, &keys, TokenAction::Reported).await;
    world.rancher.clear_faults();
    listed(&world, &keys, TokenAction::Disabled).await;
}

/// Between the look and the deed it is deleted and another comes to have its name.
async fn a_token_that_comes_to_be_another_is_not_touched(given: Given) {
    let world = treated(given, "Delete").await;
    let keys = grant_with_keys(&world, given).await;
    let deletes = |method: &http::Method, path: &str| *method == http::Method::DELETE && path.contains("/tokens/");
    world.rancher.fault(FaultRule::new(deletes, FaultAction::Delay(Duration::from_secs(5))));
    ends(&world).await;
    let (local, tokens, name) = (world.rancher.local(), management("tokens"), name_of(&keys[0]));
    // What is asked just before: its detail.
    let looked_at = || {
        world.rancher.requests().iter().any(|r| r.method == "GET" && r.path.ends_with(&format!("/v3/tokens/{name}")))
    };
    world.until("a delete is under way", LOOKED, || async { looked_at() }).await;
    let mut other = local.get(&tokens, "", &name).expect("the token");
    local.delete_unchecked(&tokens, "", &name).expect("deleted");
    other["metadata"] = json!({"name": name, "labels": other["metadata"]["labels"]});
    local.create_unchecked(&tokens, other).expect("another one");
    tokio::time::sleep(Duration::from_secs(1300)).await;
    assert!(works(&world, &keys[0]).await, "it was made after the grant");
    assert!(left(&world).await.iter().all(|token| token.name != name), "{:?}", left(&world).await);
}

/// A token that was made while two grants overlapped is left over when the second ends, days after the first.
async fn access_that_overlaps_is_one(given: Given) {
    let world = treated(given, "Report").await;
    let keys = grant_with_keys(&world, given).await;
    world.ask("alice", "long", json!({"access": world.on_project(), "duration": "8h"})).await;
    world.reaches("long", Phase::Active, SOON).await;
    ends(&world).await;
    tokio::time::sleep(LOOKED).await;
    assert!(left(&world).await.is_empty(), "she has access by the second");
    world.reaches("long", Phase::Expired, Duration::from_secs(9 * 3600)).await;
    listed(&world, &keys, TokenAction::Reported).await;
}

async fn whose_key_the_operator_uses_is_never_asked_for(given: Given) {
    let world = treated(given, "Delete").await;
    world.patch_policy(json!({"subjects": {"self": true, "users": ["*"]}})).await;
    let him = json!({"user": "user-8pvqg"});
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m", "subject": him})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let keys = keys_of(&world, given, "user-8pvqg");
    world.rancher.clear_requests();
    ends(&world).await;
    tokio::time::sleep(Duration::from_secs(1300)).await;
    assert!(asked(&world).is_empty(), "{:?}", asked(&world));
    for bearer in &keys {
        assert!(works(&world, bearer).await);
    }
}

/// What was asked about people's tokens.
fn asked(world: &World) -> Vec<String> {
    let asked = world.rancher.requests().into_iter().map(|request| request.path);
    asked.filter(|path| path.contains("user-id%3D") || path.contains("token-userId%3D")).collect()
}

async fn nobody_is_asked_for_who_made_nothing(given: Given) {
    let world = treated(given, "Delete").await;
    let group = json!({"group": "okta_group://web-team"});
    world.ask("alice", "team", json!({"access": world.on_cluster(), "duration": "10m", "subject": group})).await;
    world.reaches("team", Phase::Expired, Duration::from_secs(700)).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(asked(&world).is_empty(), "a group is nobody in particular: {:?}", asked(&world));
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    ends(&world).await;
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    let once = if given.version >= Version::V2_13 { 2 } else { 1 };
    assert_eq!(asked(&world).len(), once, "{:?}", asked(&world));
}
