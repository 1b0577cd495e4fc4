//! Users: made, disabled, deleted; and what those may do who are not administrators.
use serde_json::{Value, json};

use super::{
    context::{Context, M, behaviours, crtbs},
    http::Ask,
    outcome::{Instead, Outcome, Seen, ensure},
};

behaviours![
    a_user_gets_its_principal_and_its_name_is_unique,
    a_login_name_stays_as_it_was_given,
    only_the_version_that_was_read_is_changed,
    only_the_user_that_was_meant_is_deleted,
    nobody_disables_or_deletes_himself,
    a_stranger_gets_the_roles_of_new_users,
    a_disabled_user_is_out_at_once,
    keys_of_a_disabled_user_do_not_come_back,
    nobody_grants_what_he_does_not_hold,
    a_deleted_user_takes_his_bindings_along,
    a_login_leaves_the_groups_behind,
];

impl Context {
    /// Makes a user and answers with its id.
    pub async fn user(&self) -> Seen<String> {
        let id = self.fresh("u");
        let body = json!({
            "apiVersion": "management.cattle.io/v3", "kind": "User", "metadata": {"name": id}, "username": id,
            "displayName": id, "enabled": true,
        });
        self.create(&format!("{M}/users"), &body).await?;
        Ok(id)
    }

    /// Makes a user with a global role, logs him in and answers with id and bearer.
    pub async fn logged_in(&self) -> Seen<(String, String)> {
        let id = self.user().await?;
        let binding = json!({
            "apiVersion": "management.cattle.io/v3", "kind": "GlobalRoleBinding", "metadata": {"name": self.fresh("global")},
            "globalRoleName": "user", "userName": id,
        });
        self.create(&format!("{M}/globalrolebindings"), &binding).await?;
        let password = format!("{id}-password");
        // The webhook reads users from a cache: at once, there would be none to give it to.
        self.until_seen(&id).await?;
        let made = self.give_password(&id, &password).await?;
        ensure!(made.code == 201, "{made:?}");
        let login = self.until_login(&id, &password).await?;
        Ok((id, login.json()["token"].as_str().unwrap_or_default().to_owned()))
    }

    /// Waits until Rancher has seen a user: it writes no more then.
    pub async fn until_seen(&self, id: &str) -> Seen<Value> {
        let seen = |answer: &super::http::Answer| {
            answer.json()["metadata"]["annotations"]["lifecycle.cattle.io/create.mgmt-auth-users-controller"] == "true"
        };
        Ok(self.until(&format!("{M}/users/{id}"), "seen by Rancher", seen).await?.json())
    }

    async fn delete_if(&self, path: &str, uid: &Value) -> Seen<super::http::Answer> {
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        self.ask("DELETE", path, "application/json", &body).await
    }

    pub async fn post_as(&self, bearer: &str, path: &str, body: &Value) -> Seen<super::http::Answer> {
        self.send(Ask {
            method: "POST".to_owned(),
            path: path.to_owned(),
            authorization: format!("Bearer {bearer}"),
            content_type: "application/json".to_owned(),
            accept: "application/json".to_owned(),
            body: body.to_string().into_bytes(),
        })
        .await
    }
}

async fn a_user_gets_its_principal_and_its_name_is_unique(context: &Context) -> Outcome {
    let id = context.user().await?;
    let principal = format!("local://{id}");
    let filled = |answer: &super::http::Answer| answer.json()["principalIds"][0] == principal.as_str();
    context.until(&format!("{M}/users/{id}"), "with its principal", filled).await?;
    let twin = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "User", "metadata": {"name": context.fresh("u")}, "username": id,
    });
    let answer = context.post(&format!("{M}/users"), &twin).await?;
    if context.version < (2, 11, 1) {
        context.keep(format!("{M}/users/{}", twin["metadata"]["name"].as_str().unwrap_or_default()));
        ensure!(answer.code == 201, "{answer:?}");
        return Err(Instead::NotThere("login names may be given twice"));
    }
    ensure!(answer.code == 400 && answer.message().contains("username already exists"), "{answer:?}");
    Ok(())
}

