//! The life of cluster and project bindings.
use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    super::{
        Model,
        binding::{self, Finalizer, Kind},
        core::{Core, finalizers, is_terminating, lock},
        delivery::{Reference, role_is_gone, wait_for_repair},
        downstream::plan,
        grants::{self, Part},
        names, subject,
    },
    Meaning, Memory, duplicates, follow,
    status::{rancher_side, settle},
    with,
};

/// Follows one kind of binding.
pub(super) fn run(core: Arc<Core>, kind: Kind) -> impl Future<Output = ()> + Send {
    let mut memory = Memory::default();
    let shared = Arc::clone(&core);
    follow(&core, "local", &kind.gvr(), move |tasks, event| {
        let meaning = memory.judge(&event);
        let object = event.object;
        if matches!(meaning, Meaning::New | Meaning::Touched | Meaning::Stripped) {
            duplicates::follow(tasks, &shared, kind, &object);
        }
        match meaning {
            Meaning::New => with(tasks, &shared, |core| live(core, kind, object)),
            Meaning::Going => with(tasks, &shared, |core| end(core, kind, object)),
            Meaning::Touched => with(tasks, &shared, |core| touch(core, kind, object)),
            Meaning::Stripped => with(tasks, &shared, |core| restore(core, kind, object)),
            Meaning::Nothing => {}
        }
    })
}

/// Makes what the binding is to have; what a server refuses is made at the next touch.
async fn ensure(core: &Core, kind: Kind, binding: &Value, model: Model, part: Part) {
    for grant in plan(core, kind, binding, model) {
        if grant.part == part {
            let _ = grant.ensure(core).await;
        }
    }
}

async fn live(core: Arc<Core>, kind: Kind, binding: Value) {
    migrate(&core, kind, &binding).await;
    match core.model() {
        Model::Legacy => live_legacy(&core, kind, binding).await,
        Model::Aggregated => live_aggregated(&core, kind, binding).await,
    }
}

/// 0.03 s two finalizers, 0.10 subject and Rancher's side, 0.17 third finalizer and access, 0.25 the rest. The view in the
/// Fleet workspace comes at 0.16 from what was cached, whether the binding is still there or not.
async fn live_legacy(core: &Core, kind: Kind, mut cached: Value) {
    let it = Reference::of(&kind.gvr(), &cached);
    core.pause(30).await;
    first_finalizers(core, kind, &it).await;
    core.pause(70).await;
    if it.alive(core).is_some() {
        cached = rancher_side(core, kind, &it, cached).await;
        ensure(core, kind, &cached, Model::Legacy, Part::Management).await;
    }
    core.pause(60).await;
    ensure(core, kind, &cached, Model::Legacy, Part::Fleet).await;
    core.pause(10).await;
    let cluster = kind.cluster(&cached);
    await_cluster(core, &cluster).await;
    if it.alive(core).is_none() || !it.add_finalizer(core, &downstream_finalizer(core, kind, &cluster)).await {
        return;
    }
    ensure(core, kind, &cached, Model::Legacy, Part::Downstream).await;
    core.pause(80).await;
    settle(core, kind, &it).await;
}

/// 0.03 s all rights, from what was cached; 0.24 the first finalizers, 0.36 `summary` Completed, 0.49 the last finalizer.
async fn live_aggregated(core: &Core, kind: Kind, mut cached: Value) {
    let it = Reference::of(&kind.gvr(), &cached);
    core.pause(30).await;
    if let Some(fields) = subject::fill(core, &cached).await.as_object() {
        for (name, value) in fields {
            cached[name.as_str()] = value.clone();
        }
    }
    for part in [Part::Downstream, Part::Management, Part::Fleet] {
        ensure(core, kind, &cached, Model::Aggregated, part).await;
    }
    core.pause(210).await;
    if it.alive(core).is_none() {
        return;
    }
    first_finalizers(core, kind, &it).await;
    core.pause(60).await;
    let Some(stored) = it.alive(core) else {
        return;
    };
    rancher_side(core, kind, &it, stored).await;
    core.pause(60).await;
    settle(core, kind, &it).await;
    core.pause(130).await;
    let cluster = kind.cluster(&cached);
    await_cluster(core, &cluster).await;
    if it.alive(core).is_some() {
        it.add_finalizer(core, &downstream_finalizer(core, kind, &cluster)).await;
        ensure(core, kind, &cached, Model::Aggregated, Part::Downstream).await;
    }
}

/// The finalizers of this release in the model in force.
fn expected(core: &Core, kind: Kind, cluster: &str) -> Vec<Finalizer> {
    kind.finalizers(core.version(), core.model(), cluster)
}

/// Puts on those that Rancher's own cluster is responsible for.
async fn first_finalizers(core: &Core, kind: Kind, it: &Reference) {
    let Some(binding) = it.alive(core) else {
        return;
    };
    for one in expected(core, kind, &kind.cluster(&binding)).iter().filter(|one| !one.is_downstream()) {
        it.add_finalizer(core, &one.name).await;
    }
}

