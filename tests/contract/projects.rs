//! Project bindings, and what they are in the namespaces.
use serde_json::json;

use super::{
    context::{Context, M, RBAC, behaviours},
    outcome::{Instead, Outcome, Seen, ensure},
};

behaviours![
    a_project_tells_its_backing_namespace_since_2_11_1,
    a_project_binding_reaches_its_namespaces_with_owner_labels,
    a_new_namespace_gets_the_projects_bindings,
    a_project_binding_has_no_status,
    a_project_binding_in_the_wrong_namespace_gives_access,
    membership_is_labelled_with_namespace_and_name,
    a_shared_object_goes_with_its_owner_and_comes_back_by_a_touch,
];

async fn a_project_tells_its_backing_namespace_since_2_11_1(context: &Context) -> Outcome {
    let path = format!("{M}/namespaces/local/projects/{}", context.project);
    let project = context.get(&path).await?.json();
    let namespace = context.get(&format!("{}/api/v1/namespaces/{}", super::context::LOCAL, context.backing)).await?;
    ensure!(namespace.json()["status"]["phase"] == "Active", "{namespace:?}");
    let told = &project["status"]["backingNamespace"];
    if context.version < (2, 11, 1) {
        ensure!(told.is_null() && context.backing == context.project, "{project}");
        return Err(Instead::NotThere("the namespace is called as the project is"));
    }
    ensure!(*told == context.backing.as_str(), "{project}");
    Ok(())
}

/// The rights that a subject has in a namespace: role and labels.
async fn rights(context: &Context, namespace: &str, subject: &str) -> Seen<Vec<serde_json::Value>> {
    let all = context.rbac_of(subject).await?;
    Ok(all.into_iter().filter(|one| one["metadata"]["namespace"] == namespace).collect())
}

/// Whether an object carries the owner label of a project binding, in either model.
fn owned_by(context: &Context, object: &serde_json::Value, binding: &str) -> bool {
    let labels = &object["metadata"]["labels"];
    let pair = format!("{}_{binding}", context.backing);
    let legacy = labels["authz.cluster.cattle.io/rtb-owner-updated"].as_str();
    let key = format!("authz.cluster.cattle.io/prtb-owner-{binding}");
    let shortened = |label: &&String| label.starts_with(&key[..key.len().min(50)]);
    let aggregated = labels.as_object().is_some_and(|labels| labels.keys().any(|one| shortened(&one)));
    legacy.is_some_and(|value| value == pair || pair.len() > 63 && value.starts_with(&pair[..50])) || aggregated
}

async fn a_project_binding_reaches_its_namespaces_with_owner_labels(context: &Context) -> Outcome {
    let (name, group) = (context.fresh("p"), context.group());
    let (path, _) = context
        .create(&context.prtbs(), &context.prtb(&name, "project-member", ("groupPrincipalName", &group)))
        .await?;
    context.until_held(&path).await?;
    let wanted = if context.aggregated { "project-member-aggregator" } else { "edit" };
    context.until_roles(&group, "with its role", |roles| roles.iter().any(|role| role == wanted)).await?;
    let rights = rights(context, &context.namespace, &group).await?;
    ensure!(!rights.is_empty(), "no RoleBinding in {}", context.namespace);
    for one in &rights {
        ensure!(owned_by(context, one, &name), "{one}");
    }
    context.delete(&path).await?;
    context.until_gone(&path).await?;
    let left = |roles: &[String]| roles.iter().all(|role| role.starts_with("r-cluster-"));
    context.until_roles(&group, "without access", left).await
}

async fn a_new_namespace_gets_the_projects_bindings(context: &Context) -> Outcome {
    let (name, group) = (context.fresh("p"), context.group());
    let (path, _) =
        context.create(&context.prtbs(), &context.prtb(&name, "read-only", ("groupPrincipalName", &group))).await?;
    context.until_held(&path).await?;
    let namespace = context.fresh("late");
    context.make_namespace(&namespace).await?;
    let url = format!("{RBAC}/namespaces/{namespace}/rolebindings");
    let reached = |answer: &super::http::Answer| answer.text.contains(&group);
    context.until(&url, "bound", reached).await?;
    Ok(())
}

async fn a_project_binding_has_no_status(context: &Context) -> Outcome {
    let body = context.prtb(&context.fresh("p"), "read-only", ("groupPrincipalName", &context.group()));
    let (path, _) = context.create(&context.prtbs(), &body).await?;
    let object = context.until_held(&path).await?;
    ensure!(object["status"].is_null(), "{object}");
    Ok(())
}

async fn a_project_binding_in_the_wrong_namespace_gives_access(context: &Context) -> Outcome {
    let group = context.group();
    let collection = format!("{M}/namespaces/local/projectroletemplatebindings");
    let body = context.prtb(&context.fresh("astray"), "read-only", ("groupPrincipalName", &group));
    let (path, _) = context.create(&collection, &body).await?;
    context.until_held(&path).await?;
    let wanted = |roles: &[String]| roles.iter().any(|role| role.starts_with("read-only"));
    context.until_roles(&group, "with access", wanted).await
}

async fn membership_is_labelled_with_namespace_and_name(context: &Context) -> Outcome {
    let (name, group) = (context.fresh("m"), context.group());
    let (path, _) = context
        .create(&super::context::crtbs(), &context.crtb(&name, "cluster-member", ("groupPrincipalName", &group)))
        .await?;
    context.until_held(&path).await?;
    let wanted = context.membership_role();
    let member = |roles: &[String]| roles.iter().any(|role| role == wanted);
    context.until_roles(&group, "a member of the cluster", member).await?;
    let all = context.rbac_of(&group).await?;
    let key = format!("local_{name}");
    let value = if context.aggregated { "true" } else { "membership-binding-owner" };
    let is = |one: &&serde_json::Value| one["metadata"]["labels"][key.as_str()] == value;
    ensure!(all.iter().any(|one| is(&one)), "{all:?}");
    Ok(())
}

async fn a_shared_object_goes_with_its_owner_and_comes_back_by_a_touch(context: &Context) -> Outcome {
    let group = context.group();
    let first = context.prtb(&context.fresh("sharer"), "edit", ("groupPrincipalName", &group));
    let (first, _) = context.create(&context.prtbs(), &first).await?;
    context.until_held(&first).await?;
    context.until_roles(&group, "editor", |roles| roles.iter().any(|role| role.starts_with("edit"))).await?;
    let second = context.prtb(&context.fresh("sharer"), "project-member", ("groupPrincipalName", &group));
    let (second, _) = context.create(&context.prtbs(), &second).await?;
    context.until_held(&second).await?;
    context
        .until_roles(&group, "member too", |roles| roles.iter().any(|role| role.starts_with("project-member")))
        .await?;
    context.delete(&first).await?;
    context.until_gone(&first).await?;
    let aggregated = context.aggregated;
    let edits = move |roles: &[String]| {
        let wanted = if aggregated { "project-member-aggregator" } else { "edit" };
        roles.iter().any(|role| role == wanted)
    };
    // The legacy model takes the shared object away; the touch is what the operator relies on in both.
    if !aggregated {
        context.until_roles(&group, "without the shared object", |roles| !edits(roles)).await?;
    }
    let touch = context.merge(&second, &json!({"metadata": {"annotations": {"example.com/touched": "1"}}})).await?;
    ensure!(touch.code == 200, "{touch:?}");
    context.until_roles(&group, "editor again", edits).await
}
