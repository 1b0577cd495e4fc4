//! What a pipeline applies again and again.

use rancher_access_operator::api::status::Phase;
use serde_json::{Value, json};

use crate::{
    kinds::{self, Grant, in_seconds, on_cluster},
    run, shared,
    world::{GROUP, World},
};

/// What may not change: the object but for the other manager's entry in `managedFields`.
type Seen = Vec<Value>;

#[test]
fn applying_again_changes_nothing() {
    run(async {
        let world = shared::world().await;
        world.place("gitops").await;
        world.person("ken");
        let mut spec = on_cluster("1h");
        spec.as_object_mut().unwrap().remove("duration");
        spec["endTime"] = in_seconds(3600).into();
        let grant = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant",
            "metadata": {"name": "kept", "namespace": "gitops"}, "spec": spec});
        let manifests = [world.integration("prod"), kinds::policy("gitops", &world.project), grant];
        let pipeline = world.plane.kubeconfig_for("ken", &[GROUP, "system:masters"]).unwrap();
        let apply = async |args: &[&str]| {
            for manifest in &manifests {
                let args = [&["apply", "-f", "-"], args].concat();
                let applied = world.plane.kubectl_with(&pipeline, &args, &manifest.to_string()).await;
                applied.unwrap().expect_success();
            }
        };
        apply(&[]).await;
        let grant = Grant::new(world.admin.clone(), "gitops", "kept");
        grant.until(Phase::Active, 20).await;
        let before = seen(&world).await;
        apply(&[]).await;
        apply(&[]).await;
        assert_eq!(seen(&world).await, before, "client-side apply");

        // Another manager owns what it applies from its first time on; after that nothing moves.
        let other = ["--server-side", "--field-manager=argocd", "--force-conflicts"];
        apply(&other).await;
        let owned = seen(&world).await;
        for (owned, before) in owned.iter().zip(&before) {
            for field in ["spec", "status"] {
                assert_eq!(owned[field], before[field], "server-side apply");
            }
            assert_eq!(owned["metadata"]["generation"], before["metadata"]["generation"]);
        }
        apply(&other).await;
        assert_eq!(seen(&world).await, owned, "server-side apply again");
        assert_eq!(world.bindings_of("ken").len(), 1);
        grant.delete().await;
        grant.until_gone(20).await;
    });
}

/// All three objects, whole.
async fn seen(world: &World) -> Seen {
    let mut all = Vec::new();
    for object in [&["rint", "prod"][..], &["apol", "gitops"], &["agrant", "kept", "-n", "gitops"]] {
        let args = [&["get", "-o", "json", "--show-managed-fields"], object].concat();
        let text = world.plane.kubectl(&args).await.unwrap().expect_success();
        all.push(serde_json::from_str(&text).unwrap());
    }
    all
}
