//! Who is let in, and how a refusal looks.
use serde_json::{Value, json};

use super::{
    context::{Context, LOCAL, M, behaviours},
    outcome::{Instead, Outcome, Seen, ensure},
};

behaviours![
    the_version_is_open,
    ping_answers_pong,
    an_unknown_bearer_is_a_status_401,
    no_credentials_are_a_plain_401,
    v3_refuses_with_a_string_status,
    success_carries_the_auth_header,
    a_self_review_names_user_and_token,
    an_access_review_names_the_binding,
    ones_own_token_tells_its_end,
    a_token_for_one_cluster_is_good_for_that_only,
    a_deleted_token_is_dead_at_once,
    an_ext_token_works_and_keeps_labels,
    an_ext_token_tells_its_bearer_since_2_13,
    a_v3_token_is_found_by_its_description_and_deleted_as_an_object,
    an_ext_token_is_found_by_its_labels_and_dead_once_deleted,
    v3_tokens_fail_for_an_ext_token_before_2_15,
    retention_is_off_unless_set,
];

async fn the_version_is_open(context: &Context) -> Outcome {
    let answer = context.get_as("/rancherversion", "").await?;
    ensure!(answer.code == 200 && answer.auth == "false", "{answer:?}");
    ensure!(answer.json()["Version"].as_str().is_some_and(|v| v.starts_with('v')), "{answer:?}");
    Ok(())
}

async fn ping_answers_pong(context: &Context) -> Outcome {
    let answer = context.get_as("/ping", "").await?;
    ensure!(answer.text.trim() == "pong", "{answer:?}");
    Ok(())
}

async fn an_unknown_bearer_is_a_status_401(context: &Context) -> Outcome {
    for bearer in ["Bearer token-nope1:nope", "Bearer nope"] {
        let answer = context.get_as(&format!("{M}/users"), bearer).await?;
        ensure!(answer.code == 401 && answer.auth == "false", "{answer:?}");
        ensure!(answer.json()["kind"] == "Status" && answer.reason() == "Unauthorized", "{answer:?}");
    }
    Ok(())
}

async fn no_credentials_are_a_plain_401(context: &Context) -> Outcome {
    context.through_rancher("the API server has logins of its own")?;
    for credentials in ["", "Basic bm9wZTpub3Bl"] {
        let answer = context.get_as(&format!("{M}/users"), credentials).await?;
        ensure!(answer.code == 401 && answer.text.trim() == "not authorized", "{answer:?}");
    }
    Ok(())
}

async fn v3_refuses_with_a_string_status(context: &Context) -> Outcome {
    for credentials in ["", "Bearer token-nope1:nope"] {
        let answer = context.get_as("/v3/tokens", credentials).await?;
        ensure!(answer.code == 401 && answer.json()["status"] == "401", "{answer:?}");
        ensure!(answer.message() == "Unauthorized 401: must authenticate", "{answer:?}");
    }
    Ok(())
}

async fn success_carries_the_auth_header(context: &Context) -> Outcome {
    let answer = context.get(&format!("{M}/settings/install-uuid")).await?;
    context.through_rancher("the header is Rancher's")?;
    ensure!(answer.code == 200 && answer.auth == "true", "{answer:?}");
    ensure!(!answer.json()["value"].as_str().unwrap_or_default().is_empty(), "{answer:?}");
    Ok(())
}

async fn a_self_review_names_user_and_token(context: &Context) -> Outcome {
    let path = format!("{LOCAL}/apis/authentication.k8s.io/v1/selfsubjectreviews");
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = context.post(&path, &body).await?;
    ensure!(answer.code == 201, "{answer:?}");
    let info = answer.json()["status"]["userInfo"].clone();
    let name = info["username"].as_str().unwrap_or_default().to_owned();
    if context.keyless {
        ensure!(name.starts_with("system:serviceaccount:"), "{info}");
        return Ok(());
    }
    ensure!(name.starts_with("user-") || name.starts_with("u-"), "{info}");
    let token = context.bearer.trim_start_matches("ext/").split(':').next().unwrap_or_default();
    ensure!(info["extra"]["requesttokenid"][0] == token, "{info}");
    ensure!(info["extra"]["principalid"][0].is_string(), "{info}");
    Ok(())
}