async fn a_login_name_stays_as_it_was_given(context: &Context) -> Outcome {
    let id = context.user().await?;
    let path = format!("{M}/users/{id}");
    let answer = context.merge(&path, &json!({"username": format!("{id}-other")})).await?;
    if context.version < (2, 11, 1) {
        ensure!(answer.code == 200, "{answer:?}");
        return Err(Instead::NotThere("login names may be changed"));
    }
    let why = format!("user.username: Invalid value: \"{id}-other\": field is immutable");
    ensure!(answer.code == 400 && answer.message().ends_with(&why), "{answer:?}");
    Ok(())
}

async fn only_the_version_that_was_read_is_changed(context: &Context) -> Outcome {
    let id = context.user().await?;
    let path = format!("{M}/users/{id}");
    let read = context.until_seen(&id).await?["metadata"].clone();
    let change = |uid: &Value, version: &Value, annotation: Value| {
        let metadata = json!({"uid": uid, "resourceVersion": version, "annotations": {"example.com/a": annotation}});
        json!({"enabled": false, "metadata": metadata})
    };
    let changed = context.merge(&path, &change(&read["uid"], &read["resourceVersion"], json!("1"))).await?;
    let now = changed.json();
    ensure!(changed.code == 200 && now["enabled"] == false, "{changed:?}");
    ensure!(now["metadata"]["annotations"]["example.com/a"] == "1", "{now}");
    let stale = context.merge(&path, &change(&read["uid"], &read["resourceVersion"], json!("2"))).await?;
    ensure!(stale.code == 409 && stale.reason() == "Conflict", "{stale:?}");
    let version = &now["metadata"]["resourceVersion"];
    let other = json!("00000000-0000-0000-0000-000000000000");
    let other = context.merge(&path, &change(&other, version, json!("2"))).await?;
    ensure!(other.code == 422 && other.message().contains("metadata.uid"), "{other:?}");
    let without = context.merge(&path, &change(&read["uid"], version, Value::Null)).await?;
    ensure!(without.json()["metadata"]["annotations"]["example.com/a"].is_null(), "{without:?}");
    Ok(())
}

async fn only_the_user_that_was_meant_is_deleted(context: &Context) -> Outcome {
    let id = context.user().await?;
    let path = format!("{M}/users/{id}");
    let other = context.delete_if(&path, &json!("00000000-0000-0000-0000-000000000000")).await?;
    ensure!(other.code == 409 && other.message().contains("UID in the precondition"), "{other:?}");
    let uid = context.until_seen(&id).await?["metadata"]["uid"].clone();
    let deleted = context.delete_if(&path, &uid).await?;
    ensure!(deleted.code == 200, "{deleted:?}");
    context.until_gone(&path).await?;
    let gone = context.delete_if(&path, &uid).await?;
    ensure!(gone.code == 404 && gone.json()["details"]["kind"] == "users", "{gone:?}");
    Ok(())
}

