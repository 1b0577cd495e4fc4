//! What keeps things from being mirrored, and what becomes of it then: refused watches, hands, crashes, backups.

use std::time::Duration;

use rancher_access_operator::api::status::Phase;
use serde_json::{Value, json};
use testkit::rancher::{FaultAction, FaultRule};

use crate::{
    SOON,
    discovery::{
        FOLLOWS, complete, discover, goes, mirrored, of_project, remove, resources, says, shows, status, writes,
    },
    embedded::world::{CLUSTER, Given},
    world,
};

stories![
    where_a_watch_is_refused_it_is_listed_again_and_again,
    what_cannot_be_listed_makes_no_integration_unready,
    what_somebody_does_by_hand_is_put_right,
    switched_off_all_of_it_goes,
    an_operator_that_begins_writes_nothing_anew,
    a_rancher_put_back_to_a_backup_is_mirrored_as_it_is,
];

type Edit = fn(&mut Value);

async fn where_a_watch_is_refused_it_is_listed_again_and_again(given: Given) {
    let world = world(given).await;
    let is_watch = |path: &str| path.contains("/v3/projects?") && path.contains("watch=");
    let no = FaultAction::Status(403, "no".to_owned());
    world.rancher.fault(FaultRule::new(move |_, path| is_watch(path), no));
    discover(&world, json!({"interval": "2m"})).await;
    world
        .until("it is told", SOON, || async {
            says(&world, "Discovered").await.is_some_and(|c| c.reason == "Incomplete")
        })
        .await;
    let said = says(&world, "Discovered").await.expect("a condition").message;
    assert!(said.contains("projects cannot be watched") && said.contains("every 2m"), "{said}");
    assert_eq!(says(&world, "Ready").await.map(|c| c.reason).as_deref(), Some("Ready"));
    world
        .until("it is mirrored all the same", SOON, || async {
            mirrored(&world).contains_key(&of_project(&world.project))
        })
        .await;
    let added = world.rancher.add_project(CLUSTER, "added", &[]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!mirrored(&world).contains_key(&of_project(&added)));
    shows(&world, &of_project(&added), "/displayName", json!("added"), Duration::from_secs(110)).await;
    world.rancher.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let lists =
        world.rancher.requests().into_iter().filter(|r| r.path.contains("/v3/projects?") && !is_watch(&r.path)).count();
    assert!((4..=6).contains(&lists), "one list in two minutes: {lists}");
    world.rancher.clear_faults();
    complete(&world, Duration::from_secs(200)).await;
    let again = world.rancher.add_project(CLUSTER, "again", &[]);
    shows(&world, &of_project(&again), "/displayName", json!("again"), FOLLOWS).await;
}

async fn what_cannot_be_listed_makes_no_integration_unready(given: Given) {
    let world = world(given).await;
    let no = FaultAction::Status(500, "no".to_owned());
    world.rancher.fault(FaultRule::on("GET", "/v3/globalroles?", no));
    discover(&world, json!({})).await;
    world
        .until("it is told", SOON, || async {
            says(&world, "Discovered").await.is_some_and(|c| c.reason == "Incomplete")
        })
        .await;
    let error = status(&world).await.and_then(|status| status.error).expect("an error");
    assert!(error.contains("global roles cannot be listed"), "{error}");
    assert_eq!(says(&world, "Ready").await.map(|c| c.reason).as_deref(), Some("Ready"));
    // What can be listed is mirrored meanwhile.
    shows(&world, &of_project(&world.project), "/displayName", json!("web"), SOON).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.rancher.clear_faults();
    complete(&world, Duration::from_secs(60)).await;
    shows(&world, "prod.globalrole.user-base", "/kind", json!("GlobalRole"), SOON).await;
    assert_eq!(status(&world).await.and_then(|status| status.error), None);
}