/// The one that the target cluster's controllers put on: the last.
fn downstream_finalizer(core: &Core, kind: Kind, cluster: &str) -> String {
    let all = expected(core, kind, cluster).into_iter();
    all.filter(Finalizer::is_downstream).map(|one| one.name).collect()
}

/// Whether the target cluster's controllers have seen to a binding, in whichever model.
fn is_realised(core: &Core, kind: Kind, binding: &Value) -> bool {
    let on = finalizers(binding);
    on.contains(&downstream_finalizer(core, kind, &kind.cluster(binding)))
}

/// Waits until Rancher reaches the cluster; one that is gone is not waited for.
async fn await_cluster(core: &Core, cluster: &str) {
    let mut ticks = core.repaired.subscribe();
    let away = || core.server(cluster).is_some() && !core.reaches(cluster);
    let waits = away();
    while away() {
        if ticks.changed().await.is_err() {
            return;
        }
    }
    if waits {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Any update makes Rancher look again, and make what is missing.
async fn touch(core: Arc<Core>, kind: Kind, binding: Value) {
    core.pause(300).await;
    let it = Reference::of(&kind.gvr(), &binding);
    let Some(binding) = it.alive(&core) else {
        return;
    };
    // Not yet realised: its own life does that.
    if !is_realised(&core, kind, &binding) {
        return;
    }
    migrate(&core, kind, &binding).await;
    for part in [Part::Management, Part::Downstream] {
        ensure(&core, kind, &binding, core.model(), part).await;
    }
}

/// A binding that was realised in the other model loses what it got there when Rancher next looks at it: its own controller
/// makes it anew. Its label says which model that was.
async fn migrate(core: &Core, kind: Kind, binding: &Value) {
    let aggregated = core.model() == Model::Aggregated;
    let was_aggregated = binding["metadata"]["labels"][names::AGGREGATION] == "true";
    let switches = core.version().switches_models();
    if !switches || aggregated == was_aggregated || !is_realised(core, kind, binding) {
        return;
    }
    for part in [Part::Downstream, Part::Management, Part::Fleet] {
        let _ = grants::clean(core, kind, binding, part).await;
    }
    let label = if aggregated { json!("true") } else { Value::Null };
    let it = Reference::of(&kind.gvr(), binding);
    it.write(core, "", |object| {
        let there = object["metadata"]["labels"][names::AGGREGATION] == label;
        (!there).then(|| json!({"metadata": {"labels": {names::AGGREGATION: label}}}))
    })
    .await;
}

/// Of its finalizers Rancher puts back those that say nothing of having been there: one from 2.14, none before in the legacy
/// model, both in the aggregated one.
async fn restore(core: Arc<Core>, kind: Kind, binding: Value) {
    core.pause(1000).await;
    let it = Reference::of(&kind.gvr(), &binding);
    for one in expected(&core, kind, &kind.cluster(&binding)).iter().filter(|one| one.comes_back()) {
        if it.alive(&core).is_some() {
            it.add_finalizer(&core, &one.name).await;
        }
    }
}

/// 0.1 s after the delete: each finalizer's handler takes back what is its own. A cluster that is away is waited for last.
async fn end(core: Arc<Core>, kind: Kind, binding: Value) {
    core.pause(90).await;
    let it = Reference::of(&kind.gvr(), &binding);
    if role_is_gone(&core, &binding) {
        wait_for_repair(&core, &binding).await;
    }
    let cluster = kind.cluster(&binding);
    let away = core.server(&cluster).is_some() && !core.reaches(&cluster);
    let mut steps = expected(&core, kind, &cluster);
    // Nearest to the access first; what cannot be done yet last.
    steps.sort_by_key(|one| one.is_downstream() == away);
    for one in steps {
        let finalizer = one.name.clone();
        let Some(now) = it.read(&core) else {
            return;
        };
        if !finalizers(&now).contains(&finalizer) {
            continue;
        }
        if one.is_downstream() {
            await_cluster(&core, &cluster).await;
        }
        for part in one.parts {
            let _ = grants::clean(&core, kind, &now, *part).await;
        }
        it.drop_finalizer(&core, &finalizer).await;
    }
}

/// Makes what bindings that `which` picks are missing: after a namespace came, or a cluster, or a role changed.
pub(in super::super) async fn resync(core: Arc<Core>, which: impl Fn(Kind, &Value) -> bool + Send) {
    let picked: Vec<(Kind, Value)> = binding::all(&core)
        .into_iter()
        .filter(|(kind, object)| !is_terminating(object) && which(*kind, object))
        .collect();
    for (kind, object) in picked {
        if is_realised(&core, kind, &object) && !*lock(&core.webhook_down) {
            for part in [Part::Management, Part::Downstream] {
                ensure(&core, kind, &object, core.model(), part).await;
            }
        }
    }
}
