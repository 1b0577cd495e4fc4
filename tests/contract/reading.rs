//! Reading: what is not there, lists, watches.
use serde_json::{Value, json};

use super::{
    context::{Context, LOCAL, M, behaviours, crtbs},
    http::Ask,
    outcome::{Outcome, ensure},
};

behaviours![
    a_missing_binding_is_a_status_404_that_names_it,
    an_unknown_cluster_is_a_plain_404,
    an_unknown_api_group_is_a_plain_404,
    an_unknown_v3_schema_is_a_json_404,
    a_huge_body_is_a_plain_500,
    a_body_that_is_not_json_is_a_400,
    strict_validation_refuses_unknown_fields,
    a_bad_continue_is_a_400,
    subject_fields_cannot_be_selected,
    a_watch_from_long_ago_says_410_in_the_stream,
    a_watch_lists_and_bookmarks_first,
    metadata_alone_is_served,
    the_local_cluster_is_internal,
];

async fn a_missing_binding_is_a_status_404_that_names_it(context: &Context) -> Outcome {
    let name = context.fresh("nope");
    let answer = context.get(&format!("{}/{name}", crtbs())).await?;
    let proven = context.keyless || answer.auth == "true";
    ensure!(answer.code == 404 && proven && answer.reason() == "NotFound", "{answer:?}");
    let details = answer.json()["details"].clone();
    ensure!(details["name"] == name.as_str() && details["kind"] == "clusterroletemplatebindings", "{details}");
    Ok(())
}

async fn an_unknown_cluster_is_a_plain_404(context: &Context) -> Outcome {
    let answer = context.get("/k8s/clusters/c-nope1/api/v1/namespaces").await?;
    ensure!(answer.code == 404 && answer.content_type.starts_with("text/plain"), "{answer:?}");
    ensure!(answer.json()["Code"]["Code"] == "NotFound", "{answer:?}");
    let message = "clusters.management.cattle.io \"c-nope1\" not found";
    ensure!(answer.json()["Message"] == message, "{answer:?}");
    Ok(())
}

async fn an_unknown_api_group_is_a_plain_404(context: &Context) -> Outcome {
    context.through_rancher("the API server in memory has words of its own")?;
    let answer = context.get(&format!("{LOCAL}/apis/nope.example.com/v1/things")).await?;
    ensure!(answer.code == 404 && answer.text.trim() == "404 page not found", "{answer:?}");
    Ok(())
}

async fn an_unknown_v3_schema_is_a_json_404(context: &Context) -> Outcome {
    let answer = context.get("/v3/nope").await?;
    ensure!(answer.code == 404 && answer.json()["code"] == "NotFound", "{answer:?}");
    ensure!(answer.message() == "failed to find schema nope", "{answer:?}");
    Ok(())
}

async fn a_huge_body_is_a_plain_500(context: &Context) -> Outcome {
    context.through_rancher("the limit is Rancher's")?;
    let mut body = context.crtb(&context.fresh("huge"), "cluster-member", ("groupPrincipalName", &context.group()));
    body["metadata"]["annotations"] = json!({"huge": "x".repeat(3 * 1024 * 1024)});
    let answer = context.post(&crtbs(), &body).await?;
    ensure!(
        answer.code == 500 && answer.text.contains("request body too large"),
        "{} {}",
        answer.code,
        answer.content_type
    );
    Ok(())
}

async fn a_body_that_is_not_json_is_a_400(context: &Context) -> Outcome {
    let answer = context
        .send(Ask {
            method: "POST".to_owned(),
            path: crtbs(),
            authorization: format!("Bearer {}", context.bearer),
            content_type: "application/json".to_owned(),
            body: b"{nope".to_vec(),
            ..Ask::default()
        })
        .await?;
    ensure!(answer.code == 400 && answer.reason() == "BadRequest", "{answer:?}");
    Ok(())
}

async fn strict_validation_refuses_unknown_fields(context: &Context) -> Outcome {
    context.through_rancher("the API server in memory does not know what is unknown")?;
    let mut body = context.crtb(&context.fresh("strict"), "cluster-member", ("groupPrincipalName", &context.group()));
    body["nope"] = json!(1);
    let answer = context.post(&format!("{}?fieldValidation=Strict", crtbs()), &body).await?;
    ensure!(answer.code == 400 && answer.message().contains("unknown field"), "{answer:?}");
    Ok(())
}

async fn a_bad_continue_is_a_400(context: &Context) -> Outcome {
    let answer = context.get(&format!("{M}/clusterroletemplatebindings?limit=1&continue=nope")).await?;
    ensure!(answer.code == 400 && answer.reason() == "BadRequest", "{answer:?}");
    Ok(())
}

async fn subject_fields_cannot_be_selected(context: &Context) -> Outcome {
    let answer = context.get(&format!("{M}/clusterroletemplatebindings?fieldSelector=userName%3Da")).await?;
    ensure!(answer.code == 400 && answer.message().contains("field label not supported: userName"), "{answer:?}");
    Ok(())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect()
}

async fn a_watch_from_long_ago_says_410_in_the_stream(context: &Context) -> Outcome {
    context.through_rancher("the API server in memory answers 410 at once")?;
    let query = "watch=true&resourceVersion=5&timeoutSeconds=5";
    let answer = context.get(&format!("{M}/clusterroletemplatebindings?{query}")).await?;
    let events = lines(&answer.text);
    ensure!(answer.code == 200 && events.len() == 1, "{answer:?}");
    ensure!(events[0]["type"] == "ERROR" && events[0]["object"]["code"] == 410, "{events:?}");
    ensure!(events[0]["object"]["reason"] == "Expired", "{events:?}");
    Ok(())
}

async fn a_watch_lists_and_bookmarks_first(context: &Context) -> Outcome {
    let name = context.fresh("watched");
    let group = context.group();
    context.create(&crtbs(), &context.crtb(&name, "cluster-member", ("groupPrincipalName", &group))).await?;
    let query =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    let answer = context.get(&format!("{}?{query}", crtbs())).await?;
    let events = lines(&answer.text);
    let bookmark = events.iter().position(|event| event["type"] == "BOOKMARK");
    let first = events.iter().position(|event| event["object"]["metadata"]["name"] == name.as_str());
    ensure!(bookmark.is_some() && first.is_some() && first < bookmark, "{} events", events.len());
    Ok(())
}

async fn metadata_alone_is_served(context: &Context) -> Outcome {
    let answer = context
        .send(Ask {
            method: "GET".to_owned(),
            path: format!("{M}/roletemplates"),
            authorization: format!("Bearer {}", context.bearer),
            accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1".to_owned(),
            ..Ask::default()
        })
        .await?;
    ensure!(answer.code == 200 && answer.json()["kind"] == "PartialObjectMetadataList", "{}", answer.code);
    Ok(())
}

async fn the_local_cluster_is_internal(context: &Context) -> Outcome {
    let answer = context.get(&format!("{M}/clusters/local")).await?;
    ensure!(answer.code == 200 && answer.json()["spec"]["internal"] == true, "{answer:?}");
    Ok(())
}
