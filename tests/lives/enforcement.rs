//! Each way in which identities stop being proven: noticed within ten seconds, revoking goes on, and what was made meanwhile
//! lies before the time from which on identities are proven again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use rancher_access_operator::api::{ConditionStatus, RancherIntegration, condition, status::Phase};
use serde_json::{Value, json};

use crate::{
    SOON,
    embedded::{
        NAMESPACE, Running, apply, documents, operator_client, transports,
        world::{Given, World},
    },
    end_of, world,
};

/// The policy that grants are believed by.
const REQUESTED_BY: &str = "rancheraccess-requested-by";
const POLICY: &str = "ValidatingAdmissionPolicy";
const BINDING: &str = "ValidatingAdmissionPolicyBinding";

/// How soon it must be noticed that nobody checks.
const NOTICED: Duration = Duration::from_secs(10);

// The ways.

#[tokio::test(start_paused = true)]
async fn a_binding_is_deleted() {
    gap(async |world| world.remove(BINDING, REQUESTED_BY).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_deleted() {
    gap(async |world| world.remove(POLICY, REQUESTED_BY).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_only_audits() {
    gap(async |world| world.edit(BINDING, REQUESTED_BY, json!({"validationActions": ["Audit"]})).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_says_something_else() {
    gap(async |world| world.edit(POLICY, REQUESTED_BY, json!({"validations": [{"expression": "true"}]})).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_leaves_namespaces_out() {
    let others = json!({"matchResources": {"namespaceSelector": {"matchLabels": {"team": "others"}}}});
    gap(async |world| world.edit(BINDING, REQUESTED_BY, others).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_leaves_namespaces_out() {
    let others = json!({"matchConstraints": {"namespaceSelector": {"matchLabels": {"team": "others"}}}});
    gap(async |world| world.edit(POLICY, REQUESTED_BY, others).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_leaves_objects_out() {
    let labelled = json!({"matchConstraints": {"objectSelector": {"matchLabels": {"checked": "yes"}}}});
    gap(async |world| world.edit(POLICY, REQUESTED_BY, labelled).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_exempts_somebody() {
    let exempt =
        json!({"matchConditions": [{"name": "but-mallory", "expression": "request.userInfo.username != 'mallory'"}]});
    gap(async |world| world.edit(POLICY, REQUESTED_BY, exempt).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_changed_and_changed_back_while_no_operator_runs() {
    gap_while_down(async |world| {
        world.edit(POLICY, REQUESTED_BY, json!({"validations": [{"expression": "true"}]})).await;
        world.forge("forged").await;
        world.restore().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_is_deleted_and_made_again_while_no_operator_runs() {
    gap_while_down(async |world| {
        world.remove(BINDING, REQUESTED_BY).await;
        world.forge("forged").await;
        world.restore().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_an_operator_saw_is_known_to_the_next_one() {
    let mut watched = Watched::new().await;
    watched.edit(BINDING, REQUESTED_BY, json!({"validationActions": ["Audit"]})).await;
    watched.enforced(ConditionStatus::False).await;
    assert_eq!(watched.record().await["gap"], "open");
    watched.world.kill().await;
    watched.restore().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let restored = watched.world.clock.now();
    watched.world.start().await;
    assert!(watched.since().await >= restored, "{} {restored}", watched.since().await);
}

// What is no such way.

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_or_an_operator_that_is_new_is_no_gap() {
    let mut watched = Watched::new().await;
    let record = watched.record().await;
    assert!(watched.since().await < watched.began, "proven since the policies were made");
    watched.world.server.set_available(false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    watched.world.server.set_available(true);
    watched.enforced(ConditionStatus::True).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(watched.record().await, record);
    watched.world.kill().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    watched.world.start().await;
    assert_eq!(watched.record().await, record);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_says_nothing_is_written_anew() {
    let mut watched = Watched::new().await;
    watched.world.kill().await;
    let api = watched.api("ConfigMap");
    let nonsense = Patch::Merge(json!({"data": {"gap": "yesterday"}}));
    api.patch("rancher-access-admission", &PatchParams::default(), &nonsense).await.unwrap();
    let written = watched.world.clock.now();
    watched.world.start().await;
    assert!(watched.since().await >= written, "what cannot be read proves nothing");
}

#[tokio::test(start_paused = true)]
async fn each_policy_and_each_binding_counts() {
    let watched = Watched::new().await;
    for shipped in shipped() {
        let (kind, name) = (shipped["kind"].as_str().unwrap(), shipped["metadata"]["name"].as_str().unwrap());
        watched.remove(kind, name).await;
        watched.enforced(ConditionStatus::False).await;
        assert!(watched.told().await.contains(&format!("{kind} {name}")), "{}", watched.told().await);
        watched.restore().await;
        watched.enforced(ConditionStatus::True).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_replicas_write_one_record_and_leave_it() {
    let watched = Watched::new().await;
    let world = &watched.world;
    let client = operator_client(&world.server);
    let second =
        Running::start(client, world.clock.clone(), transports(world.rancher.service()), "second", world.lease).await;
    watched.edit(BINDING, REQUESTED_BY, json!({"validationActions": ["Audit"]})).await;
    watched.enforced(ConditionStatus::False).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let restored = world.clock.now();
    watched.restore().await;
    watched.enforced(ConditionStatus::True).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let record = watched.record().await;
    assert!(watched.since().await >= restored);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(watched.record().await, record);
    watched.api("ConfigMap").delete("rancher-access-admission", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(watched.since().await >= restored, "a record that is lost makes nobody forget the gap that he saw");
    second.kill().await;
}

// What they share.

/// A gap that the operator sees: somebody takes the checking away, forges a grant, and all is put back.
async fn gap(lose: impl AsyncFnOnce(&Watched)) -> Watched {
    let watched = Watched::new().await;
    let given = watched.world.grant("given").await.expect("the grant");
    lose(&watched).await;
    watched.enforced(ConditionStatus::False).await;
    watched.forge("forged").await;

    // Nothing is given on anybody's word, not even an honest one's; what was given is taken away on time.
    let asked = watched.world.clock.now();
    watched.world.ask("bob", "asked", json!({"access": watched.world.on_cluster()})).await;
    watched.world.reaches("given", Phase::Expired, Duration::from_secs(200)).await;
    let late = watched.world.clock.now().duration_since(end_of(&given));
    assert!(late < SignedDuration::from_secs(3), "{late}");
    assert!(watched.world.clock.now().duration_since(asked) > SignedDuration::from_secs(30));
    assert!(!watched.world.has_access("u-alice"));
    assert_eq!(watched.world.phase("asked").await, Some(Phase::Pending));
    assert!(watched.world.bindings_of("u-bob").is_empty());

    let restored = watched.world.clock.now();
    watched.restore().await;
    watched.enforced(ConditionStatus::True).await;
    assert!(watched.since().await >= whole_seconds(restored), "{} {restored}", watched.since().await);
    // Whose request it is that was made meanwhile, nobody will ever know: not even an honest one's.
    watched.unproven("forged").await;
    watched.unproven("asked").await;
    tokio::time::sleep(Duration::from_secs(13)).await;
    watched.world.ask("bob", "anew", json!({"access": watched.world.on_cluster(), "duration": "5m"})).await;
    watched.world.reaches("anew", Phase::Active, SOON).await;
    watched
}

/// A gap that no operator sees.
async fn gap_while_down(lose_and_restore: impl AsyncFnOnce(&Watched)) -> Watched {
    let mut watched = Watched::new().await;
    watched.world.kill().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let lost = watched.world.clock.now();
    lose_and_restore(&watched).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    watched.world.start().await;
    assert!(watched.since().await >= whole_seconds(lost), "{} {lost}", watched.since().await);
    watched.unproven("forged").await;
    watched
}

/// As creationTimestamps have it.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap()
}

fn shipped() -> Vec<Value> {
    documents(include_str!("../../config/admission/validating.yaml"))
}

/// A world with a grant `given` to alice for two minutes.
struct Watched {
    world: World,
    began: Timestamp,
}

impl Watched {
    async fn new() -> Self {
        let world = world(Given::default()).await;
        let began = world.clock.now();
        world.ask("alice", "given", json!({"access": world.on_cluster(), "duration": "2m"})).await;
        world.reaches("given", Phase::Active, SOON).await;
        Self { world, began }
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        if kind == "ConfigMap" {
            let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
            return Api::namespaced_with(self.world.admin(), NAMESPACE, &kind);
        }
        let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
        Api::all_with(self.world.admin(), &ApiResource::from_gvk(&kind))
    }

    async fn remove(&self, kind: &str, name: &str) {
        self.api(kind).delete(name, &DeleteParams::default()).await.expect("deleted");
    }

    async fn edit(&self, kind: &str, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api(kind).patch(name, &PatchParams::default(), &patch).await.expect("edited");
    }

    /// Puts back what ships, whatever became of it.
    async fn restore(&self) {
        for mut object in shipped() {
            let api = self.api(object["kind"].as_str().unwrap());
            let Some(there) = api.get_opt(object["metadata"]["name"].as_str().unwrap()).await.unwrap() else {
                apply(&self.world.admin(), object).await;
                continue;
            };
            object["metadata"]["resourceVersion"] = there.metadata.resource_version.into();
            let object: DynamicObject = serde_json::from_value(object).unwrap();
            let name = object.metadata.name.clone().unwrap();
            api.replace(&name, &kube::api::PostParams::default(), &object).await.expect("put back");
        }
    }

    /// Mallory asks in alice's name, and for alice's rights; nobody stops him.
    async fn forge(&self, name: &str) {
        let client = self.world.server.client_as("mallory", &["system:authenticated"]);
        let spec = json!({"integrationRef": {"name": "prod"}, "requestedBy": {"username": "alice", "groups": ["web-devs"]},
            "access": self.world.on_project(), "duration": "1h"});
        let object = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant",
            "metadata": {"name": name, "namespace": "web"}, "spec": spec});
        apply(&client, object).await;
    }

    /// Waits until the integration says whether identities are proven.
    async fn enforced(&self, status: ConditionStatus) {
        let what = format!("AdmissionEnforced is {status:?}");
        self.world.until(&what, NOTICED, || async { self.condition().await.map(|c| c.status) == Some(status) }).await;
    }

    /// Waits until that grant is refused for good, because nobody checked who asked.
    async fn unproven(&self, name: &str) {
        // An operator that begins waits for the Lease of the one before.
        let denied = self.world.reaches(name, Phase::Denied, Duration::from_secs(30)).await;
        let reason = condition::find(&denied.status.as_ref().unwrap().conditions, "Ready").unwrap().reason.clone();
        assert_eq!(reason, "IdentityUnproven");
        assert!(denied.status.unwrap().bindings.is_empty());
    }

    async fn told(&self) -> String {
        self.condition().await.map(|condition| condition.message).unwrap_or_default()
    }

    async fn condition(&self) -> Option<condition::Condition> {
        let integration = Api::<RancherIntegration>::all(self.world.admin()).get_opt("prod").await.ok()??;
        condition::find(&integration.status?.conditions, "AdmissionEnforced").cloned()
    }

    /// What the operator has recorded of the policies.
    async fn record(&self) -> Value {
        self.api("ConfigMap").get("rancher-access-admission").await.expect("the record").data["data"].clone()
    }

    /// Since when all stands, by the record.
    async fn since(&self) -> Timestamp {
        let record = self.record().await;
        let times = record.as_object().expect("data").iter().map(|(key, text)| {
            let text = text.as_str().expect("text");
            if key == "gap" {
                return text.parse().expect("the end of the gap");
            }
            let entry: Value = serde_json::from_str(text).expect("an entry");
            entry["since"].as_str().expect("a time").parse::<Timestamp>().expect("a time")
        });
        times.max().expect("an entry")
    }
}