/// Without doing it, for where nothing keeps one from it.
async fn nobody_disables_or_deletes_himself(context: &Context) -> Outcome {
    context.through_rancher("who speaks past Rancher is no user")?;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let me = context.post("/k8s/clusters/local/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await?;
    let me = me.json()["status"]["userInfo"]["username"].as_str().unwrap_or_default().to_owned();
    let path = format!("{M}/users/{me}?dryRun=All");
    let disabled = context.merge(&path, &json!({"enabled": false})).await?;
    let deleted = context.delete(&path).await?;
    if context.version < (2, 13, 0) {
        ensure!(disabled.code == 200 && deleted.code == 200, "{disabled:?} {deleted:?}");
        return Err(Instead::NotThere("one may disable and delete oneself"));
    }
    ensure!(disabled.code == 400 && disabled.message().ends_with("can't deactivate yourself"), "{disabled:?}");
    ensure!(deleted.code == 400 && deleted.message().ends_with("can't delete yourself"), "{deleted:?}");
    Ok(())
}

async fn a_stranger_gets_the_roles_of_new_users(context: &Context) -> Outcome {
    const ROLES: &str = "authz.management.cattle.io/creator-role-bindings";
    let stranger = format!("openldap_user://cn={}", context.fresh("stranger"));
    let body = context.crtb(&context.fresh("his"), "cluster-member", ("userPrincipalName", &stranger));
    let (path, _) = context.create(&crtbs(), &body).await?;
    let named = |answer: &super::http::Answer| answer.json()["userName"].is_string();
    let id =
        context.until(&path, "with a user", named).await?.json()["userName"].as_str().unwrap_or_default().to_owned();
    let user = format!("{M}/users/{id}");
    context.keep(user.clone());
    let populated = |answer: &super::http::Answer| {
        let conditions = answer.json()["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "InitialRolesPopulated" && one["status"] == "True")
    };
    let user = context.until(&user, "with his roles", populated).await?.json();
    let labels = user["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    ensure!(labels.values().any(|value| value == "hashed-principal-name"), "{user}");
    ensure!(user["metadata"]["annotations"]["field.cattle.io/creatorId"].is_null(), "{user}");
    let roles: Value =
        serde_json::from_str(user["metadata"]["annotations"][ROLES].as_str().unwrap_or_default()).unwrap_or_default();
    ensure!(roles["required"].is_array() && roles["required"] == roles["created"], "{user}");
    let bindings = context.get(&format!("{M}/globalrolebindings")).await?.json()["items"].as_array().cloned();
    let his: Vec<Value> = bindings.into_iter().flatten().filter(|one| one["userName"] == id.as_str()).collect();
    let held: Vec<&Value> = his.iter().map(|one| &one["globalRoleName"]).collect();
    let all = roles["required"].as_array().is_some_and(|all| all.iter().all(|role| held.contains(&role)));
    ensure!(all && his.iter().all(|one| one["metadata"]["generateName"] == "grb-"), "{his:?}");
    Ok(())
}

/// His v3 tokens do, his session's among them.
async fn keys_of_a_disabled_user_do_not_come_back(context: &Context) -> Outcome {
    if context.version < (2, 13, 0) {
        return Err(Instead::Skipped("there is no whole ext token"));
    }
    let (id, bearer) = context.logged_in().await?;
    let (path, session) = (format!("{M}/globalroles"), format!("Bearer {bearer}"));
    let tokens = "/ext/apis/ext.cattle.io/v1/tokens";
    let body = json!({"apiVersion": "ext.cattle.io/v1", "kind": "Token", "spec": {}});
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let key = loop {
        // His global role may not be in force yet.
        let made = context.post_as(&bearer, tokens, &body).await?;
        if made.code == 201 {
            break made.json();
        }
        ensure!(made.code == 403 && tokio::time::Instant::now() < end, "{made:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let name = key["metadata"]["name"].as_str().unwrap_or_default();
    let key = format!("Bearer {}", key["status"]["bearerToken"].as_str().unwrap_or_default());
    let user = format!("{M}/users/{id}");
    context.merge(&user, &json!({"enabled": false})).await?;
    let disabled = |answer: &super::http::Answer| answer.json()["spec"]["enabled"] == false;
    context.until(&format!("{tokens}/{name}"), "disabled", disabled).await?;
    context.merge(&user, &json!({"enabled": true})).await?;
    let again = context.get_as(&path, &session).await?;
    ensure!(again.auth == "true", "{again:?}");
    let out = context.get_as(&path, &key).await?;
    ensure!(out.code == 401, "{out:?}");
    Ok(())
}

async fn a_disabled_user_is_out_at_once(context: &Context) -> Outcome {
    let (id, bearer) = context.logged_in().await?;
    let (path, authorization) = (format!("{M}/globalroles"), format!("Bearer {bearer}"));
    ensure!(context.get_as(&path, &authorization).await?.auth == "true", "a fresh login is known");
    let user = format!("{M}/users/{id}");
    context.merge(&user, &json!({"enabled": false})).await?;
    let out = context.get_as(&path, &authorization).await?;
    ensure!(out.code == 401, "{out:?}");
    context.merge(&user, &json!({"enabled": true})).await?;
    let again = context.get_as(&path, &authorization).await?;
    ensure!(again.auth == "true", "{again:?}");
    Ok(())
}

async fn nobody_grants_what_he_does_not_hold(context: &Context) -> Outcome {
    let (id, bearer) = context.logged_in().await?;
    let group = context.group();
    let body = context.crtb(&context.fresh("more"), "cluster-owner", ("groupPrincipalName", &group));
    let without = context.post_as(&bearer, &crtbs(), &body).await?;
    ensure!(without.code == 403 && without.reason() == "Forbidden", "{without:?}");
    let own = context.crtb(&context.fresh("manager"), "clusterroletemplatebindings-manage", ("userName", &id));
    let (path, _) = context.create(&crtbs(), &own).await?;
    context.until_held(&path).await?;
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let answer = context.post_as(&bearer, &crtbs(), &body).await?;
        if answer.code == 422 {
            let why = format!("user {id:?} (groups=[");
            let granting = "is attempting to grant RBAC permissions not currently held:";
            ensure!(answer.message().contains(&why) && answer.message().contains(granting), "{answer:?}");
            return Ok(());
        }
        ensure!(answer.code == 403 && tokio::time::Instant::now() < end, "{answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn a_deleted_user_takes_his_bindings_along(context: &Context) -> Outcome {
    let id = context.user().await?;
    let body = context.crtb(&context.fresh("his"), "cluster-member", ("userName", &id));
    let (path, _) = context.create(&crtbs(), &body).await?;
    context.until_held(&path).await?;
    context.delete(&format!("{M}/users/{id}")).await?;
    context.until_gone(&format!("{M}/users/{id}")).await?;
    context.until_gone(&path).await
}

async fn a_login_leaves_the_groups_behind(context: &Context) -> Outcome {
    let never = context.get(&format!("{M}/userattributes/{}", context.user().await?)).await?;
    let details = never.json()["details"].clone();
    ensure!(never.code == 404 && never.reason() == "NotFound", "{never:?}");
    ensure!(details["kind"] == "userattributes" && details["group"] == "management.cattle.io", "{details}");
    let (id, _) = context.logged_in().await?;
    let path = format!("{M}/userattributes/{id}");
    let kept = context.until(&path, "there", |answer| answer.code == 200).await?.json();
    ensure!(kept["GroupPrincipals"].is_object(), "{kept}");
    ensure!(kept["lastLogin"].as_str().is_some_and(|at| at.ends_with('Z')), "{kept}");
    let labelled = format!("{M}/tokens?labelSelector=authn.management.cattle.io%2Ftoken-userId%3D{id}");
    let tokens = context.get(&labelled).await?.json();
    ensure!(tokens["items"].as_array().is_some_and(|all| all.len() == 1), "{tokens}");
    // In Go's letters, by provider: so the operator reads them, alone and in a list.
    let group = context.group();
    let groups = json!({"GroupPrincipals": {"openldap": {"Items": [{"metadata": {"name": group}}]}}});
    ensure!(context.merge(&path, &groups).await?.code == 200, "groups are written");
    let listed = context.get(&format!("{M}/userattributes?limit=500")).await?.json();
    let found =
        listed["items"].as_array().and_then(|all| all.iter().find(|one| one["metadata"]["name"] == id.as_str()));
    let found = found.map(|one| &one["GroupPrincipals"]["openldap"]["Items"][0]["metadata"]["name"]);
    ensure!(found == Some(&json!(group)), "{listed}");
    Ok(())
}
