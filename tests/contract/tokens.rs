//! Tokens of others, as an administrator sees them, and what he can do about them.
use serde_json::{Value, json};

use super::{
    authentication::EXT_TOKENS,
    context::{Context, M, behaviours},
    http::{Answer, Ask},
    outcome::{Instead, Outcome, Seen, ensure},
};

behaviours![
    a_session_and_an_api_key_are_told_apart_by_a_label,
    a_list_of_metadata_holds_no_secret,
    anothers_v3_token_is_disabled_and_deleted_by_its_uid,
    anothers_ext_token_is_disabled_and_deleted_by_its_uid,
    global_roles_say_whether_everybody_has_them,
];

const KIND: &str = "authn.management.cattle.io/kind";

/// The v3 tokens of a user, by their metadata alone.
async fn listed(context: &Context, user: &str) -> Seen<Answer> {
    let selector = format!("authn.management.cattle.io%2Ftoken-userId%3D{user}");
    let answer = context
        .send(Ask {
            method: "GET".to_owned(),
            path: format!("{M}/tokens?limit=500&labelSelector={selector}"),
            authorization: format!("Bearer {}", context.bearer),
            content_type: "application/json".to_owned(),
            accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1".to_owned(),
            body: Vec::new(),
        })
        .await?;
    ensure!(answer.code == 200 && answer.json()["kind"] == "PartialObjectMetadataList", "{}", answer.code);
    Ok(answer)
}

fn named(bearer: &str) -> &str {
    bearer.trim_start_matches("ext/").split(':').next().unwrap_or_default()
}

/// Somebody who logged in, and an API key that he made: his id, the session's bearer, and the key's.
async fn with_key(context: &Context) -> Seen<(String, String, String)> {
    context.through_rancher("only Rancher knows tokens")?;
    let (id, session) = context.logged_in().await?;
    let made = context.post_as(&session, "/v3/tokens", &json!({"type": "token", "ttl": 3_600_000})).await?;
    ensure!(made.code == 201, "{}", made.code);
    let key = made.json()["token"].as_str().unwrap_or_default().to_owned();
    context.keep(format!("{M}/tokens/{}", named(&key)));
    Ok((id, session, key))
}

/// Whether Rancher takes a bearer.
async fn works(context: &Context, bearer: &str) -> Seen<bool> {
    Ok(context.get_as(&format!("{M}/globalroles"), &format!("Bearer {bearer}")).await?.auth == "true")
}

async fn a_session_and_an_api_key_are_told_apart_by_a_label(context: &Context) -> Outcome {
    let (id, session, key) = with_key(context).await?;
    let listed = listed(context, &id).await?.json();
    let labels = |bearer: &str| {
        let all = listed["items"].as_array().into_iter().flatten();
        let found = all.map(|item| &item["metadata"]).find(|meta| meta["name"] == named(bearer));
        found.map(|meta| meta["labels"].clone()).unwrap_or_default()
    };
    ensure!(labels(&session)[KIND] == "session", "{}", labels(&session));
    ensure!(labels(&key).is_object() && labels(&key)[KIND].is_null(), "{}", labels(&key));
    for (bearer, derived) in [(&session, false), (&key, true)] {
        let token = context.get(&format!("{M}/tokens/{}", named(bearer))).await?.json();
        ensure!(token["isDerived"] == derived && token["userId"] == id.as_str(), "{}", token["isDerived"]);
    }
    Ok(())
}

async fn a_list_of_metadata_holds_no_secret(context: &Context) -> Outcome {
    let (id, _, key) = with_key(context).await?;
    let answer = listed(context, &id).await?;
    let secret = key.split(':').nth(1).unwrap_or_default();
    ensure!(!secret.is_empty() && !answer.text.contains(secret), "the secret is in the list");
    for item in answer.json()["items"].as_array().into_iter().flatten() {
        let meta = &item["metadata"];
        ensure!(meta["uid"].is_string() && meta["creationTimestamp"].is_string(), "{meta}");
        ensure!(item["token"].is_null() && item["userId"].is_null(), "more than metadata");
    }
    Ok(())
}

