//! Native RoleBindings, and the membership that Rancher demands before it lets anybody at them.
use serde_json::{Value, json};

use super::{
    context::{Context, LOCAL, M, RBAC, behaviours, crtbs},
    outcome::{Instead, Outcome, Seen, ensure},
};

behaviours![
    a_role_binding_is_there_at_once_and_goes_at_once,
    a_role_bindings_delete_checks_uid_and_version,
    a_missing_namespace_is_what_the_answer_names,
    a_role_without_rules_is_a_membership_and_nothing_else,
    a_member_by_a_role_without_rules_gets_to_his_role_binding,
];

fn role_binding(name: &str, subject: (&str, &str)) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name, "labels": {"example.com/contract": name}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": subject.0, "name": subject.1}],
    })
}

impl Context {
    fn role_bindings(&self) -> String {
        format!("{RBAC}/namespaces/{}/rolebindings", self.namespace)
    }

    /// A role template of no rules.
    async fn empty_role(&self) -> Seen<String> {
        let name = self.fresh("member");
        let role = json!({
            "apiVersion": "management.cattle.io/v3", "kind": "RoleTemplate", "metadata": {"name": name}, "displayName": name,
            "context": "cluster", "rules": [],
        });
        self.create(&format!("{M}/roletemplates"), &role).await?;
        Ok(name)
    }
}

async fn a_role_binding_is_there_at_once_and_goes_at_once(context: &Context) -> Outcome {
    let name = context.fresh("native");
    let (path, made) =
        context.create(&context.role_bindings(), &role_binding(&name, ("Group", &context.group()))).await?;
    ensure!(made["metadata"]["finalizers"].is_null(), "{made}");
    let listed =
        context.get(&format!("{}?labelSelector=example.com/contract%3D{name}", context.role_bindings())).await?;
    ensure!(listed.json()["items"].as_array().map(Vec::len) == Some(1), "{listed:?}");
    ensure!(context.delete(&path).await?.code == 200, "deleted");
    let gone = context.get(&path).await?;
    let details = gone.json()["details"].clone();
    ensure!(gone.code == 404 && gone.reason() == "NotFound", "{gone:?}");
    ensure!(details["name"] == name.as_str() && details["kind"] == "rolebindings", "{details}");
    Ok(())
}

async fn a_role_bindings_delete_checks_uid_and_version(context: &Context) -> Outcome {
    let body = role_binding(&context.fresh("native"), ("Group", &context.group()));
    let (path, made) = context.create(&context.role_bindings(), &body).await?;
    let (uid, version) = (&made["metadata"]["uid"], &made["metadata"]["resourceVersion"]);
    for (preconditions, code) in [
        (json!({"uid": "00000000-0000-0000-0000-000000000000"}), 409),
        (json!({"uid": uid, "resourceVersion": "1"}), 409),
        (json!({"uid": uid, "resourceVersion": version}), 200),
    ] {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
        let answer = context.ask("DELETE", &path, "application/json", &options).await?;
        ensure!(answer.code == code, "{answer:?}");
    }
    Ok(())
}

async fn a_missing_namespace_is_what_the_answer_names(context: &Context) -> Outcome {
    let namespace = context.fresh("nowhere");
    let body = role_binding(&context.fresh("native"), ("Group", &context.group()));
    let answer = context.post(&format!("{RBAC}/namespaces/{namespace}/rolebindings"), &body).await?;
    ensure!(answer.code == 404 && answer.message() == format!("namespaces {namespace:?} not found"), "{answer:?}");
    ensure!(answer.json()["details"]["kind"] == "namespaces", "{answer:?}");
    Ok(())
}

async fn a_role_without_rules_is_a_membership_and_nothing_else(context: &Context) -> Outcome {
    let (role, group) = (context.empty_role().await?, context.group());
    let body = context.crtb(&context.fresh("member"), &role, ("groupPrincipalName", &group));
    let (path, _) = context.create(&crtbs(), &body).await?;
    context.until_held(&path).await?;
    let wanted = context.membership_role();
    context.until_roles(&group, "a member", |roles| roles.iter().any(|one| one == wanted)).await?;
    for given in context.roles_of(&group).await? {
        let own = [role.clone(), format!("{role}-aggregator")].contains(&given);
        ensure!(given == wanted || given == "r-cluster-local-view" || own, "it gives {given} too");
        if own {
            let made = context.get(&format!("{RBAC}/clusterroles/{given}")).await?.json();
            ensure!(made["rules"].as_array().is_none_or(Vec::is_empty), "{made}");
        }
    }
    context.delete(&path).await?;
    context.until_gone(&path).await?;
    context.until_roles(&group, "without access", <[String]>::is_empty).await
}

async fn a_member_by_a_role_without_rules_gets_to_his_role_binding(context: &Context) -> Outcome {
    let Some(far) = &context.far else {
        return Err(Instead::Skipped("needs a cluster besides Rancher's own"));
    };
    let there = LOCAL.replace("local", &far.id);
    let (id, bearer) = context.logged_in().await?;
    let authorization = format!("Bearer {bearer}");
    let bindings = format!("{there}/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings");
    context.create(&bindings, &role_binding(&context.fresh("native"), ("User", &id))).await?;
    let maps = format!("{there}/api/v1/namespaces/default/configmaps");
    let stopped = context.get_as(&maps, &authorization).await?;
    ensure!(matches!(stopped.code, 403 | 404) && stopped.json()["kind"] != "Status", "{stopped:?}");
    let role = context.empty_role().await?;
    let mut body = context.crtb(&context.fresh("member"), &role, ("userName", &id));
    body["clusterName"] = json!(far.id);
    let crtbs = format!("{M}/namespaces/{}/clusterroletemplatebindings", far.id);
    context.create(&crtbs, &body).await?;
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let answer = context.get_as(&maps, &authorization).await?;
        if answer.code == 200 {
            return Ok(());
        }
        ensure!(tokio::time::Instant::now() < end, "{answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
