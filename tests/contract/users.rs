//! Users: made, disabled, deleted; and what those may do who are not administrators.
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    context::{Context, LOCAL, M, behaviours, crtbs},
    http::Ask,
    outcome::{Outcome, Seen, ensure},
};

behaviours![
    a_user_gets_its_principal_and_its_name_is_unique,
    a_disabled_user_is_out_at_once,
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
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": id},
            "data": {"password": STANDARD.encode(&password)},
        });
        self.create(&format!("{LOCAL}/api/v1/namespaces/cattle-local-user-passwords/secrets"), &secret).await?;
        let body = json!({"username": id, "password": password, "responseType": "json"});
        let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let answer = self
                .send(Ask {
                    method: "POST".to_owned(),
                    path: "/v3-public/localProviders/local?action=login".to_owned(),
                    content_type: "application/json".to_owned(),
                    accept: "application/json".to_owned(),
                    body: body.to_string().into_bytes(),
                    ..Ask::default()
                })
                .await?;
            if answer.code == 201 {
                return Ok((id, answer.json()["token"].as_str().unwrap_or_default().to_owned()));
            }
            ensure!(tokio::time::Instant::now() < end, "login: {answer:?}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
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
    ensure!(answer.code == 400 && answer.message().contains("username already exists"), "{answer:?}");
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
