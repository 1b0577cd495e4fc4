//! The life of the operator's own key.

use std::time::Duration;

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rancher_access_operator::api::{
    Condition, RancherIntegration, condition, integration::RancherIntegrationStatus, status::Phase,
};
use serde_json::{Value, json};
use testkit::{
    apiserver::Gvr,
    rancher::{Model, TokenSpec, Version},
};

use crate::{
    SOON, eight,
    embedded::{
        NAMESPACE,
        world::{Given, World},
    },
    end_of, world,
};

stories![
    a_key_is_replaced_after_its_days_and_the_old_one_dies,
    rotate_now_is_served_once_for_each_value,
    a_key_in_two_parts_stays_in_two_parts,
    a_secret_that_somebody_else_keeps_is_left_alone,
    a_grant_that_outlives_the_key_waits_for_another,
    a_key_that_is_replaced_in_time_holds_nobody_up,
    a_user_whom_retention_may_disable_is_told_of,
    a_revoked_key_is_noticed_at_once_and_a_new_one_heals,
    a_secret_that_is_wrong_for_a_while_holds_up_no_revocation,
];

pub async fn patch(world: &World, spec: Value) {
    let api = Api::<RancherIntegration>::all(world.admin());
    api.patch("prod", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.expect("patched");
}

async fn status(world: &World) -> RancherIntegrationStatus {
    let integration = Api::<RancherIntegration>::all(world.admin()).get("prod").await.expect("the integration");
    integration.status.unwrap_or_default()
}

async fn says(world: &World, type_: &str) -> Option<Condition> {
    condition::find(&status(world).await.conditions, type_).cloned()
}

/// Waits until a condition has that reason, and answers with its message.
async fn told(world: &World, type_: &str, reason: &str, within: Duration) -> String {
    world
        .until(&format!("{type_} says {reason}"), within, || async {
            says(world, type_).await.is_some_and(|c| c.reason == reason)
        })
        .await;
    let said = says(world, type_).await.expect("just seen").message;
    println!("{type_} {reason}: {said}");
    said
}

fn secret(world: &World) -> Value {
    world.server.get(&Gvr::core("secrets"), NAMESPACE, "rancher-prod").expect("the Secret")
}

pub fn field(world: &World, field: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let bytes = STANDARD.decode(secret(world)["data"][field].as_str().unwrap_or_default()).expect("base64");
    String::from_utf8(bytes).expect("text")
}

/// Writes into the Secret, as somebody who has rights there.
async fn write(world: &World, patch: Value) {
    let written = world.server.patch(&Gvr::core("secrets"), NAMESPACE, "rancher-prod", "", &patch).await;
    written.expect("written");
}

/// The names of all keys of administrators that there are in Rancher.
pub fn keys(world: &World) -> Vec<String> {
    let local = world.rancher.local();
    let of = |gvr: Gvr| local.list(&gvr, None).into_iter();
    let v3 = of(Gvr::new("management.cattle.io", "v3", "tokens"));
    let ext = of(Gvr::new("ext.cattle.io", "v1", "tokens"));
    v3.chain(ext).map(|token| token["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The name in a bearer, without the kind.
pub fn name_of(bearer: &str) -> String {
    bearer.trim_start_matches("ext/").split(':').next().unwrap_or_default().to_owned()
}

/// Waits until the Secret holds another key than that one, and Rancher only the new one.
async fn replaced(world: &World, old: &str, within: Duration) -> String {
    world.until("another key is in the Secret", within, || async { field(world, "token") != old }).await;
    let new = field(world, "token");
    let only = || keys(world) == [name_of(&new)];
    world.until("the old key is gone", Duration::from_secs(200), || async { only() }).await;
    new
}

/// A key that was made earlier.
fn made_at(world: &World, bearer: &str, time: &str) {
    let (local, tokens) = (world.rancher.local(), Gvr::new("management.cattle.io", "v3", "tokens"));
    let mut token = local.get(&tokens, "", &name_of(bearer)).expect("the key");
    token["metadata"]["creationTimestamp"] = json!(time);
    local.update_unchecked(&tokens, token).expect("made earlier");
}

async fn a_key_is_replaced_after_its_days_and_the_old_one_dies(given: Given) {
    let world = world(given).await;
    let old = field(&world, "token");
    made_at(&world, &old, "2026-11-30T08:20:00Z");
    patch(&world, json!({"apiKeyRotationDays": 1})).await;
    let said = told(&world, "KeyRotation", "Scheduled", SOON).await;
    assert!(said.contains(&name_of(&old)) && said.contains("2026-12-01T08:20:00Z"), "{said}");
    world.ask("alice", "across", json!({"access": world.on_cluster(), "duration": "30m"})).await;
    world.reaches("across", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert_eq!(field(&world, "token"), old, "not before its time");
    world.ask("bob", "during", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("during", Phase::Active, SOON).await;
    let new = replaced(&world, &old, Duration::from_secs(600)).await;
    assert_eq!(new.starts_with("ext/"), given.version >= Version::V2_13);
    world.reaches("during", Phase::Expired, Duration::from_secs(700)).await;
    world.reaches("across", Phase::Expired, Duration::from_secs(900)).await;
    let status = status(&world).await;
    assert_eq!(status.key.expect("a key").name.as_deref(), Some(name_of(&new).as_str()));
    let rotation = status.key_rotation.expect("rotation");
    let since = |time: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| time.expect("a time").0;
    assert!(since(rotation.next_time) > since(rotation.rotated_time));
    let events = world.events();
    assert!(events.contains("KeyReplaced") && events.contains("KeyRotated"), "{events}");
    for secret in [&old, &new] {
        let secret = secret.split_once(':').expect("a bearer").1;
        assert!(!events.contains(secret) && !world.tell().await.contains(secret));
    }
    world.ask("alice", "after", json!({"access": world.on_cluster(), "duration": "5m"})).await;
    world.reaches("after", Phase::Active, SOON).await;
    world.reaches("after", Phase::Expired, Duration::from_secs(400)).await;
}

async fn rotate_now_is_served_once_for_each_value(given: Given) {
    let mut world = world(given).await;
    let first = field(&world, "token");
    patch(&world, json!({"rotateNow": "INC-1"})).await;
    let second = replaced(&world, &first, SOON).await;
    assert_eq!(status(&world).await.key_rotation.and_then(|r| r.request).as_deref(), Some("INC-1"));
    world.kill().await;
    world.start().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(field(&world, "token"), second, "it was served");
    patch(&world, json!({"rotateNow": "INC-2"})).await;
    replaced(&world, &second, SOON).await;
    patch(&world, json!({"rotateNow": null})).await;
    world.until("rotation is not asked for", SOON, || async { says(&world, "KeyRotation").await.is_none() }).await;
}

async fn a_key_in_two_parts_stays_in_two_parts(given: Given) {
    let world = world(given).await;
    let bearer = field(&world, "token");
    let (access, key) = bearer.split_once(':').expect("a bearer");
    write(&world, json!({"data": {"token": null}, "stringData": {"accessKey": access, "secretKey": key}})).await;
    patch(&world, json!({"rotateNow": "1"})).await;
    world.until("another key", SOON, || async { field(&world, "accessKey") != access }).await;
    let (access, key) = (field(&world, "accessKey"), field(&world, "secretKey"));
    assert!(secret(&world)["data"]["token"].is_null());
    world.until("one key", Duration::from_secs(200), || async { keys(&world) == [name_of(&access)] }).await;
    assert!(!key.is_empty() && key != bearer);
    told(&world, "Ready", "Ready", SOON).await;
}

async fn a_secret_that_somebody_else_keeps_is_left_alone(given: Given) {
    let world = world(given).await;
    let old = field(&world, "token");
    write(&world, json!({"metadata": {"labels": {"reconcile.external-secrets.io/managed": "true"}}})).await;
    patch(&world, json!({"rotateNow": "1"})).await;
    let said = told(&world, "KeyRotation", "ManagedElsewhere", SOON).await;
    assert!(said.contains("External Secrets") && said.contains("Rotate it there"), "{said}");
    tokio::time::sleep(Duration::from_secs(1300)).await;
    assert_eq!(field(&world, "token"), old);
    assert_eq!(keys(&world), [name_of(&old)], "none was made");
    assert!(secret(&world)["metadata"]["annotations"].is_null(), "not even a note");
    write(&world, json!({"metadata": {"labels": null}})).await;
    write(&world, json!({"immutable": true})).await;
    told(&world, "KeyRotation", "SecretImmutable", SOON).await;
}

async fn a_grant_that_outlives_the_key_waits_for_another(given: Given) {
    let world = world(given).await;
    let lasting = field(&world, "token");
    let ttl = Some(Duration::from_secs(2 * 3600));
    let brief = world.rancher.add_token("user-8pvqg", TokenSpec { ttl, ..TokenSpec::default() });
    write(&world, json!({"stringData": {"token": brief}})).await;
    let said = told(&world, "KeyAtRisk", "KeyExpiresSoon", SOON).await;
    assert!(said.contains("2026-12-01T10:00"), "{said}");
    world.ask("alice", "brief", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches("brief", Phase::Active, SOON).await;
    world.ask("bob", "long", json!({"access": world.on_cluster(), "duration": "4h"})).await;
    let waits = world.reaches("long", Phase::Pending, SOON).await;
    let granted = condition::find(&waits.status.expect("a status").conditions, "Ready").expect("Ready").clone();
    assert_eq!(granted.reason, "KeyExpiresFirst", "{}", granted.message);
    assert!(granted.message.contains("kubectl describe rint prod"), "{}", granted.message);
    write(&world, json!({"stringData": {"token": lasting}})).await;
    world.reaches("long", Phase::Active, SOON).await;
    assert!(says(&world, "KeyAtRisk").await.is_none());
    // A key that is replaced by one which ends before what is in force.
    write(&world, json!({"stringData": {"token": brief}})).await;
    told(&world, "KeyAtRisk", "KeyExpiresFirst", SOON).await;
    assert!(world.events().contains("KeyAtRisk"));
}

async fn a_key_that_is_replaced_in_time_holds_nobody_up(given: Given) {
    let world = world(given).await;
    let ttl = Some(Duration::from_secs(3 * 3600));
    let brief = world.rancher.add_token("user-8pvqg", TokenSpec { ttl, ..TokenSpec::default() });
    patch(&world, json!({"apiKeyRotationDays": 30})).await;
    write(&world, json!({"stringData": {"token": brief}})).await;
    let said = told(&world, "KeyRotation", "Scheduled", SOON).await;
    assert!(said.contains(&name_of(&brief)), "{said}");
    world
        .until("it is replaced before it ends", SOON, || async {
            says(&world, "KeyRotation").await.is_some_and(|c| c.message.contains("2026-12-01T10:0"))
        })
        .await;
    world.ask("bob", "long", json!({"access": world.on_cluster(), "duration": "4h"})).await;
    world.reaches("long", Phase::Active, SOON).await;
    world.until("another key", Duration::from_secs(2 * 3600 + 120), || async { field(&world, "token") != brief }).await;
    world.reaches("long", Phase::Expired, Duration::from_secs(3 * 3600)).await;
}

async fn a_user_whom_retention_may_disable_is_told_of(given: Given) {
    let world = world(given).await;
    world.rancher.set_setting("user-retention-cron", "0 0 * * *");
    world.rancher.set_setting("disable-inactive-user-after", "720h");
    world.rancher.add_admin("u-robot", "robot");
    let token = world.rancher.add_token("u-robot", TokenSpec::default());
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert!(says(&world, "KeyAtRisk").await.is_none(), "the user admin is spared");
    write(&world, json!({"stringData": {"token": token}})).await;
    let said = told(&world, "KeyAtRisk", "UserMayBeDisabled", SOON).await;
    assert!(said.contains("u-robot") && said.contains("disableAfter"), "{said}");
    assert!(
        says(&world, "Authenticated").await.is_some_and(|c| c.message.contains("robot (u-robot), an administrator"))
    );
    let spared = json!({"apiVersion": "management.cattle.io/v3", "kind": "UserAttribute", "metadata": {"name": "u-robot"},
        "disableAfter": "0s", "deleteAfter": "0s"});
    world
        .rancher
        .local()
        .create(&Gvr::new("management.cattle.io", "v3", "userattributes"), &spared)
        .await
        .expect("spared");
    world.until("no risk", Duration::from_secs(700), || async { says(&world, "KeyAtRisk").await.is_none() }).await;
}

async fn a_revoked_key_is_noticed_at_once_and_a_new_one_heals(given: Given) {
    let world = world(given).await;
    let [second, third] = [(); 2].map(|()| world.rancher.add_token("user-8pvqg", TokenSpec::default()));
    // A new key is looked at at once, and then a minute later: all that follows happens in between.
    write(&world, json!({"stringData": {"token": second}})).await;
    told(&world, "Ready", "Ready", SOON).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "30s"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let tokens = Gvr::new("management.cattle.io", "v3", "tokens");
    world.rancher.local().delete_unchecked(&tokens, "", &name_of(&second)).expect("revoked");
    // The grant's end is the first to be refused, and the integration knows it from then on.
    told(&world, "Ready", "KeyRefused", Duration::from_secs(20)).await;
    world.rancher.clear_requests();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = world.rancher.requests().len();
    assert!(asked < 80, "{asked} requests in a minute with a key that is refused");
    write(&world, json!({"stringData": {"token": third}})).await;
    world.reaches("g", Phase::Expired, SOON).await;
    told(&world, "Ready", "Ready", SOON).await;
}

/// Whatever becomes of the Secret, access ends on time as long as Rancher takes the key.
async fn a_secret_that_is_wrong_for_a_while_holds_up_no_revocation(given: Given) {
    let world = world(given).await;
    let (secrets, token) = (Gvr::core("secrets"), field(&world, "token"));
    let right = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rancher-prod", "namespace": NAMESPACE},
        "stringData": {"endpoint": "https://rancher.example.com/v3\n", "token": format!("{token}\n")}});
    let wrong = [
        ("deleted", None, "SecretNotFound"),
        ("half written", Some(json!({"data": {"token": null}})), "InvalidCredentials"),
        ("junk", Some(json!({"data": {"token": "gICAgICA"}})), "InvalidCredentials"),
        ("other keys", Some(json!({"data": {"token": null}, "stringData": {"bearer": "x"}})), "InvalidCredentials"),
        (
            "another's endpoint",
            Some(json!({"stringData": {"endpoint": "https://elsewhere.example.com"}})),
            "InvalidCredentials",
        ),
        ("a wrong key", Some(json!({"stringData": {"token": "token-nope:nope"}})), "KeyRefused"),
    ];
    for (nth, (what, patch, reason)) in wrong.into_iter().enumerate() {
        let grant = format!("g{nth}");
        world.ask("alice", &grant, json!({"access": world.on_cluster(), "duration": "1m"})).await;
        world.reaches(&grant, Phase::Active, SOON).await;
        match patch {
            Some(patch) => write(&world, patch).await,
            None => drop(world.server.delete(&secrets, NAMESPACE, "rancher-prod", None).await.expect(what)),
        }
        told(&world, "Ready", reason, SOON).await;
        let expired = world.reaches(&grant, Phase::Expired, Duration::from_secs(90)).await;
        let late = world.clock.now().duration_since(end_of(&expired));
        assert!(late.as_secs() < 5, "{what}: {late}");
        drop(world.server.delete(&secrets, NAMESPACE, "rancher-prod", None).await);
        world.server.create(&secrets, &right).await.expect("written anew, with an end of line");
        told(&world, "Ready", "Ready", SOON).await;
    }
}

/// A fresh key that is not known at once is waited for; one that never comes to work is not taken, and goes.
#[tokio::test(start_paused = true)]
async fn a_new_key_is_taken_only_once_it_works() {
    let given = Given { version: Version::V2_15, model: Model::Legacy, keyless: false };
    let mut world = World::new(eight(), given).await;
    world.rancher.set_ext_token_lag(Duration::from_secs(3600));
    world.start().await;
    let old = field(&world, "token");
    patch(&world, json!({"rotateNow": "1"})).await;
    let said = told(&world, "KeyRotation", "Failed", Duration::from_secs(60)).await;
    assert!(said.contains("did not work") && said.contains("as good as before"), "{said}");
    assert_eq!(field(&world, "token"), old);
    assert_eq!(keys(&world), [name_of(&old)], "what was not taken is gone");
    world.rancher.set_ext_token_lag(Duration::from_secs(4));
    replaced(&world, &old, Duration::from_secs(120)).await;
    told(&world, "Ready", "Ready", SOON).await;
}

/// What another integration lives by is not taken from it.
#[tokio::test(start_paused = true)]
async fn a_key_that_another_secret_holds_too_is_not_replaced() {
    let given = Given { version: Version::V2_15, model: Model::Legacy, keyless: false };
    let world = world(given).await;
    let (secrets, token) = (Gvr::core("secrets"), field(&world, "token"));
    let copy = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rancher-copy", "namespace": NAMESPACE},
        "stringData": {"endpoint": "https://rancher.example.com", "token": token}});
    world.server.create(&secrets, &copy).await.expect("a copy");
    let api = Api::<RancherIntegration>::all(world.admin());
    let other = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "RancherIntegration", "metadata": {"name": "copy"},
        "spec": {"host": "rancher.example.com", "credentialsSecretRef": {"name": "rancher-copy"}}});
    api.create(&Default::default(), &serde_json::from_value(other).expect("an integration")).await.expect("created");
    tokio::time::sleep(Duration::from_secs(10)).await;
    patch(&world, json!({"rotateNow": "1"})).await;
    let said = told(&world, "KeyRotation", "KeyShared", SOON).await;
    assert!(said.contains("RancherIntegration copy"), "{said}");
    // One Secret for both is one key for both.
    api.patch(
        "copy",
        &PatchParams::default(),
        &Patch::Merge(json!({"spec": {"credentialsSecretRef": {"name": "rancher-prod"}}})),
    )
    .await
    .expect("patched");
    replaced(&world, &token, Duration::from_secs(700)).await;
    told(&world, "Ready", "Ready", SOON).await;
}

/// While a new key stands beside the old one, somebody writes another: his is the one that stays.
#[tokio::test(start_paused = true)]
async fn a_key_written_by_hand_in_the_middle_stays() {
    let given = Given { version: Version::V2_15, model: Model::Legacy, keyless: false };
    let world = world(given).await;
    let old = field(&world, "token");
    patch(&world, json!({"rotateNow": "1"})).await;
    world.until("another key", SOON, || async { field(&world, "token") != old }).await;
    let by_hand = world.rancher.add_token("user-8pvqg", TokenSpec::default());
    write(&world, json!({"stringData": {"token": by_hand}})).await;
    replaced_by_hand(&world, &by_hand).await;
    assert_eq!(field(&world, "token"), by_hand);
    told(&world, "Ready", "Ready", SOON).await;
}

async fn replaced_by_hand(world: &World, by_hand: &str) {
    let only = || keys(world) == [name_of(by_hand)];
    world.until("only that key is left", Duration::from_secs(200), || async { only() }).await;
}
