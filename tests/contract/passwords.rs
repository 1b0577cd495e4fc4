//! Passwords of local users: kept as hashes, in Secrets; and who logs in with them.
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    context::{Context, LOCAL, M, behaviours},
    http::{Answer, Ask},
    outcome::{Outcome, Seen, ensure},
};

behaviours![
    a_password_needs_its_user,
    a_password_is_long_and_not_the_login_name,
    a_password_is_kept_as_a_hash_alone,
    a_password_set_anew_takes_the_place_of_the_old,
    a_disabled_user_does_not_log_in,
    a_deleted_user_takes_password_and_login_along,
];

const HASHED: &str = "cattle.io/password-hash";

fn secrets() -> String {
    format!("{LOCAL}/api/v1/namespaces/cattle-local-user-passwords/secrets")
}

impl Context {
    /// Gives a user a password, who has none.
    pub async fn give_password(&self, id: &str, password: &str) -> Seen<Answer> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": id},
            "data": {"password": STANDARD.encode(password)},
        });
        let made = self.post(&secrets(), &secret).await?;
        if made.code == 201 {
            self.keep(format!("{}/{id}", secrets()));
        }
        Ok(made)
    }

    async fn login(&self, username: &str, password: &str) -> Seen<Answer> {
        let body = json!({"username": username, "password": password, "responseType": "json"});
        self.send(Ask {
            method: "POST".to_owned(),
            path: "/v3-public/localProviders/local?action=login".to_owned(),
            content_type: "application/json".to_owned(),
            accept: "application/json".to_owned(),
            body: body.to_string().into_bytes(),
            ..Ask::default()
        })
        .await
    }

    /// Waits until that password is good: Rancher reads it from a cache.
    pub async fn until_login(&self, username: &str, password: &str) -> Seen<Answer> {
        let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let answer = self.login(username, password).await?;
            if answer.code == 201 {
                return Ok(answer);
            }
            ensure!(tokio::time::Instant::now() < end, "login: {answer:?}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }
}

/// Whether a Secret holds a hash and not that password.
fn is_hashed(secret: &Value, password: &str) -> bool {
    let data = &secret["data"];
    secret["metadata"]["annotations"][HASHED] == "pbkdf2sha3512"
        && data["salt"].is_string()
        && data["password"].is_string()
        && data["password"] != STANDARD.encode(password)
}

async fn a_password_needs_its_user(context: &Context) -> Outcome {
    let nobody = context.fresh("u");
    let refused = context.give_password(&nobody, "long enough for all").await?;
    let why = format!("user {nobody} does not exist. User must be created before the secret");
    ensure!(refused.code == 400 && refused.message().ends_with(&why), "{refused:?}");
    Ok(())
}

async fn a_password_is_long_and_not_the_login_name(context: &Context) -> Outcome {
    let id = context.fresh("long-login-name");
    let user = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "User", "metadata": {"name": id}, "username": id, "enabled": true,
    });
    context.create(&format!("{M}/users"), &user).await?;
    context.until_seen(&id).await?;
    for (password, why) in [
        ("short", "password must be at least 12 characters"),
        // Twelve bytes.
        ("eleven cha\u{e9}", "password must be at least 12 characters"),
        (&id, "password cannot be the same as username"),
    ] {
        let refused = context.give_password(&id, password).await?;
        ensure!(refused.code == 400 && refused.message().ends_with(why), "{password}: {refused:?}");
    }
    Ok(())
}

async fn a_password_is_kept_as_a_hash_alone(context: &Context) -> Outcome {
    let id = context.user().await?;
    context.until_seen(&id).await?;
    let password = format!("{id}-password");
    let made = context.give_password(&id, &password).await?;
    ensure!(made.code == 201 && is_hashed(&made.json(), &password), "{made:?}");
    ensure!(made.json()["metadata"]["ownerReferences"][0]["name"] == id.as_str(), "{made:?}");
    let again = context.give_password(&id, &password).await?;
    ensure!(again.code == 409 && again.reason() == "AlreadyExists", "{again:?}");
    let none = context.get(&format!("{}/{}", secrets(), context.fresh("u"))).await?;
    ensure!(none.code == 404 && none.json()["details"]["kind"] == "secrets", "{none:?}");
    Ok(())
}

async fn a_password_set_anew_takes_the_place_of_the_old(context: &Context) -> Outcome {
    let (id, _) = context.logged_in().await?;
    let (old, new) = (format!("{id}-password"), format!("{id}-another"));
    let path = format!("{}/{id}", secrets());
    let stood = context.get(&path).await?.json()["metadata"]["resourceVersion"].clone();
    let patch = |version: &Value, password: &str| {
        let metadata = json!({"resourceVersion": version, "annotations": {HASHED: null}});
        json!({"metadata": metadata, "data": {"password": STANDARD.encode(password)}})
    };
    let short = context.merge(&path, &patch(&stood, "short")).await?;
    ensure!(short.code == 400 && short.message().ends_with("password must be at least 12 characters"), "{short:?}");
    let set = context.merge(&path, &patch(&stood, &new)).await?;
    ensure!(set.code == 200 && is_hashed(&set.json(), &new), "{set:?}");
    let stale = context.merge(&path, &patch(&stood, &old)).await?;
    ensure!(stale.code == 409 && stale.reason() == "Conflict", "{stale:?}");
    context.until_login(&id, &new).await?;
    let refused = context.login(&id, &old).await?;
    ensure!(refused.code == 401, "{refused:?}");
    Ok(())
}

async fn a_disabled_user_does_not_log_in(context: &Context) -> Outcome {
    let (id, _) = context.logged_in().await?;
    let (user, password) = (format!("{M}/users/{id}"), format!("{id}-password"));
    context.merge(&user, &json!({"enabled": false})).await?;
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let refused = context.login(&id, &password).await?;
        if refused.code == 403 {
            ensure!(refused.json()["code"] == "PermissionDenied", "{refused:?}");
            break;
        }
        // Rancher reads users from a cache.
        ensure!(refused.code == 201 && tokio::time::Instant::now() < end, "{refused:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let wrong = context.login(&id, "not the password").await?;
    ensure!(wrong.code == 401, "who does not know the password is not told: {wrong:?}");
    context.merge(&user, &json!({"enabled": true})).await?;
    context.until_login(&id, &password).await.map(drop)
}

async fn a_deleted_user_takes_password_and_login_along(context: &Context) -> Outcome {
    let (id, bearer) = context.logged_in().await?;
    context.delete(&format!("{M}/users/{id}")).await?;
    for path in [format!("{M}/users/{id}"), format!("{}/{id}", secrets()), format!("{M}/userattributes/{id}")] {
        context.until_gone(&path).await?;
    }
    let out = context.get_as(&format!("{M}/globalroles"), &format!("Bearer {bearer}")).await?;
    ensure!(out.code == 401, "{out:?}");
    let refused = context.login(&id, &format!("{id}-password")).await?;
    ensure!(refused.code == 401, "{refused:?}");
    Ok(())
}
