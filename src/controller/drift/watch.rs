//! One watch on one kind of binding.

use std::{collections::HashMap, time::Duration};

use kube::{
    Api, ResourceExt,
    api::{ApiResource, GroupVersionKind, PartialObjectMeta},
    core::DynamicObject,
    runtime::watcher,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    api::{
        LABEL_INSTALLATION,
        status::{BindingRecord, BindingState},
    },
    controller::{Context, connection::Connection, watch, words},
    grant::GrantView,
    rancher::wire::BindingKind,
};

/// How long after it was first seen somebody else's binding may still become equal to one of ours: Rancher fills in the
/// other forms of its subject (0.1 s on 2.15.0).
const NEW: Duration = Duration::from_secs(10);

type Seen = PartialObjectMeta<DynamicObject>;

/// A binding that is there.
#[derive(Default)]
struct Known {
    /// Since when; `None` for those of the first list, which have been there for longer.
    since: Option<Instant>,
    /// Whether all finalizers that Rancher cleans up by were once seen on it.
    complete: bool,
}

pub(super) struct Watch<'a> {
    ctx: &'a Context,
    integration: &'a str,
    connection: &'a Connection,
    kind: BindingKind,
    cluster: &'a str,
    /// Whether others' bindings are watched too.
    others: bool,
    there: HashMap<String, Known>,
    listed: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        ctx: &'a Context,
        integration: &'a str,
        connection: &'a Connection,
        kind: BindingKind,
        cluster: &'a str,
    ) -> Self {
        let others = connection.release.duplicates_at_risk(kind);
        Self { ctx, integration, connection, kind, cluster, others, there: HashMap::new(), listed: false }
    }

    /// Watches until `shutdown`.
    pub(super) async fn run(mut self, client: kube::Client, shutdown: &CancellationToken) {
        let gvk = GroupVersionKind::gvk(self.kind.group(), self.kind.version(), self.kind.kind());
        let resource = ApiResource::from_gvk_with_plural(&gvk, self.kind.resource());
        let api: Api<Seen> = Api::all_with(client, &resource);
        let ours = format!("{LABEL_INSTALLATION}={}", self.ctx.installation.id);
        let config = watcher::Config::default();
        let config = if self.others { config } else { config.labels(&ours) };
        // What a watch lost is found by the sweep.
        watch::follow(api, config, None, shutdown, |event| match event {
            Ok(event) => self.take(event),
            Err(error) => {
                let (integration, cluster, kind) = (self.integration, self.cluster, self.kind);
                let error = self.connection.rancher.told(&error);
                debug!(integration, %kind, cluster, error, "The watch on Rancher was interrupted and goes on");
            }
        })
        .await;
    }

    fn take(&mut self, event: watcher::Event<Seen>) {
        match event {
            watcher::Event::Init => self.there.clear(),
            watcher::Event::InitApply(binding) => self.seen(&binding, None),
            watcher::Event::InitDone => {
                // While the watch was away anything may have happened: whatever should be there and is not is looked for.
                self.missing();
                if std::mem::replace(&mut self.listed, true) {
                    self.sweep();
                }
            }
            watcher::Event::Apply(binding) if binding.metadata.deletion_timestamp.is_none() => {
                self.seen(&binding, Some(Instant::now()));
                let since = self.there.get(&binding.name_any()).and_then(|known| known.since);
                awaited(self.ctx, &binding.name_any());
                if !self.is_ours(&binding) && since.is_some_and(|since| since.elapsed() < NEW) {
                    self.sweep();
                }
            }
            watcher::Event::Apply(binding) => suspect(self.ctx, &binding.name_any(), false),
            watcher::Event::Delete(binding) => {
                let name = binding.name_any();
                if self.there.remove(&name).is_some_and(|known| !known.complete) {
                    self.ctx.memory.lacked_finalizers(&name);
                }
                suspect(self.ctx, &name, true);
            }
        }
    }

    /// It is there, and not going.
    fn seen(&mut self, binding: &Seen, since: Option<Instant>) {
        let name = binding.name_any();
        let complete = if self.is_ours(binding) {
            self.unknown(&name);
            self.is_complete(binding)
        } else {
            true
        };
        let known = self.there.entry(name.clone()).or_insert(Known { since, complete });
        if known.complete && !complete {
            // They were on it, and somebody took them off.
            self.ctx.memory.lacked_finalizers(&name);
            suspect(self.ctx, &name, false);
        }
        known.complete |= complete;
    }

    fn is_ours(&self, binding: &Seen) -> bool {
        binding.labels().get(LABEL_INSTALLATION).is_some_and(|id| *id == self.ctx.installation.id)
    }

    /// Whether all finalizers that Rancher cleans up by are on it. Which they are depends on its cluster, so of what no grant
    /// records nothing is said: the sweep looks at the binding itself.
    fn is_complete(&self, binding: &Seen) -> bool {
        let name = binding.name_any();
        let record = self.ctx.grants.naming(&name).into_iter().find_map(|grant| {
            let bindings = grant.status.as_ref().map(|status| status.bindings.as_slice()).unwrap_or_default();
            bindings.iter().find(|record| record.name == name).cloned()
        });
        let Some(record) = record else { return true };
        let wanted = self.connection.release.finalizers(self.kind, &record.cluster);
        wanted.iter().all(|finalizer| binding.finalizers().contains(finalizer))
    }

    /// A binding that carries our label and that no grant has to do with is swept: it may have landed late.
    fn unknown(&self, binding: &str) {
        let grants = self.ctx.grants.naming(binding);
        if !grants.iter().any(|grant| GrantView::from(grant.as_ref()).is_concerned_with(binding)) {
            self.sweep();
        }
    }

    fn sweep(&self) {
        self.ctx.memory.sweep_of(self.integration).notify_one();
    }

    fn missing(&self) {
        // Rancher's own kinds are all in one place; of Kubernetes' own, each watch sees its cluster's.
        let here = |b: &BindingRecord| self.kind != BindingKind::Namespace || b.cluster == self.cluster;
        let gone = |b: &&BindingRecord| {
            b.kind == words::kind_of(self.kind)
                && here(b)
                && b.state == BindingState::Present
                && !self.there.contains_key(&b.name)
        };
        for grant in self.ctx.grants.of_integration(self.integration) {
            for binding in grant.status.iter().flat_map(|s| &s.bindings).filter(gone) {
                suspect(self.ctx, &binding.name, false);
            }
        }
    }
}

/// Has every grant that is to take that binding away look at it: it may have its finalizers by now.
fn awaited(ctx: &Context, binding: &str) {
    let now = ctx.now();
    for grant in ctx.grants.naming(binding) {
        let view = GrantView::from(grant.as_ref());
        if view.is_concerned_with(binding) && view.ended(now).is_some() {
            ctx.queue.push(view.key);
        }
    }
}

/// Has every grant that counts on that binding look at it; and, where it is gone, those too that wait for that.
fn suspect(ctx: &Context, binding: &str, gone: bool) {
    let now = ctx.now();
    for grant in ctx.grants.naming(binding) {
        let view = GrantView::from(grant.as_ref());
        if view.is_concerned_with(binding) && view.ended(now).is_none() {
            ctx.memory.suspect(binding, &view.key);
            ctx.queue.push(view.key);
        } else if gone && view.is_concerned_with(binding) {
            ctx.queue.push(view.key);
        }
    }
}
