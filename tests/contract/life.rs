//! The life of a cluster binding.
use serde_json::json;

use super::{
    context::{Context, M, behaviours, crtbs},
    outcome::{Outcome, ensure},
};

behaviours![
    its_finalizers_and_a_summary_arrive,
    a_delete_needs_the_right_uid,
    after_404_no_access_is_left,
    a_principal_never_seen_gets_a_user_that_stays,
    a_user_name_gets_its_principal,
    an_unknown_user_id_is_accepted_and_reported,
    annotations_can_be_patched,
    server_side_apply_creates_and_repeats,
];

async fn its_finalizers_and_a_summary_arrive(context: &Context) -> Outcome {
    let body = context.crtb(&context.fresh("held"), "cluster-member", ("groupPrincipalName", &context.group()));
    let (path, _) = context.create(&crtbs(), &body).await?;
    let object = context.until_held(&path).await?;
    let finalizers = object["metadata"]["finalizers"].clone();
    let count = finalizers.as_array().map(Vec::len);
    ensure!(count == Some(context.finalizers("crtb").len()), "{finalizers}");
    let done = |answer: &super::http::Answer| answer.json()["status"]["summary"] == "Completed";
    context.until(&path, "completed", done).await?;
    Ok(())
}

async fn a_delete_needs_the_right_uid(context: &Context) -> Outcome {
    let body = context.crtb(&context.fresh("uid"), "cluster-member", ("groupPrincipalName", &context.group()));
    let (path, _) = context.create(&crtbs(), &body).await?;
    let object = context.until_held(&path).await?;
    let wrong = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}});
    let answer = context.ask("DELETE", &path, "application/json", &wrong).await?;
    ensure!(answer.code == 409 && answer.reason() == "Conflict", "{answer:?}");
    ensure!(answer.message().contains("does not match the UID in record"), "{answer:?}");
    let right =
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": object["metadata"]["uid"]}});
    let answer = context.ask("DELETE", &path, "application/json", &right).await?;
    ensure!(answer.code == 200 && answer.json()["metadata"]["deletionTimestamp"].is_string(), "{answer:?}");
    context.until_gone(&path).await
}

async fn after_404_no_access_is_left(context: &Context) -> Outcome {
    let group = context.group();
    let body = context.crtb(&context.fresh("whole"), "cluster-member", ("groupPrincipalName", &group));
    let (path, _) = context.create(&crtbs(), &body).await?;
    context.until_held(&path).await?;
    context
        .until_roles(&group, "a member", |roles| roles.iter().any(|role| role.starts_with("cluster-member")))
        .await?;
    context.delete(&path).await?;
    context.until_gone(&path).await?;
    context.until_roles(&group, "without access", <[String]>::is_empty).await
}

async fn a_principal_never_seen_gets_a_user_that_stays(context: &Context) -> Outcome {
    let principal = format!("openldap_user://cn={}", context.fresh("stranger"));
    let body = context.crtb(&context.fresh("stranger"), "cluster-member", ("userPrincipalName", &principal));
    let (path, _) = context.create(&crtbs(), &body).await?;
    let filled =
        |answer: &super::http::Answer| answer.json()["userName"].as_str().is_some_and(|name| name.starts_with("u-"));
    let object = context.until(&path, "with its user", filled).await?.json();
    let user = object["userName"].as_str().unwrap_or_default().to_owned();
    let user_path = format!("{M}/users/{user}");
    context.keep(user_path.clone());
    context.until_held(&path).await?;
    context.delete(&path).await?;
    context.until_gone(&path).await?;
    let stays = context.get(&user_path).await?;
    let principals = stays.json()["principalIds"].clone();
    let has = |wanted: &str| principals.as_array().is_some_and(|list| list.iter().any(|one| one == wanted));
    ensure!(stays.code == 200 && has(&principal) && has(&format!("local://{user}")), "{stays:?}");
    Ok(())
}

async fn a_user_name_gets_its_principal(context: &Context) -> Outcome {
    let user = context.user().await?;
    let body = context.crtb(&context.fresh("named"), "cluster-member", ("userName", &user));
    let (path, _) = context.create(&crtbs(), &body).await?;
    let filled = |answer: &super::http::Answer| answer.json()["userPrincipalName"] == format!("local://{user}");
    context.until(&path, "with its principal", filled).await?;
    // Now an equal one by principal clashes too, where duplicates do.
    let principal = format!("local://{user}");
    let other = context.crtb(&context.fresh("principal"), "cluster-member", ("userPrincipalName", &principal));
    if context.version < (2, 14, 0) {
        context.create(&crtbs(), &other).await?;
        return Ok(());
    }
    let answer = context.post(&crtbs(), &other).await?;
    ensure!(answer.code == 409 && answer.reason() == "Conflict", "{answer:?}");
    Ok(())
}

async fn an_unknown_user_id_is_accepted_and_reported(context: &Context) -> Outcome {
    let body = context.crtb(&context.fresh("ghost"), "cluster-member", ("userName", "u-doesnotexist"));
    let (path, _) = context.create(&crtbs(), &body).await?;
    let reported = |answer: &super::http::Answer| {
        let object = answer.json();
        let list = object["status"]["localConditions"].as_array().cloned().unwrap_or_default();
        list.iter().any(|one| one["status"] == "False" && one["reason"] == "FailedToGetUser")
    };
    context.until(&path, "reported", reported).await?;
    Ok(())
}

async fn annotations_can_be_patched(context: &Context) -> Outcome {
    let body = context.crtb(&context.fresh("noted"), "cluster-member", ("groupPrincipalName", &context.group()));
    let (path, _) = context.create(&crtbs(), &body).await?;
    let answer = context.merge(&path, &json!({"metadata": {"annotations": {"example.com/touched": "1"}}})).await?;
    ensure!(answer.code == 200, "{answer:?}");
    ensure!(answer.json()["metadata"]["annotations"]["example.com/touched"] == "1", "{answer:?}");
    Ok(())
}

async fn server_side_apply_creates_and_repeats(context: &Context) -> Outcome {
    let name = context.fresh("applied");
    let body = context.crtb(&name, "cluster-member", ("groupPrincipalName", &context.group()));
    let path = format!("{}/{name}", crtbs());
    context.keep(path.clone());
    for code in [201, 200] {
        let url = format!("{path}?fieldManager=contract&force=true");
        let answer = context.ask("PATCH", &url, "application/apply-patch+yaml", &body).await?;
        ensure!(answer.code == code, "{answer:?}");
    }
    Ok(())
}