async fn an_access_review_names_the_binding(context: &Context) -> Outcome {
    let path = format!("{LOCAL}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "create", "group": "management.cattle.io", "resource": "clusterroletemplatebindings"}},
    });
    let answer = context.post(&path, &body).await?;
    let status = answer.json()["status"].clone();
    ensure!(answer.code == 201 && status["allowed"] == true, "{answer:?}");
    context.through_rancher("the API server in memory gives no reasons")?;
    ensure!(status["reason"].as_str().is_some_and(|why| why.contains("ClusterRoleBinding")), "{status}");
    Ok(())
}

/// Makes a v3 token and answers with its bearer and path.
async fn token(context: &Context, body: serde_json::Value) -> Seen<(String, String)> {
    let made = context.post("/v3/tokens", &body).await?;
    ensure!(made.code == 201, "{}", made.text);
    let bearer = made.json()["token"].as_str().unwrap_or_default().to_owned();
    let path = format!("/v3/tokens/{}", bearer.split(':').next().unwrap_or_default());
    context.keep(path.clone());
    Ok((bearer, path))
}

async fn ones_own_token_tells_its_end(context: &Context) -> Outcome {
    let (bearer, path) = token(context, json!({"type": "token", "description": "contract", "ttl": 3_600_000})).await?;
    let told = |answer: &super::http::Answer| !answer.json()["expiresAt"].as_str().unwrap_or_default().is_empty();
    context.until(&path, "with an end", told).await?;
    let answer = context.get_as(&path, &format!("Bearer {bearer}")).await?;
    ensure!(answer.code == 200 && answer.json()["ttl"] == 3_600_000, "{answer:?}");
    let other = context.get("/v3/tokens/token-nope1").await?;
    ensure!(other.code == 404 && other.json()["code"] == "NotFound", "{other:?}");
    Ok(())
}

async fn a_token_for_one_cluster_is_good_for_that_only(context: &Context) -> Outcome {
    let (bearer, _) = token(context, json!({"type": "token", "clusterId": "local", "ttl": 3_600_000})).await?;
    let authorization = format!("Bearer {bearer}");
    let through = context.get_as(&format!("{M}/clusters/local"), &authorization).await?;
    ensure!(through.code == 200, "{through:?}");
    for path in ["/v3/tokens", "/apis/management.cattle.io/v3/users"] {
        let answer = context.get_as(path, &authorization).await?;
        ensure!(answer.code == 401, "{path}: {answer:?}");
    }
    Ok(())
}

async fn a_deleted_token_is_dead_at_once(context: &Context) -> Outcome {
    let (bearer, path) = token(context, json!({"type": "token", "ttl": 3_600_000})).await?;
    let authorization = format!("Bearer {bearer}");
    ensure!(context.get_as(&format!("{M}/clusters/local"), &authorization).await?.code == 200, "a fresh token");
    let gone = context.delete(&path).await?;
    ensure!(gone.code == 204, "{gone:?}");
    let after = context.get_as(&format!("{M}/clusters/local"), &authorization).await?;
    ensure!(after.code == 401, "{after:?}");
    Ok(())
}

pub const EXT_TOKENS: &str = "/ext/apis/ext.cattle.io/v1/tokens";

/// Makes an ext token and answers with it, its bearer and its path; 2.11 has none.
async fn ext_token(context: &Context, label: &str) -> Seen<(Value, String, String)> {
    let body = json!({
        "apiVersion": "ext.cattle.io/v1", "kind": "Token", "metadata": {"name": "ignored", "labels": {"contract": label}},
        "spec": {"ttl": 3_600_000, "clusterName": ""},
    });
    let made = context.post(EXT_TOKENS, &body).await?;
    if context.version < (2, 12, 0) {
        ensure!(made.code == 404, "{made:?}");
        return Err(Instead::NotThere("ext tokens come with 2.12"));
    }
    ensure!(made.code == 201, "{made:?}");
    let object = made.json();
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let path = format!("{EXT_TOKENS}/{name}");
    context.keep(path.clone());
    let bearer = format!("ext/{name}:{}", object["status"]["value"].as_str().unwrap_or_default());
    Ok((object, bearer, path))
}

