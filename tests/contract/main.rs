//! What the operator relies on from a Rancher, as named behaviours.
//!
//! They are asked of the simulator always, in every release and model, through Rancher and past it; and of a real server when
//! `RANCHER_URL` and `RANCHER_TOKEN` (an administrator's key) are set, with `RANCHER_CA` as the path of its CA if it needs one.
//! Behaviours ask the release first: what it does not do yet is `not there` once what it does instead was seen, and what cannot
//! be asked in a way is `skipped`. `cargo test --test contract -- --nocapture` prints the table. On a real server everything
//! happens on cluster `local` and in a project made for it, under names of a random prefix, and is taken away afterwards,
//! failures or not.

mod authentication;
mod context;
mod global;
mod http;
mod leftovers;
mod life;
mod namespaces;
mod outcome;
mod passwords;
mod projects;
mod reading;
mod refusals;
mod release;
mod tokens;
mod users;

use context::{Behaviour, Context, Far, Way};
use http::{Direct, InProcess, OverHttps};
use outcome::{Column, judge};
use release::release;
use testkit::{
    apiserver::User,
    rancher::{Model, Rancher, Version},
};

fn behaviours() -> Vec<Behaviour> {
    [
        authentication::behaviours(),
        reading::behaviours(),
        refusals::behaviours(),
        life::behaviours(),
        projects::behaviours(),
        namespaces::behaviours(),
        global::behaviours(),
        leftovers::behaviours(),
        users::behaviours(),
        passwords::behaviours(),
        tokens::behaviours(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs them, and takes away what they made.
async fn run(title: &str, context: &Context, behaviours: Vec<Behaviour>) -> Column {
    let mut results = Vec::new();
    for (name, behaviour) in behaviours {
        results.push((name, context.attempt(behaviour).await));
    }
    context.tear_down().await;
    Column { title: title.to_owned(), results }
}

/// A release in one of its models, spoken to through Rancher with a key, or without.
#[derive(Clone, Copy)]
struct Case {
    version: Version,
    model: Model,
    keyless: bool,
}

impl Case {
    /// Every release in both models with a key, and the newest without.
    fn all() -> Vec<Self> {
        let models = [Model::Legacy, Model::Aggregated];
        let with = |keyless| move |(version, model)| Self { version, model, keyless };
        let keyed = Version::ALL.into_iter().flat_map(|version| models.map(|model| (version, model)));
        let newest = models.map(|model| (Version::V2_15, model));
        keyed.map(with(false)).chain(newest.into_iter().map(with(true))).collect()
    }

    fn title(self) -> String {
        let (major, minor, _) = release(self.version.tag());
        let model = if self.model == Model::Aggregated { " aggr" } else { "" };
        let way = if self.keyless { " sa" } else { "" };
        format!("{major}.{minor}{model}{way}")
    }

    fn way(self, rancher: &Rancher) -> Way {
        if self.keyless {
            let operator = "system:serviceaccount:rancher-access-system:operator";
            rancher.bind_cluster_admin(operator);
            let user = User::new(operator, &["system:serviceaccounts", "system:authenticated"]);
            let http = Box::new(Direct::new(rancher.local().service_as(user)));
            return Way {
                http,
                bearer: String::new(),
                keyless: Some(release(self.version.tag())),
                far: Some(far(rancher)),
            };
        }
        let http = Box::new(InProcess::new(rancher.service()));
        Way { http, bearer: rancher.admin_token(), keyless: None, far: Some(far(rancher)) }
    }

    /// In virtual time, on a thread of its own.
    fn run(self) -> Column {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let rancher = Rancher::builder().seed(3).version(self.version).model(self.model).build();
            rancher.set_default_roles(true);
            let context = Context::prepare(self.way(&rancher), "sim").await;
            run(&self.title(), &context, behaviours()).await
        })
    }
}

/// A cluster besides Rancher's own.
fn far(rancher: &Rancher) -> Far {
    let id = "c-m-far".to_owned();
    rancher.add_cluster(&id, "far", &[]);
    let rancher = rancher.clone();
    Far { id: id.clone(), away: Box::new(move |away| rancher.cluster_away(&id, away)) }
}

#[test]
fn the_simulator_keeps_the_contract() {
    let running: Vec<_> = Case::all().into_iter().map(|case| std::thread::spawn(move || case.run())).collect();
    let columns: Vec<Column> = running.into_iter().map(|thread| thread.join().unwrap()).collect();
    judge(&columns);
}

#[tokio::test]
async fn the_simulator_keeps_the_contract_over_https() {
    let rancher = Rancher::builder().seed(4).build();
    let served = rancher.serve().await;
    let http = Box::new(OverHttps::new(&served.url, Some(served.ca_pem.as_bytes())));
    let way = Way { http, bearer: rancher.admin_token(), keyless: None, far: None };
    let context = Context::prepare(way, "tls").await;
    // Time is real here: only what does not wait for Rancher's slower moods.
    let quick = [authentication::behaviours(), reading::behaviours(), refusals::behaviours()];
    judge(&[run("https", &context, quick.into_iter().flatten().collect()).await]);
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
    let http = Box::new(OverHttps::new(&url, ca.as_deref()));
    let way = Way { http, bearer: token, keyless: None, far: None };
    let context = Context::prepare(way, &prefix).await;
    judge(&[run("real", &context, behaviours()).await]);
}
