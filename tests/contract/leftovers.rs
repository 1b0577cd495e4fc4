//! What a 404 does not prove.
use std::time::Duration;

use serde_json::json;

use super::{
    context::{Context, M, behaviours, crtbs},
    outcome::{Outcome, ensure},
};

behaviours![
    a_delete_that_comes_too_soon_leaves_something,
    stripped_finalizers_leave_the_access,
    of_stripped_finalizers_some_come_back,
    a_deleted_role_wedges_its_bindings_until_it_is_back,
];

async fn a_delete_that_comes_too_soon_leaves_something(context: &Context) -> Outcome {
    let group = context.group();
    let body = context.crtb(&context.fresh("soon"), "cluster-member", ("groupPrincipalName", &group));
    let (path, _) = context.create(&crtbs(), &body).await?;
    context.delete(&path).await?;
    context.until_gone(&path).await?;
    context.until_roles(&group, "left with something", |roles| !roles.is_empty()).await?;
    tokio::time::sleep(Duration::from_secs(8)).await;
    ensure!(!context.roles_of(&group).await?.is_empty(), "what was left went away by itself");
    context.clean_up_after(&group).await
}

async fn stripped_finalizers_leave_the_access(context: &Context) -> Outcome {
    let group = context.group();
    let body = context.prtb(&context.fresh("strip"), "project-owner", ("groupPrincipalName", &group));
    let (path, _) = context.create(&context.prtbs(), &body).await?;
    context.until_held(&path).await?;
    let owns = |roles: &[String]| roles.iter().any(|role| role.starts_with("project-owner"));
    context.until_roles(&group, "owner", owns).await?;
    let strip = json!({"metadata": {"finalizers": []}});
    ensure!(context.merge(&path, &strip).await?.code == 200, "finalizers can be stripped");
    ensure!(context.delete(&path).await?.code == 200, "the stripped binding can be deleted");
    context.until_gone(&path).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let roles = context.roles_of(&group).await?;
    ensure!(owns(&roles), "{roles:?}");
    context.clean_up_after(&group).await
}

async fn of_stripped_finalizers_some_come_back(context: &Context) -> Outcome {
    let group = context.group();
    let body = context.prtb(&context.fresh("strip"), "read-only", ("groupPrincipalName", &group));
    let (path, _) = context.create(&context.prtbs(), &body).await?;
    context.until_held(&path).await?;
    context.merge(&path, &json!({"metadata": {"finalizers": []}})).await?;
    // Those of the model with `wrangler` in their names; the legacy model's own note that they were there once.
    let back = context.finalizers("prtb").iter().filter(|one| one.starts_with("wrangler.")).count();
    let count = |object: &serde_json::Value| object["metadata"]["finalizers"].as_array().map_or(0, Vec::len);
    context.until(&path, "held by some of its finalizers again", |answer| count(&answer.json()) == back).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = context.get(&path).await?.json();
    ensure!(count(&after) == back, "{after}");
    context.delete(&path).await?;
    context.until_gone(&path).await?;
    context.clean_up_after(&group).await
}

async fn a_deleted_role_wedges_its_bindings_until_it_is_back(context: &Context) -> Outcome {
    let (role, group) = (context.fresh("role"), context.group());
    let template = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "RoleTemplate", "metadata": {"name": role}, "displayName": role,
        "context": "project", "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
    });
    let (role_path, _) = context.create(&format!("{M}/roletemplates"), &template).await?;
    let body = context.prtb(&context.fresh("wedged"), &role, ("groupPrincipalName", &group));
    let (path, _) = context.create(&context.prtbs(), &body).await?;
    context.until_held(&path).await?;
    ensure!(context.delete(&role_path).await?.code == 200, "a role in use can be deleted");
    context.until_gone(&role_path).await?;
    let touch = context.merge(&path, &json!({"metadata": {"annotations": {"example.com/touched": "1"}}})).await?;
    ensure!(touch.code == 500 && touch.message().contains("failed calling webhook"), "{touch:?}");
    ensure!(context.delete(&path).await?.code == 200, "the binding's delete is accepted");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let stuck = context.get(&path).await?;
    ensure!(stuck.code == 200 && stuck.json()["metadata"]["deletionTimestamp"].is_string(), "{stuck:?}");
    context.create(&format!("{M}/roletemplates"), &template).await?;
    context.until_gone(&path).await?;
    context.clean_up_after(&group).await
}

impl Context {
    /// Deletes by hand what names a subject that is this suite's own.
    pub async fn clean_up_after(&self, subject: &str) -> Outcome {
        for object in self.rbac_of(subject).await? {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let path = match object["metadata"]["namespace"].as_str() {
                Some(namespace) => format!("{}/namespaces/{namespace}/rolebindings/{name}", super::context::RBAC),
                None => format!("{}/clusterrolebindings/{name}", super::context::RBAC),
            };
            self.delete(&path).await?;
        }
        let left = self.roles_of(subject).await?;
        ensure!(left.is_empty(), "deleted by hand, and back: {left:?}");
        Ok(())
    }
}
