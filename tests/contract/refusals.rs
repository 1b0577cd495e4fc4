//! What the webhook refuses, and how.
use serde_json::json;

use super::{
    context::{Context, M, behaviours, crtbs},
    http::Answer,
    outcome::{Instead, Outcome, ensure},
};

behaviours![
    a_taken_name_already_exists,
    equal_cluster_access_is_a_conflict_since_2_14,
    equal_project_access_is_a_conflict_since_2_15,
    a_binding_has_one_subject,
    a_missing_role_is_refused,
    a_role_of_the_other_context_is_refused,
    a_locked_role_is_refused,
    cluster_and_namespace_must_agree,
    an_unknown_cluster_has_no_namespace,
    an_unknown_project_is_refused,
    role_and_subject_cannot_be_changed,
    a_dry_run_meets_the_webhook_and_stores_nothing,
];

fn denied(answer: &Answer, resource: &str, why: &str) -> bool {
    let prefix =
        format!("admission webhook \"rancher.cattle.io.{resource}.management.cattle.io\" denied the request: ");
    answer.message().strip_prefix(&prefix).is_some_and(|rest| rest.contains(why))
}

const CRTB: &str = "clusterroletemplatebindings";
const PRTB: &str = "projectroletemplatebindings";

async fn a_taken_name_already_exists(context: &Context) -> Outcome {
    let body = context.crtb(&context.fresh("taken"), "cluster-member", ("groupPrincipalName", &context.group()));
    context.create(&crtbs(), &body).await?;
    let again = context.post(&crtbs(), &body).await?;
    ensure!(again.code == 409 && again.reason() == "AlreadyExists", "{again:?}");
    Ok(())
}

/// Before the webhook refused duplicates, both of two equal bindings were there to stay.
async fn both_live(context: &Context, bindings: [(String, &serde_json::Value); 2]) -> Outcome {
    let [_, (collection, second)] = &bindings;
    context.create(collection, second).await?;
    for (collection, body) in &bindings {
        let path = format!("{collection}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
        let held = context.until_held(&path).await?;
        ensure!(held["metadata"]["deletionTimestamp"].is_null(), "{held}");
    }
    Err(Instead::NotThere("equal bindings are legal here"))
}

async fn equal_cluster_access_is_a_conflict_since_2_14(context: &Context) -> Outcome {
    let group = context.group();
    let first = context.crtb(&context.fresh("first"), "cluster-member", ("groupPrincipalName", &group));
    let (path, _) = context.create(&crtbs(), &first).await?;
    let second = context.crtb(&context.fresh("second"), "cluster-member", ("groupPrincipalName", &group));
    if context.version < (2, 14, 0) {
        return both_live(context, [(crtbs(), &first), (crtbs(), &second)]).await;
    }
    let answer = context.post(&crtbs(), &second).await?;
    ensure!(answer.code == 409 && answer.reason() == "Conflict", "{answer:?}");
    ensure!(denied(&answer, CRTB, "duplicate crtb not allowed"), "{answer:?}");
    // One that is being deleted does not count.
    context.until_held(&path).await?;
    context.delete(&path).await?;
    let after = context.post(&crtbs(), &second).await?;
    context.keep(format!("{}/{}", crtbs(), second["metadata"]["name"].as_str().unwrap_or_default()));
    ensure!(after.code == 201, "{after:?}");
    Ok(())
}

async fn equal_project_access_is_a_conflict_since_2_15(context: &Context) -> Outcome {
    let group = context.group();
    let first = context.prtb(&context.fresh("first"), "read-only", ("groupPrincipalName", &group));
    context.create(&context.prtbs(), &first).await?;
    let second = context.prtb(&context.fresh("second"), "read-only", ("groupPrincipalName", &group));
    if context.version < (2, 15, 0) {
        return both_live(context, [(context.prtbs(), &first), (context.prtbs(), &second)]).await;
    }
    let answer = context.post(&context.prtbs(), &second).await?;
    ensure!(answer.code == 409 && denied(&answer, PRTB, "duplicate prtb not allowed"), "{answer:?}");
    Ok(())
}

async fn a_binding_has_one_subject(context: &Context) -> Outcome {
    let group = context.group();
    let none = context.crtb(&context.fresh("none"), "cluster-member", ("groupName", ""));
    let mut both = context.crtb(&context.fresh("both"), "cluster-member", ("groupPrincipalName", &group));
    both["userName"] = json!("u-nobody");
    let why = "clusterroletemplatebinding: Forbidden: binding must target either a user [userName]/[userPrincipalName] OR a \
        group [groupName]/[groupPrincipalName]";
    for body in [none, both] {
        let answer = context.post(&crtbs(), &body).await?;
        ensure!(answer.code == 400 && denied(&answer, CRTB, why), "{answer:?}");
    }
    Ok(())
}

async fn a_missing_role_is_refused(context: &Context) -> Outcome {
    let group = context.group();
    let body = context.crtb(&context.fresh("norole"), "nope", ("groupPrincipalName", &group));
    let answer = context.post(&crtbs(), &body).await?;
    let why = "clusterroletemplatebinding.roleTemplateName: Invalid value: \"nope\": the referenced role template was not found";
    ensure!(answer.code == 400 && denied(&answer, CRTB, why), "{answer:?}");
    let body = context.prtb(&context.fresh("norole"), "nope", ("groupPrincipalName", &group));
    let answer = context.post(&context.prtbs(), &body).await?;
    ensure!(answer.code == 400 && denied(&answer, PRTB, "the referenced role template was not found"), "{answer:?}");
    Ok(())
}

async fn a_role_of_the_other_context_is_refused(context: &Context) -> Outcome {
    let group = context.group();
    let body = context.crtb(&context.fresh("context"), "project-member", ("groupPrincipalName", &group));
    let answer = context.post(&crtbs(), &body).await?;
    let why = "roleTemplate.context: Unsupported value: \"project\": supported values: \"cluster\"";
    ensure!(answer.code == 400 && denied(&answer, CRTB, why), "{answer:?}");
    let body = context.prtb(&context.fresh("context"), "cluster-member", ("groupPrincipalName", &group));
    let answer = context.post(&context.prtbs(), &body).await?;
    let why = "roleTemplate.context: Unsupported value: \"cluster\": supported values: \"project\"";
    ensure!(answer.code == 400 && denied(&answer, PRTB, why), "{answer:?}");
    Ok(())
}

async fn a_locked_role_is_refused(context: &Context) -> Outcome {
    let name = context.fresh("locked");
    let role = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "RoleTemplate", "metadata": {"name": name},
        "displayName": format!("{name} shown"), "context": "cluster", "locked": true, "rules": [],
    });
    context.create(&format!("{M}/roletemplates"), &role).await?;
    let body = context.crtb(&context.fresh("uses"), &name, ("groupPrincipalName", &context.group()));
    let answer = context.post(&crtbs(), &body).await?;
    let why = format!("Forbidden: referenced role {name} shown is locked and cannot be assigned");
    ensure!(answer.code == 400 && denied(&answer, CRTB, &why), "{answer:?}");
    Ok(())
}

