//! What the operator relies on from a Rancher, as named behaviours.
//!
//! They are asked of the simulator always, and of a real server when `RANCHER_URL` and `RANCHER_TOKEN` (an administrator's
//! key) are set, with `RANCHER_CA` as the path of its CA if it needs one. On a real server everything happens on cluster
//! `local` and in a project made for it, under names of a random prefix, and is taken away afterwards, failures or not.

mod authentication;
mod context;
mod http;
mod leftovers;
mod life;
mod projects;
mod reading;
mod refusals;
mod users;

use context::{Behaviour, Context};
use http::{InProcess, OverHttps};

fn behaviours() -> Vec<Behaviour> {
    [
        authentication::behaviours(),
        reading::behaviours(),
        refusals::behaviours(),
        life::behaviours(),
        projects::behaviours(),
        leftovers::behaviours(),
        users::behaviours(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs them, prints each one's result, and fails if any failed.
async fn run(context: &Context, behaviours: Vec<Behaviour>) {
    let mut failed = Vec::new();
    for (name, behaviour) in behaviours {
        let result = context.attempt(behaviour).await;
        let shown = result.as_ref().err().map_or("ok", String::as_str);
        println!("{name}: {shown}");
        if result.is_err() {
            failed.push(name);
        }
    }
    context.tear_down().await;
    assert!(failed.is_empty(), "not as relied upon: {failed:?}");
}

#[tokio::test(start_paused = true)]
async fn the_simulator_keeps_the_contract() {
    let rancher = testkit::rancher::Rancher::builder().seed(3).build();
    let http = InProcess::new(rancher.service());
    let context = Context::prepare(Box::new(http), &rancher.admin_token(), "sim").await;
    run(&context, behaviours()).await;
}

#[tokio::test(start_paused = true)]
async fn the_simulator_keeps_the_contract_in_the_aggregated_model() {
    let rancher = testkit::rancher::Rancher::builder().model(testkit::rancher::Model::Aggregated).build();
    let http = InProcess::new(rancher.service());
    let context = Context::prepare(Box::new(http), &rancher.admin_token(), "sim").await;
    run(&context, behaviours()).await;
}

#[tokio::test]
async fn the_simulator_keeps_the_contract_over_https() {
    let rancher = testkit::rancher::Rancher::builder().seed(4).build();
    let served = rancher.serve().await;
    let http = OverHttps::new(&served.url, Some(served.ca_pem.as_bytes()));
    let context = Context::prepare(Box::new(http), &rancher.admin_token(), "tls").await;
    // Time is real here: only what does not wait for Rancher's slower moods.
    let quick = [authentication::behaviours(), reading::behaviours(), refusals::behaviours()];
    run(&context, quick.into_iter().flatten().collect()).await;
}

#[tokio::test]
#[allow(clippy::disallowed_methods)] // the one test that is told from outside which server to ask
async fn a_real_server_keeps_the_contract() {
    let (Ok(url), Ok(token)) = (std::env::var("RANCHER_URL"), std::env::var("RANCHER_TOKEN")) else {
        println!("RANCHER_URL and RANCHER_TOKEN are not set: no real server is asked");
        return;
    };
    let ca = std::env::var("RANCHER_CA").ok().map(|path| std::fs::read(path).unwrap());
    let mut random = [0_u8; 4];
    getrandom::fill(&mut random).unwrap();
    let prefix = format!("rao-{}", random.map(|byte| format!("{byte:02x}")).concat());
    let http = OverHttps::new(&url, ca.as_deref());
    let context = Context::prepare(Box::new(http), &token, &prefix).await;
    run(&context, behaviours()).await;
}
