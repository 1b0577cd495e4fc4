//! Global bindings: what they make, share, own and leave.
use serde_json::{Value, json};

use super::{
    context::{Context, LOCAL, M, RBAC, behaviours},
    http::Answer,
    outcome::{Instead, Outcome, Seen, ensure},
};

behaviours![
    a_global_binding_is_held_and_goes,
    global_bindings_may_be_equal,
    what_a_global_binding_is_cannot_be_changed,
    a_global_binding_by_principal_gives_rights,
    a_global_role_takes_its_bindings_along,
    an_administrator_is_one_by_subject,
    any_administrators_end_takes_what_is_shared_until_a_touch,
    a_stripped_global_binding_leaves_the_administrator,
    a_cluster_that_is_away_keeps_its_administrator,
    inherited_roles_are_owned_cluster_bindings,
];

/// Global bindings.
fn grbs() -> String {
    format!("{M}/globalrolebindings")
}

fn grb(context: &Context, group: &str) -> serde_json::Value {
    json!({
        "apiVersion": "management.cattle.io/v3", "kind": "GlobalRoleBinding", "metadata": {"name": context.fresh("global")},
        "globalRoleName": "user-base", "groupPrincipalName": group,
    })
}

async fn a_global_binding_is_held_and_goes(context: &Context) -> Outcome {
    let (path, made) = context.create(&grbs(), &grb(context, &context.group())).await?;
    ensure!(made["metadata"]["finalizers"][0] == "controller.cattle.io/mgmt-auth-grb-controller", "{made}");
    ensure!(made["metadata"]["ownerReferences"][0]["kind"] == "GlobalRole", "{made}");
    let done = |answer: &super::http::Answer| answer.json()["status"]["summary"] == "Completed";
    context.until(&path, "completed", done).await?;
    context.delete(&path).await?;
    context.until_gone(&path).await
}

async fn global_bindings_may_be_equal(context: &Context) -> Outcome {
    let group = context.group();
    context.create(&grbs(), &grb(context, &group)).await?;
    context.create(&grbs(), &grb(context, &group)).await?;
    let mut missing = grb(context, &group);
    missing["globalRoleName"] = json!("nope");
    let answer = context.post(&grbs(), &missing).await?;
    ensure!(
        answer.code == 400 && answer.message().contains("globalrolebinding.globalRoleName: Not found"),
        "{answer:?}"
    );
    Ok(())
}

impl Context {
    /// Makes a binding of a global role for a group, and waits until it is in force.
    async fn global(&self, role: &str, group: &str) -> Seen<String> {
        let mut body = grb(self, group);
        body["globalRoleName"] = json!(role);
        let (path, _) = self.create(&grbs(), &body).await?;
        let done = |answer: &Answer| answer.json()["status"]["summary"] == "Completed";
        self.until(&path, "completed", done).await?;
        Ok(path)
    }

    async fn global_role(&self, fields: Value) -> Seen<(String, String)> {
        let name = self.fresh("gr");
        let mut body = json!({
            "apiVersion": "management.cattle.io/v3", "kind": "GlobalRole", "metadata": {"name": name}, "displayName": name,
        });
        for (field, value) in fields.as_object().into_iter().flatten() {
            body[field.as_str()] = value.clone();
        }
        let (path, _) = self.create(&format!("{M}/globalroles"), &body).await?;
        Ok((name, path))
    }

    /// The object that makes a subject administrator, on Rancher's own cluster.
    async fn administrator(&self, group: &str) -> Seen<Option<String>> {
        let all = self.rbac_of(group).await?;
        let names = all.iter().filter_map(|one| one["metadata"]["name"].as_str());
        Ok(names.filter(|name| name.starts_with("globaladmin-")).map(str::to_owned).next())
    }

    async fn until_administrator(&self, group: &str, wanted: bool) -> Outcome {
        let admin = |roles: &[String]| roles.iter().any(|role| role == "cluster-admin") == wanted;
        self.until_roles(group, if wanted { "administrator" } else { "no administrator" }, admin).await
    }
}

async fn what_a_global_binding_is_cannot_be_changed(context: &Context) -> Outcome {
    let path = context.global("user-base", &context.group()).await?;
    for patch in [json!({"globalRoleName": "user"}), json!({"groupPrincipalName": context.group()})] {
        let answer = context.merge(&path, &patch).await?;
        ensure!(answer.code == 400 && answer.message().contains("field is immutable"), "{answer:?}");
    }
    Ok(())
}

