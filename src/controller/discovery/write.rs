//! Writes what is to be written, a few at a time: ten thousand objects that are new make neither grants nor the API server wait.

use std::{collections::BTreeMap, sync::Mutex, sync::PoisonError, time::Duration};

use futures::{StreamExt, stream};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Mirror, Plan,
    inventory::{Step, Surroundings},
    name, used,
};
use crate::{
    api::{LABEL_CLUSTER, LABEL_INTEGRATION, LABEL_KIND, RancherResource, RancherResourceSpec, resource::ResourceKind},
    controller::{brief, is_absent},
};

/// How many objects are written at once.
pub(super) const AT_ONCE: usize = 4;

/// How long changes are waited for that belong together; and how often it is looked though nothing was told: whether a grant
/// still uses what was removed, and whether what failed goes through by now.
const TOGETHER: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_secs(15);

impl Mirror {
    /// Keeps our objects as they should be, until `shutdown`.
    pub(super) async fn keep_writing(&self, shutdown: &CancellationToken) {
        let mut policies = self.ctx.policies.changes();
        loop {
            let look = async {
                self.look().await;
                tokio::select! {
                    () = self.changed.notified() => {}
                    _ = policies.changed() => {}
                    () = sleep(AGAIN) => {}
                }
                sleep(TOGETHER).await;
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = look => {}
            }
        }
    }

    /// Writes what differs, and tells how things stand.
    async fn look(&self) {
        if !self.may_write() || !self.ctx.policies.is_listed() {
            return;
        }
        let (around, names) = (self.surroundings(), self.inventory().names());
        let todo: Vec<_> = names.into_iter().filter(|name| self.inventory().step(name, &around).is_some()).collect();
        let failed = self.write_all(todo, &around).await;
        if !self.may_write() {
            // Not all of it may have been written.
            return;
        }
        let (counts, status, trouble) = {
            let inventory = self.inventory();
            (inventory.counts(), inventory.status(), inventory.trouble(&self.plan.interval))
        };
        for (kind, count) in counts {
            self.ctx.metrics.discovered(&self.plan.integration, kind.name(), count);
        }
        self.told.figures(status, trouble.or(failed));
    }

    fn surroundings(&self) -> Surroundings {
        let integration = &self.plan.integration;
        let policies = self.ctx.policies.all();
        let policies = policies.into_iter().filter(|policy| policy.spec.integration_ref.name == *integration).collect();
        let leftovers = self.inventory().has_leftovers();
        Surroundings {
            policies,
            used: if leftovers { used::names(&self.ctx, integration) } else { Default::default() },
        }
    }

    /// Writes all of these; what was the matter with the first that failed. Where the API server is away, the rest is left.
    async fn write_all(&self, names: Vec<String>, around: &Surroundings) -> Option<String> {
        let trouble: Mutex<(Option<String>, bool)> = Mutex::default();
        let state = &|| trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let written = stream::iter(names).map(|name| async move {
            // What is known by now counts, however long ago this began.
            let step = if state().1 || !self.may_write() { None } else { self.inventory().step(&name, around) };
            let Err(error) = self.write(&name, step).await else { return };
            let refused = matches!(&error, kube::Error::Api(status) if matches!(status.code, 400..=428));
            let error = brief(&error);
            let mut state = state();
            if state.0.is_none() {
                warn!(
                    integration = self.plan.integration,
                    name, error, "A RancherResource could not be written; it is tried again"
                );
                state.0 = Some(format!("The RancherResource {name} cannot be written: {error}."));
            }
            state.1 |= !refused;
        });
        written.buffer_unordered(AT_ONCE).collect::<()>().await;
        state().0.take()
    }

    async fn write(&self, name: &str, step: Option<Step>) -> Result<(), kube::Error> {
        let api = objects(&self.ctx.client);
        match step {
            None => {}
            Some(Step::Create(spec)) => {
                match api.create(&PostParams::default(), &object(name, &spec, &self.plan)).await {
                    Ok(_) => self.inventory().stands(name.to_owned(), *spec, true),
                    // Somebody took its labels off, or it cannot be read.
                    Err(kube::Error::Api(status)) if status.code == 409 => self.change(&api, name, *spec).await?,
                    Err(error) => return Err(error),
                }
            }
            Some(Step::Change(spec)) => self.change(&api, name, *spec).await?,
            Some(Step::Delete) => {
                delete(&api, name).await?;
                self.inventory().deleted(name);
            }
        }
        Ok(())
    }

