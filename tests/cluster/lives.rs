//! Whole lives, as their users see them.

use std::time::Duration;

use jiff::Timestamp;
use rancher_access_operator::api::status::{AccessGrantStatus, BindingState, EndReason, Phase};
use serde_json::{Value, json};

use crate::{
    kinds::{Grant, end, grants, on_cluster, says, since},
    run, shared, until,
    world::{CLUSTER, GROUP, World},
};

/// When a life's steps came: counted from the request, and from the recorded end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    granted: Duration,
    gone: Duration,
    settled: Duration,
}

#[test]
fn a_role_on_a_cluster_and_one_on_a_project_are_given_and_end() {
    run(async {
        let world = shared::world().await;
        world.place("lives").await;
        let on_project = json!({"integrationRef": {"name": "prod"}, "duration": "4s", "reason": "INC-4711",
            "access": [{"project": {"cluster": CLUSTER, "name": world.project, "role": "read-only"}}]});
        for (who, spec, role) in [("alice", on_cluster("4s"), "cluster-member"), ("bob", on_project, "read-only")] {
            whole_life(&world, "lives", who, spec, role, true).await;
        }
    });
}

#[test]
fn a_role_in_a_namespace_and_one_in_rancher_are_given_and_end() {
    run(async {
        let world = shared::world().await;
        world.namespace("elsewhere").await;
        world.rancher.add_namespace(CLUSTER, &world.project, "web-api").await;
        let access = json!([{"namespace": {"clusters": [CLUSTER], "names": ["web-*"], "roles": ["edit"]}}, {"global": {"roles": ["user-base"]}}]);
        let mut policy = crate::kinds::policy("elsewhere", &world.project);
        policy["spec"]["access"] = access;
        world.apply(&policy).await;
        let id = world.person("nora");
        let spec = json!({"integrationRef": {"name": "prod"}, "duration": "5s", "reason": "INC-4711", "access": [
            {"namespace": {"cluster": CLUSTER, "name": "web-api", "role": "edit"}}, {"global": {"role": "user-base"}}]});
        let grant = apply(&world, "nora", "elsewhere", "life-nora", spec).await;
        let active = grant.until(Phase::Active, 20).await;
        assert_eq!(active.bindings.len(), 3, "with membership of the cluster: {:?}", active.bindings);
        let has = |role: &str| world.rancher.access_of(&id).iter().any(|access| access.role == role);
        until("the access is there", 5, async || (has("edit") && has("cattle-globalrole-user-base")).then_some(()))
            .await;
        let over = grant.until(Phase::Expired, 30).await;
        assert!(says(&over, "Revoked").message.contains("3 of 3 proven gone"), "{over:?}");
        assert_eq!(world.rancher.access_of(&id), [], "nothing is left in Rancher");
        tell(&world, "elsewhere", "life-nora").await;
    });
}

#[test]
fn access_comes_and_goes_within_a_second_or_two() {
    run(async {
        let world = shared::world().await;
        world.place("rounds").await;
        let rounds = (0..12).map(async |round| {
            tokio::time::sleep(Duration::from_millis(250 * round)).await;
            let who = format!("dev-{round}");
            whole_life(&world, "rounds", &who, on_cluster("5s"), "cluster-member", false).await
        });
        let times = futures::future::join_all(rounds).await;
        for (what, of) in [
            ("accepted to Active", (|t| t.granted) as fn(&Times) -> Duration),
            ("end to gone in Rancher", |t| t.gone),
            ("end to Expired", |t| t.settled),
        ] {
            let mut all: Vec<_> = times.iter().map(of).collect();
            all.sort();
            let (p50, max) = (all[all.len() / 2], all[all.len() - 1]);
            println!("FIGURE {what}: p50 {p50:.0?}, max {max:.0?} of {}", all.len());
            assert!(max < Duration::from_secs(5), "{what} took {max:?}");
        }
    });
}

/// Applied, given, ended, proven gone; told on request.
pub(crate) async fn whole_life(
    world: &World,
    namespace: &str,
    who: &str,
    spec: Value,
    role: &str,
    told: bool,
) -> Times {
    let id = world.person(who);
    let name = format!("life-{who}");
    assert_eq!(world.rancher.access_of(&id), []);
    let (grant, asked) = (apply(world, who, namespace, &name, spec).await, crate::kinds::now());
    let active = grant.until(Phase::Active, 20).await;
    let granted = since(asked);
    look_while_active(world, &grant, &active, who, role).await;
    until("the access is there downstream", 5, async || {
        world.rancher.access_of(&id).iter().any(|access| access.cluster == CLUSTER).then_some(())
    })
    .await;
    let end = end(&active);
    let gone = gone_after(world, who, end).await;
    let over = grant.until(Phase::Expired, 20).await;
    let settled = since(end);
    look_when_over(&over);
    assert_eq!(world.rancher.access_of(&id), [], "nothing is left in Rancher");
    if told {
        println!(
            "FIGURE {role}: accepted to Active {granted:.0?}, end to gone {gone:.0?}, end to Expired {settled:.0?}"
        );
        tell(world, namespace, &name).await;
    }
    Times { granted, gone, settled }
}