async fn what_somebody_does_by_hand_is_put_right(given: Given) {
    let world = world(given).await;
    discover(&world, json!({})).await;
    complete(&world, SOON).await;
    let name = of_project(&world.project);
    let good = world.server.get(&resources(), "", &name).expect("an object");
    let is_good = || {
        world.server.get(&resources(), "", &name).is_some_and(|now| {
            let same = |field: &str| now["metadata"][field] == good["metadata"][field];
            now["spec"] == good["spec"] && same("labels") && same("ownerReferences")
        })
    };
    // Admission lets nobody but the operator do this; whoever can switch that off can too.
    let edits: [(&str, Edit); 4] = [
        ("another owner", |object| object["spec"]["owner"] = json!("eve")),
        ("another integration and kind", |object| {
            object["spec"]["integrationRef"] = json!({"name": "other"});
            object["spec"]["kind"] = json!("Namespace");
        }),
        ("no labels", |object| object["metadata"]["labels"] = json!({})),
        ("no owner", |object| object["metadata"]["ownerReferences"] = json!([])),
    ];
    for (what, edit) in edits {
        let mut object = world.server.get(&resources(), "", &name).expect("an object");
        edit(&mut object);
        world.server.update_unchecked(&resources(), object).expect("edited");
        world.until(&format!("{what} is put right"), SOON, || async { is_good() }).await;
    }
    world.server.delete_unchecked(&resources(), "", &name).expect("deleted");
    world.until("it is made again", SOON, || async { is_good() }).await;
    let mut stray = good.clone();
    stray["metadata"] = json!({"name": "stray", "labels": good["metadata"]["labels"]});
    stray["spec"]["id"] = json!("p-stray");
    world.server.create_unchecked(&resources(), stray).expect("created");
    goes(&world, "stray", SOON).await;
}

async fn switched_off_all_of_it_goes(given: Given) {
    let mut world = world(given).await;
    discover(&world, json!({"namespaces": true})).await;
    complete(&world, SOON).await;
    discover(&world, Value::Null).await;
    world.until("all of it is gone", SOON, || async { mirrored(&world).is_empty() }).await;
    world.until("the status too", SOON, || async { status(&world).await.is_none() }).await;
    assert_eq!(says(&world, "Discovered").await, None);
    let text = world.operator.as_ref().expect("an operator").metrics.encode().expect("figures");
    assert!(!text.contains("discovered_resources{"), "{text}");
    // The same where nobody was there to see it.
    discover(&world, json!({})).await;
    complete(&world, SOON).await;
    world.kill().await;
    discover(&world, Value::Null).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!mirrored(&world).is_empty());
    world.launch().await;
    world.until("all of it is gone", Duration::from_secs(90), || async { mirrored(&world).is_empty() }).await;
    world.until("the status too", SOON, || async { status(&world).await.is_none() }).await;
    world.server.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(world.server.requests().iter().all(|asked| asked.resource != "rancherresources"));
}

async fn an_operator_that_begins_writes_nothing_anew(given: Given) {
    let mut world = world(given).await;
    discover(&world, json!({"namespaces": true})).await;
    complete(&world, SOON).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = mirrored(&world);
    let made = writes(&world);
    assert_eq!(made.len(), before.len(), "one write for each: {made:?}");
    world.kill().await;
    let new = world.rancher.add_project(CLUSTER, "new", &[]);
    world.server.clear_requests();
    world.launch().await;
    shows(&world, &of_project(&new), "/displayName", json!("new"), Duration::from_secs(90)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(writes(&world), ["create  201"; 2], "the project, and its namespace on Rancher's own cluster");
    assert_eq!(says(&world, "Discovered").await.map(|said| said.reason).as_deref(), Some("Mirrored"));
}

async fn a_rancher_put_back_to_a_backup_is_mirrored_as_it_is(given: Given) {
    let world = world(given).await;
    discover(&world, json!({"interval": "10m"})).await;
    complete(&world, SOON).await;
    let backup = world.rancher.backup();
    let lost = world.rancher.add_project(CLUSTER, "lost", &[]);
    shows(&world, &of_project(&lost), "/displayName", json!("lost"), FOLLOWS).await;
    remove(&world, "projects", CLUSTER, &world.project).await;
    goes(&world, &of_project(&world.project), FOLLOWS).await;
    // At once where the server knows nothing of what the watch saw; where it has written as much since, with the next list.
    world.rancher.restore(&backup).await;
    shows(&world, &of_project(&world.project), "/displayName", json!("web"), Duration::from_secs(700)).await;
    goes(&world, &of_project(&lost), Duration::from_secs(10)).await;
}