async fn an_ext_token_works_and_keeps_labels(context: &Context) -> Outcome {
    let label = context.fresh("label");
    let (object, bearer, path) = ext_token(context, &label).await?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    ensure!(name.starts_with("token-") && object["status"]["expiresAt"].is_string(), "{object}");
    ensure!(object["metadata"]["labels"]["contract"] == label.as_str(), "{object}");
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while context.get_as(&format!("{M}/clusters/local"), &format!("Bearer {bearer}")).await?.code != 200 {
        ensure!(tokio::time::Instant::now() < end, "a fresh ext token never worked");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let read = context.get(&path).await?.json();
    for secret in ["bearerToken", "value"] {
        ensure!(read["status"][secret].as_str().unwrap_or_default().is_empty(), "the secret is shown again");
    }
    Ok(())
}

async fn an_ext_token_tells_its_bearer_since_2_13(context: &Context) -> Outcome {
    let (object, bearer, _) = ext_token(context, &context.fresh("label")).await?;
    if context.version < (2, 13, 0) {
        ensure!(object["status"]["bearerToken"].is_null(), "it tells its bearer");
        return Err(Instead::NotThere("2.12 tells the secret part alone"));
    }
    ensure!(object["status"]["bearerToken"] == bearer.as_str(), "an unexpected form of bearer");
    Ok(())
}

async fn a_v3_token_is_found_by_its_description_and_deleted_as_an_object(context: &Context) -> Outcome {
    let description = context.fresh("mark");
    let (bearer, path) = token(context, json!({"type": "token", "description": description, "ttl": 0})).await?;
    let name = path.trim_start_matches("/v3/tokens/");
    let listed = context.get("/v3/tokens").await?.json();
    let found: Vec<_> =
        listed["data"].as_array().into_iter().flatten().filter(|t| t["description"] == description.as_str()).collect();
    ensure!(found.len() == 1 && found[0]["id"] == name && found[0]["created"].is_string(), "{found:?}");
    ensure!(found[0]["token"].is_null(), "the secret is shown again");
    // How a key that replaced it with an ext token deletes it, for /v3 fails for those before 2.15.
    let gone = context.delete(&format!("{M}/tokens/{name}")).await?;
    ensure!(gone.code == 200, "{gone:?}");
    let after = context.get_as(&format!("{M}/clusters/local"), &format!("Bearer {bearer}")).await?;
    ensure!(after.code == 401, "{after:?}");
    let again = context.delete(&path).await?;
    ensure!(again.code == 404 && again.json()["code"] == "NotFound" && again.text.contains(name), "{again:?}");
    Ok(())
}

async fn an_ext_token_is_found_by_its_labels_and_dead_once_deleted(context: &Context) -> Outcome {
    let label = context.fresh("label");
    let (object, bearer, path) = ext_token(context, &label).await?;
    ensure!(object["metadata"]["creationTimestamp"].is_string(), "{object}");
    let listed = context.get(&format!("{EXT_TOKENS}?limit=500&labelSelector=contract%3D{label}")).await?.json();
    let names: Vec<_> = listed["items"].as_array().into_iter().flatten().map(|t| &t["metadata"]["name"]).collect();
    ensure!(names == [&object["metadata"]["name"]], "{listed}");
    let gone = context.delete(&path).await?;
    ensure!(gone.code == 200, "{gone:?}");
    let after = context.get_as(&format!("{M}/clusters/local"), &format!("Bearer {bearer}")).await?;
    ensure!(after.code == 401, "{after:?}");
    let again = context.delete(&path).await?;
    ensure!(again.code == 404 && again.json()["reason"] == "NotFound", "{again:?}");
    Ok(())
}

async fn v3_tokens_fail_for_an_ext_token_before_2_15(context: &Context) -> Outcome {
    let (_, bearer, _) = ext_token(context, &context.fresh("label")).await?;
    let answer = context.get_as("/v3/tokens", &format!("Bearer {bearer}")).await?;
    if context.version < (2, 15, 0) {
        ensure!(answer.code == 500, "{answer:?}");
        return Err(Instead::NotThere("rancher/rancher#54338"));
    }
    ensure!(answer.code == 200, "{answer:?}");
    Ok(())
}

async fn retention_is_off_unless_set(context: &Context) -> Outcome {
    for setting in ["user-retention-cron", "disable-inactive-user-after", "delete-inactive-user-after"] {
        let found = context.get(&format!("{M}/settings/{setting}")).await?;
        ensure!(found.code == 200 && found.json()["default"] == "", "{found:?}");
    }
    Ok(())
}
