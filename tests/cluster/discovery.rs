//! What there is in Rancher, as kubectl shows it, and what becomes of it when its integration goes.

use serde_json::{Value, json};

use crate::{
    run, until,
    world::{CLUSTER, World},
};

#[test]
fn what_there_is_can_be_found_and_goes_with_its_integration() {
    run(async {
        let world = World::start().await;
        world.place("web").await;
        let operator = world.operator("mirror", &[]);
        world.ready().await;
        follow(&world).await;
        let kubectl = async |args: &[&str]| world.plane.kubectl(args).await.unwrap().expect_success();
        let listed =
            kubectl(&["get", "rres", "--field-selector", "spec.kind=Project", "-l", "rancheraccess.io/cluster=local"])
                .await;
        for column in ["INTEGRATION", "KIND", "DISPLAY", "CLUSTER", "ID", "OFFERED", "STATE", "AGE"] {
            assert!(listed.contains(column), "{column} is not in\n{listed}");
        }
        assert_eq!(listed.lines().count(), 3, "Default and System\n{listed}");
        println!("$ kubectl get rres\n{}", kubectl(&["get", "rres"]).await);
        println!("$ kubectl describe rint prod\n{}", kubectl(&["describe", "rint", "prod"]).await);
        kubectl(&["delete", "rint", "prod"]).await;
        until("Kubernetes collects what it owned", 60, async || (resources(&world).await == 0).then_some(())).await;
        assert!(operator.terminate().await.success());
    });
}

async fn resources(world: &World) -> usize {
    world.plane.kubectl(&["get", "rres", "-o", "name"]).await.unwrap().expect_success().lines().count()
}

/// Mirrors Rancher, and sees one project come, change and go: all that discovery ever writes.
pub(crate) async fn follow(world: &World) {
    discover(world, json!({"interval": "10m", "namespaces": true})).await;
    world.integration_says("prod", "Discovered", "True", 30).await;
    let id = world.rancher.add_project(CLUSTER, "arrives", &[]);
    let name = format!("prod.project.{CLUSTER}.{id}");
    shows(world, &name, "arrives").await;
    let projects = testkit::apiserver::Gvr::new("management.cattle.io", "v3", "projects");
    let renamed = json!({"spec": {"displayName": "renamed"}});
    world.rancher.local().patch(&projects, CLUSTER, &id, "", &renamed).await.unwrap();
    shows(world, &name, "renamed").await;
    world.rancher.local().delete(&projects, CLUSTER, &id, None).await.unwrap();
    shows(world, &name, "").await;
}

/// Waits until the object of that name is shown so; an empty one: not at all.
async fn shows(world: &World, name: &str, display: &str) {
    until(&format!("{name} is {display:?}"), 20, async || {
        let shown = world.plane.kubectl(&["get", "rres", name, "-o", "jsonpath={.spec.displayName}"]).await.unwrap();
        (shown.stdout == display).then_some(())
    })
    .await;
}

async fn discover(world: &World, discovery: Value) {
    let patch = json!({"spec": {"discovery": discovery}}).to_string();
    world.plane.kubectl(&["patch", "rint", "prod", "--type=merge", "-p", &patch]).await.unwrap().expect_success();
}