/// `kubectl apply`, without a word about who asks.
async fn apply(world: &World, who: &str, namespace: &str, name: &str, spec: Value) -> Grant {
    let manifest = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec});
    let as_him = world.plane.kubeconfig_for(who, &[GROUP]).unwrap();
    let applied = world.plane.kubectl_with(&as_him, &["apply", "-f", "-"], &manifest.to_string()).await.unwrap();
    applied.expect_success();
    Grant::new(world.admin.clone(), namespace, name)
}

async fn look_while_active(world: &World, grant: &Grant, status: &AccessGrantStatus, who: &str, role: &str) {
    let spec = grant.get().await.spec;
    assert_eq!(spec.requested_by.username, who, "admission filled it in");
    assert!(spec.requested_by.groups.contains(&GROUP.to_owned()));
    let (ready, granted) = (says(status, "Ready"), says(status, "Granted"));
    assert!(ready.message.contains("in force until"), "{ready:?}");
    assert_eq!(granted.reason, "Active");
    let bindings = world.bindings_of(who);
    assert_eq!(bindings.len(), 1, "{bindings:?}");
    let (made, recorded) = (&bindings[0], &status.bindings[0]);
    assert_eq!(recorded.state, BindingState::Present);
    assert_eq!(made["roleTemplateName"], role);
    assert_eq!(made["metadata"]["name"], recorded.name.as_str());
    assert_eq!(made["metadata"]["uid"].as_str(), recorded.uid.as_deref());
    assert!(recorded.name.starts_with("rao-"), "{}", recorded.name);
    let details = status.access_details.as_ref().expect("how to use it");
    assert_eq!(details.instructions.as_deref(), Some("Changes in production need a ticket."));
}

fn look_when_over(status: &AccessGrantStatus) {
    let (ready, revoked) = (says(status, "Ready"), says(status, "Revoked"));
    assert!(ready.message.contains("proven gone from Rancher"), "{ready:?}");
    assert_eq!((revoked.reason.as_str(), format!("{:?}", revoked.status).as_str()), ("Removed", "True"));
    assert_eq!(status.bindings[0].state, BindingState::Removed);
    assert_eq!(status.end.as_ref().map(|end| end.reason), Some(EndReason::Expired));
    assert!(status.revoked_time >= status.expires_time);
}

/// How long after its end the binding of this person was gone.
pub(crate) async fn gone_after(world: &World, who: &str, end: Timestamp) -> Duration {
    let gone = async || world.bindings_of(who).is_empty().then(|| since(end));
    let lag = until(&format!("the binding of {who} is gone"), 30, gone).await.0;
    assert!(lag > Duration::ZERO, "it went before its end");
    lag
}

/// What `kubectl` shows of a life that is over.
async fn tell(world: &World, namespace: &str, name: &str) {
    let kubectl = async |args: &[&str]| world.plane.kubectl(args).await.unwrap().expect_success();
    let listed = kubectl(&["get", "agrant", name, "-n", namespace]).await;
    for column in ["NAME", "PHASE", "SUBJECT", "TARGET", "ROLE", "EXPIRES", "AGE", "Expired"] {
        assert!(listed.contains(column), "{column} is not in\n{listed}");
    }
    let wide = kubectl(&["get", "agrant", name, "-n", namespace, "-o", "wide"]).await;
    assert!(wide.contains("REQUESTER") && wide.contains("proven gone"), "{wide}");
    let (described, _) = until("describe shows the events", 10, async || {
        let described = kubectl(&["describe", "agrant", name, "-n", namespace]).await;
        let shown = ["Activating", "Granted", "Expired"].iter().all(|word| described.contains(word));
        (shown && described.matches("rancher-access-operator").count() >= 2).then_some(described)
    })
    .await;
    println!(
        "$ kubectl get agrant\n{listed}\n$ kubectl get agrant -o wide\n{wide}\n$ kubectl describe agrant\n{described}"
    );
    assert!(grants(&world.admin, namespace).get(name).await.is_ok(), "it stays, as a record");
}