/// Disables and deletes it, each time first with another's UID.
async fn ends(context: &Context, path: &str, bearer: &str, disabled: impl Fn(Value) -> Value) -> Outcome {
    ensure!(works(context, bearer).await?, "a fresh token");
    let uid = context.get(path).await?.json()["metadata"]["uid"].clone();
    let delete = |uid: &Value| json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
    let other = json!("11111111-2222-3333-4444-555555555555");
    let refused = context.merge(path, &disabled(other.clone())).await?;
    ensure!(matches!(refused.code, 400 | 409 | 422), "{}", refused.code);
    // Rancher wraps the refusal for an ext token into a 500.
    let refused = context.ask("DELETE", path, "application/json", &delete(&other)).await?;
    ensure!(matches!(refused.code, 409 | 500), "{}", refused.code);
    ensure!(works(context, bearer).await?, "another one was meant");
    let done = context.merge(path, &disabled(uid.clone())).await?;
    ensure!(done.code == 200, "{}", done.code);
    gone(context, bearer).await?;
    let done = context.ask("DELETE", path, "application/json", &delete(&uid)).await?;
    ensure!(done.code == 200, "{}", done.code);
    gone(context, bearer).await?;
    let again = context.ask("DELETE", path, "application/json", &delete(&uid)).await?;
    ensure!(again.code == 404 && again.json()["reason"] == "NotFound", "{again:?}");
    Ok(())
}

/// Waits until Rancher does not take a bearer: it looks at tokens through a cache.
async fn gone(context: &Context, bearer: &str) -> Outcome {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while works(context, bearer).await? {
        ensure!(tokio::time::Instant::now() < end, "it works still");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn anothers_v3_token_is_disabled_and_deleted_by_its_uid(context: &Context) -> Outcome {
    let (_, _, key) = with_key(context).await?;
    let disabled = |uid: Value| json!({"metadata": {"uid": uid}, "enabled": false});
    ends(context, &format!("{M}/tokens/{}", named(&key)), &key, disabled).await
}

async fn anothers_ext_token_is_disabled_and_deleted_by_its_uid(context: &Context) -> Outcome {
    if context.version < (2, 13, 0) {
        return Err(Instead::NotThere("ext tokens are whole since 2.13"));
    }
    context.through_rancher("only Rancher knows tokens")?;
    let (id, session) = context.logged_in().await?;
    let body = json!({"apiVersion": "ext.cattle.io/v1", "kind": "Token", "spec": {"ttl": 3_600_000}});
    let made = context.post_as(&session, EXT_TOKENS, &body).await?;
    ensure!(made.code == 201, "{}", made.code);
    let bearer = made.json()["status"]["bearerToken"].as_str().unwrap_or_default().to_owned();
    let path = format!("{EXT_TOKENS}/{}", named(&bearer));
    context.keep(path.clone());
    let listed = context.get(&format!("{EXT_TOKENS}?limit=500&labelSelector=cattle.io%2Fuser-id%3D{id}")).await?.json();
    let all: Vec<_> = listed["items"].as_array().into_iter().flatten().collect();
    ensure!(all.len() == 1 && all[0]["metadata"]["name"] == named(&bearer), "{} listed", all.len());
    ensure!(all[0]["metadata"]["labels"][KIND] == "" && all[0]["spec"]["enabled"] == true, "{}", all[0]["metadata"]);
    for secret in ["value", "bearerToken"] {
        ensure!(all[0]["status"][secret].as_str().unwrap_or_default().is_empty(), "the secret is in the list");
    }
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while !works(context, &bearer).await? {
        ensure!(tokio::time::Instant::now() < end, "a fresh ext token never worked");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    ends(context, &path, &bearer, |uid| json!({"metadata": {"uid": uid}, "spec": {"enabled": false}})).await
}

async fn global_roles_say_whether_everybody_has_them(context: &Context) -> Outcome {
    for (role, everybodys) in [("user", true), ("admin", false)] {
        let found = context.get(&format!("{M}/globalroles/{role}")).await?;
        ensure!(found.code == 200, "{found:?}");
        ensure!(found.json()["newUserDefault"].as_bool().unwrap_or(false) == everybodys, "{role}");
    }
    Ok(())
}