async fn cluster_and_namespace_must_agree(context: &Context) -> Outcome {
    let mut body =
        context.crtb(&context.fresh("elsewhere"), "cluster-member", ("groupPrincipalName", &context.group()));
    body["clusterName"] = json!("c-other");
    let answer = context.post(&crtbs(), &body).await?;
    let why = "Forbidden: clusterName and namespace must be the same value";
    ensure!(answer.code == 400 && denied(&answer, CRTB, why), "{answer:?}");
    Ok(())
}

async fn an_unknown_cluster_has_no_namespace(context: &Context) -> Outcome {
    let mut body = context.crtb(&context.fresh("nowhere"), "cluster-member", ("groupPrincipalName", &context.group()));
    body["clusterName"] = json!("c-nope");
    let answer = context.post(&format!("{M}/namespaces/c-nope/{CRTB}"), &body).await?;
    ensure!(answer.code == 404 && answer.message() == "namespaces \"c-nope\" not found", "{answer:?}");
    Ok(())
}

async fn an_unknown_project_is_refused(context: &Context) -> Outcome {
    for (project, why) in [
        ("local:p-nope", "Invalid value: \"local:p-nope\": specified project p-nope not found in local"),
        ("nope", "must be of the form cluster.metadata.name:project.metadata.name"),
    ] {
        let mut body = context.prtb(&context.fresh("noproject"), "read-only", ("groupPrincipalName", &context.group()));
        body["projectName"] = json!(project);
        let answer = context.post(&context.prtbs(), &body).await?;
        ensure!(answer.code == 400 && denied(&answer, PRTB, why), "{answer:?}");
    }
    Ok(())
}

async fn role_and_subject_cannot_be_changed(context: &Context) -> Outcome {
    let body = context.crtb(&context.fresh("fixed"), "cluster-member", ("groupPrincipalName", &context.group()));
    let (path, _) = context.create(&crtbs(), &body).await?;
    for patch in [json!({"roleTemplateName": "cluster-owner"}), json!({"groupPrincipalName": context.group()})] {
        let answer = context.merge(&path, &patch).await?;
        ensure!(answer.code == 400 && denied(&answer, CRTB, "field is immutable"), "{answer:?}");
    }
    Ok(())
}

async fn a_dry_run_meets_the_webhook_and_stores_nothing(context: &Context) -> Outcome {
    let name = context.fresh("dry");
    let body = context.crtb(&name, "nope", ("groupPrincipalName", &context.group()));
    let answer = context.post(&format!("{}?dryRun=All", crtbs()), &body).await?;
    ensure!(answer.code == 400, "{answer:?}");
    let body = context.crtb(&name, "cluster-member", ("groupPrincipalName", &context.group()));
    let answer = context.post(&format!("{}?dryRun=All", crtbs()), &body).await?;
    ensure!(answer.code == 201, "{answer:?}");
    ensure!(context.get(&format!("{}/{name}", crtbs())).await?.code == 404, "a dry run stored {name}");
    Ok(())
}
