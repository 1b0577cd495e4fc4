//! Access that somebody must approve, as people go about it: with kubectl, and by the command that status gives.

use rancher_access_operator::api::status::Phase;
use serde_json::{Value, json};

use crate::{
    kinds::{self, on_cluster, says},
    run, shared, until,
    world::{GROUP, World},
};

/// Who may approve.
const SRE: &str = "sre";

/// A policy of that name, for the namespace of that name, under which one of sre must approve.
async fn place(world: &World, name: &str, timeout: &str) {
    world.namespace(name).await;
    let mut policy = kinds::policy(name, &world.project);
    policy["spec"]["approval"] =
        json!({"required": 1, "approvers": [{"kind": "Group", "name": SRE}], "timeout": timeout, "contact": "#sre"});
    world.apply(&policy).await;
}

/// What kubectl shows of all decisions in a namespace: name, by whom, and why it counted or not.
async fn decisions(world: &World, namespace: &str) -> String {
    let columns =
        "custom-columns=BY:.spec.decidedBy.username,REASON:.status.reason,OWNER:.metadata.ownerReferences[0].name";
    let get = ["get", "accessdecisions", "-n", namespace, "--no-headers", "-o", columns];
    world.plane.kubectl(&get).await.unwrap().expect_success()
}

/// One of sre approves by the command in status, and what was asked for is given.
pub(crate) async fn approved(world: &World, namespace: &str, who: &str) {
    place(world, namespace, "1h").await;
    world.person(who);
    world.person("kim");
    let grant = world.ask(who, namespace, "asked", on_cluster("1h")).await;
    let waiting = grant.until(Phase::AwaitingApproval, 20).await;
    let told = &says(&waiting, "Ready").message;
    assert!(told.contains("0 of 1") && told.contains("group sre") && told.contains("#sre"), "{told}");
    let how_to = waiting.approvers.expect("approvers").how_to;
    let object = how_to.split('\'').nth(1).expect("an object in the command").to_owned();
    assert!(how_to.ends_with(&format!("kubectl create -n {namespace} -f -")), "{how_to}");
    let create = ["create", "-n", namespace, "-f", "-"];

    // Whoever asks may not, though he may decide.
    let own = world.plane.kubeconfig_for(who, &[SRE]).unwrap();
    world.plane.kubectl_with(&own, &create, &object).await.unwrap().expect_success();
    until("his own word does not count", 20, async || {
        decisions(world, namespace).await.contains("SelfApproval").then_some(())
    })
    .await;
    assert_eq!(grant.status().await.phase, Some(Phase::AwaitingApproval));

    let kim = world.plane.kubeconfig_for("kim", &[SRE]).unwrap();
    world.plane.kubectl_with(&kim, &create, &object).await.unwrap().expect_success();
    let active = grant.until(Phase::Active, 20).await;
    assert!(says(&active, "Approved").message.contains("approved by kim"), "{active:?}");
    let told = decisions(world, namespace).await;
    let counted = told.lines().find(|line| line.starts_with("kim")).expect("kim's decision");
    assert!(counted.contains("Counted") && counted.ends_with("asked"), "{told}");
    assert_eq!(world.bindings_of(who).len(), 1);
}

#[test]
fn what_somebody_approves_is_given() {
    run(async {
        let world = shared::world().await;
        approved(&world, "quorum", "judy").await;
        let grant = kinds::Grant::new(world.admin.clone(), "quorum", "asked");
        // Deleted and made anew under its name in one go: what was approved is not what is there now.
        let before = grant.get().await.metadata.uid;
        let manifest = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant",
            "metadata": {"name": "asked", "namespace": "quorum"}, "spec": on_cluster("1h")});
        let own = world.plane.kubeconfig_for("judy", &[GROUP]).unwrap();
        let replace = ["replace", "--force", "-f", "-"];
        world.plane.kubectl_with(&own, &replace, &manifest.to_string()).await.unwrap().expect_success();
        let anew = grant.until(Phase::AwaitingApproval, 20).await;
        assert!(anew.votes.is_empty() && grant.get().await.metadata.uid != before);
        assert_eq!(world.bindings_of("judy"), [] as [Value; 0]);
    });
}

#[test]
fn what_nobody_approves_times_out() {
    run(async {
        let world = shared::world().await;
        place(&world, "approved", "3s").await;
        world.person("jack");
        let grant = world.ask("jack", "approved", "asked", on_cluster("1h")).await;
        grant.until(Phase::AwaitingApproval, 10).await;
        let over = grant.until(Phase::TimedOut, 10).await;
        assert_eq!(format!("{:?}", says(&over, "Stalled").status), "True");
        assert_eq!(world.bindings_of("jack"), [] as [Value; 0]);
    });
}