async fn a_global_binding_by_principal_gives_rights(context: &Context) -> Outcome {
    let principal = format!("openldap_user://cn={}", context.fresh("stranger"));
    let mut body = grb(context, "");
    body["groupPrincipalName"] = Value::Null;
    body["userPrincipalName"] = json!(principal);
    let (path, _) = context.create(&grbs(), &body).await?;
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let url = format!("{RBAC}/clusterrolebindings/cattle-globalrolebinding-{name}");
    let found = context.until(&url, "there", |answer| answer.code == 200).await?.json();
    let user = found["subjects"][0]["name"].as_str().unwrap_or_default().to_owned();
    context.keep(format!("{M}/users/{user}"));
    ensure!(user.starts_with("u-") && user.len() == 12, "{found}");
    ensure!(found["metadata"]["ownerReferences"][0]["kind"] == "GlobalRoleBinding", "{found}");
    context.delete(&path).await?;
    context.until_gone(&path).await?;
    context.until(&url, "gone with its owner", |answer| answer.code == 404).await?;
    Ok(())
}

async fn a_global_role_takes_its_bindings_along(context: &Context) -> Outcome {
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]);
    let (role, role_path) = context.global_role(json!({"rules": rules})).await?;
    let group = context.group();
    let path = context.global(&role, &group).await?;
    ensure!(context.delete(&role_path).await?.code == 200, "a global role in use can be deleted");
    context.until_gone(&path).await?;
    context.until_roles(&group, "without rights", <[String]>::is_empty).await
}

async fn an_administrator_is_one_by_subject(context: &Context) -> Outcome {
    let group = context.group();
    let path = context.global("admin", &group).await?;
    context.until_administrator(&group, true).await?;
    let name = context.administrator(&group).await?.unwrap_or_default();
    ensure!(name.starts_with("globaladmin-u-") && name.len() == "globaladmin-u-".len() + 10, "{name}");
    context.delete(&path).await?;
    context.until_gone(&path).await?;
    context.until_roles(&group, "without rights", <[String]>::is_empty).await
}

async fn any_administrators_end_takes_what_is_shared_until_a_touch(context: &Context) -> Outcome {
    let group = context.group();
    let permanent = context.global("admin", &group).await?;
    let temporary = context.global("admin", &group).await?;
    context.until_administrator(&group, true).await?;
    context.delete(&temporary).await?;
    context.until_gone(&temporary).await?;
    context.until_administrator(&group, false).await?;
    let touch = json!({"metadata": {"annotations": {"example.com/touched": "1"}}});
    ensure!(context.merge(&permanent, &touch).await?.code == 200, "a touch");
    context.until_administrator(&group, true).await
}

async fn a_stripped_global_binding_leaves_the_administrator(context: &Context) -> Outcome {
    let group = context.group();
    let path = context.global("admin", &group).await?;
    context.until_administrator(&group, true).await?;
    context.merge(&path, &json!({"metadata": {"finalizers": []}})).await?;
    context.delete(&path).await?;
    context.until_gone(&path).await?;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let left = context.roles_of(&group).await?;
    ensure!(left == ["cluster-admin"], "{left:?}");
    context.clean_up_after(&group).await
}

async fn a_cluster_that_is_away_keeps_its_administrator(context: &Context) -> Outcome {
    let Some(far) = &context.far else {
        return Err(Instead::Skipped("needs a cluster that can be cut off"));
    };
    let group = context.group();
    let path = context.global("admin", &group).await?;
    context.until_administrator(&group, true).await?;
    let name = context.administrator(&group).await?.unwrap_or_default();
    let url =
        format!("{}/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}", LOCAL.replace("local", &far.id));
    context.until(&url, "there", |answer| answer.code == 200).await?;
    (far.away)(true);
    context.delete(&path).await?;
    let gone = context.until_gone(&path).await;
    (far.away)(false);
    gone?;
    context.until(&url, "reached again", |answer| answer.code < 500).await?;
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let left = context.get(&url).await?;
    ensure!(left.code == 200, "{left:?}");
    context.keep(url);
    Ok(())
}

async fn inherited_roles_are_owned_cluster_bindings(context: &Context) -> Outcome {
    let Some(far) = &context.far else {
        return Err(Instead::Skipped("needs a cluster besides Rancher's own"));
    };
    let (role, _) = context.global_role(json!({"rules": [], "inheritedClusterRoles": ["cluster-member"]})).await?;
    let path = context.global(&role, &context.group()).await?;
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let selector = format!("labelSelector=authz.management.cattle.io/grb-owner%3D{name}");
    let url = format!("{M}/namespaces/{}/clusterroletemplatebindings?{selector}", far.id);
    let count = |answer: &Answer| answer.json()["items"].as_array().map_or(0, Vec::len);
    let made = context.until(&url, "inherited", |answer| count(answer) == 1).await?.json();
    let name = made["items"][0]["metadata"]["name"].as_str().unwrap_or_default();
    ensure!(name.starts_with("crtb-grb-"), "{made}");
    context.delete(&path).await?;
    context.until(&url, "gone with its owner", |answer| count(answer) == 0).await?;
    Ok(())
}