    async fn change(
        &self,
        api: &Api<RancherResource>,
        name: &str,
        spec: RancherResourceSpec,
    ) -> Result<(), kube::Error> {
        match api.patch(name, &PatchParams::default(), &Patch::Merge(patch(&spec, &self.plan))).await {
            Ok(_) => self.inventory().stands(name.to_owned(), spec, true),
            Err(error) if is_absent(&error) => {
                self.inventory().deleted(name);
                self.changed.notify_one();
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn objects(client: &Client) -> Api<RancherResource> {
    Api::all(client.clone())
}

async fn delete(api: &Api<RancherResource>, name: &str) -> Result<(), kube::Error> {
    match api.delete(name, &DeleteParams::default()).await {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Deletes all objects of that integration, as long as it may: nothing of it is to be mirrored any more. Says how many there
/// were.
pub(super) async fn forget(client: &Client, integration: &str, may: impl Fn() -> bool) -> Result<usize, kube::Error> {
    let api = objects(client);
    let selector = format!("{LABEL_INTEGRATION}={}", name::label(integration));
    let (mut page, mut count) = (kube::api::ListParams::default().labels(&selector).limit(500), 0_usize);
    loop {
        let listed = api.list_metadata(&page).await?;
        let names: Vec<_> = listed.items.into_iter().filter_map(|object| object.metadata.name).collect();
        count = count.saturating_add(names.len());
        let deleted = stream::iter(names).map(|name| {
            let (api, may) = (&api, &may);
            async move { if may() { delete(api, &name).await } else { Ok(()) } }
        });
        deleted.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.into_iter().collect::<Result<(), _>>()?;
        match listed.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page.continue_token = Some(next),
            None => return Ok(count),
        }
    }
}

/// The labels of an object; `None`: it has none of that key.
fn labels(spec: &RancherResourceSpec, plan: &Plan) -> [(&'static str, Option<String>); 3] {
    let cluster = match (spec.kind, &spec.cluster) {
        (ResourceKind::Cluster, _) => Some(&spec.id),
        (_, Some(cluster)) => Some(&cluster.id),
        (_, None) => None,
    };
    [
        (LABEL_INTEGRATION, Some(name::label(&plan.integration))),
        (LABEL_KIND, Some(spec.kind.name().to_owned())),
        (LABEL_CLUSTER, cluster.map(|id| name::label(id))),
    ]
}

/// Whether an object's labels and owner are as they should be, by its own spec. Other labels are others'.
pub(super) fn is_tidy(object: &RancherResource, plan: &Plan) -> bool {
    let has = object.metadata.labels.as_ref();
    let labels = labels(&object.spec, plan);
    labels.iter().all(|(key, value)| has.and_then(|labels| labels.get(*key)) == value.as_ref())
        && object.metadata.owner_references.as_deref() == Some(&[plan.owner_reference()])
}

fn object(name: &str, spec: &RancherResourceSpec, plan: &Plan) -> RancherResource {
    let mut object = RancherResource::new(name, spec.clone());
    let labels = labels(spec, plan).into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    object.metadata.labels = Some(labels.collect::<BTreeMap<_, _>>());
    object.metadata.owner_references = Some(vec![plan.owner_reference()]);
    object
}

/// A merge patch after which an object is as it should be, whatever it was: what it has not is `null`.
fn patch(spec: &RancherResourceSpec, plan: &Plan) -> Value {
    let mut fields = json!({"cluster": null, "project": null, "owner": null});
    if let (Some(fields), Value::Object(spec)) = (fields.as_object_mut(), json!(spec)) {
        fields.extend(spec);
    }
    let labels: BTreeMap<_, _> = labels(spec, plan).into();
    json!({"metadata": {"labels": labels, "ownerReferences": [plan.owner_reference()]}, "spec": fields})
}
