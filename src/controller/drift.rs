//! What happens to our bindings behind our back.
//!
//! A watch by label on Rancher's own cluster tells when one of ours goes or changes; then the grants that name it look for
//! themselves. The labels are hints only: a binding that loses its label seems to go, and the look finds it there.
//!
//! Where Rancher allows two equal bindings, others' are watched too: one that is new may be equal to one of ours, which
//! then yields to it. Whether it is, the sweep sees.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, GroupVersionKind, PartialObjectMeta},
    core::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Context, connection::Connection, words};
use crate::{
    api::{
        LABEL_INSTALLATION,
        status::{BindingKind, BindingState},
    },
    grant::GrantView,
    rancher::identity::equals_are_legal,
};

const KINDS: [(BindingKind, &str, &str); 2] = [
    (BindingKind::ClusterRoleTemplateBinding, "ClusterRoleTemplateBinding", "clusterroletemplatebindings"),
    (BindingKind::ProjectRoleTemplateBinding, "ProjectRoleTemplateBinding", "projectroletemplatebindings"),
];

/// How long after it was first seen somebody else's binding may still become equal to one of ours: Rancher fills in the
/// other forms of its subject (0.1 s on 2.15.0).
const NEW: Duration = Duration::from_secs(10);

/// Watches both kinds of bindings on one Rancher until `shutdown`.
pub async fn run(ctx: Arc<Context>, integration: String, connection: Arc<Connection>, shutdown: CancellationToken) {
    let watches = KINDS.map(|kind| watch(&ctx, &integration, &connection, kind, &shutdown));
    futures::future::join_all(watches).await;
}

async fn watch(
    ctx: &Context,
    integration: &str,
    connection: &Connection,
    kind: (BindingKind, &str, &str),
    shutdown: &CancellationToken,
) {
    let (kind, name, plural) = kind;
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("management.cattle.io", "v3", name), plural);
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(connection.rancher.kube_client(), &resource);
    let selector = format!("{LABEL_INSTALLATION}={}", ctx.installation.id);
    let config = match equals_are_legal(words::kind(kind), connection.version.as_deref()) {
        true => watcher::Config::default(),
        false => watcher::Config::default().labels(&selector),
    };
    let mut events = watcher(api, config).default_backoff().boxed();
    let ours = |binding: &PartialObjectMeta<DynamicObject>| {
        binding.labels().get(LABEL_INSTALLATION).is_some_and(|id| *id == ctx.installation.id)
    };
    // Since when each is known; those of the first list have been there for longer.
    let mut there: HashMap<String, Option<Instant>> = HashMap::new();
    let mut listed = false;
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Init)) => there.clear(),
            Some(Ok(watcher::Event::InitApply(binding))) => {
                if ours(&binding) {
                    unknown(ctx, integration, &binding.name_any());
                }
                there.insert(binding.name_any(), None);
            }
            // While the watch was away anything may have happened: whatever should be there and is not is looked for.
            Some(Ok(watcher::Event::InitDone)) => {
                missing(ctx, integration, kind, &there);
                if std::mem::replace(&mut listed, true) {
                    ctx.memory.sweep_of(integration).notify_one();
                }
            }
            Some(Ok(watcher::Event::Apply(binding))) if binding.metadata.deletion_timestamp.is_none() => {
                let name = binding.name_any();
                if ours(&binding) {
                    unknown(ctx, integration, &name);
                }
                let since = *there.entry(name).or_insert_with(|| Some(Instant::now()));
                if !ours(&binding) && since.is_some_and(|since| since.elapsed() < NEW) {
                    ctx.memory.sweep_of(integration).notify_one();
                }
            }
            Some(Ok(watcher::Event::Apply(binding))) => suspect(ctx, &binding.name_any(), false),
            Some(Ok(watcher::Event::Delete(binding))) => {
                there.remove(&binding.name_any());
                suspect(ctx, &binding.name_any(), true);
            }
            Some(Err(error)) => {
                debug!(integration, kind = name, %error, "The watch on Rancher was interrupted and goes on")
            }
            None => return,
        }
    }
}

/// A binding that carries our label and that no grant has to do with is swept: it may have landed late.
fn unknown(ctx: &Context, integration: &str, binding: &str) {
    let known =
        ctx.grants.naming(binding).iter().any(|grant| GrantView::from(grant.as_ref()).is_concerned_with(binding));
    if !known {
        ctx.memory.sweep_of(integration).notify_one();
    }
}

fn missing(ctx: &Context, integration: &str, kind: BindingKind, there: &HashMap<String, Option<Instant>>) {
    for grant in ctx.grants.of_integration(integration) {
        let bindings = grant.status.iter().flat_map(|s| &s.bindings);
        for binding in
            bindings.filter(|b| b.kind == kind && b.state == BindingState::Present && !there.contains_key(&b.name))
        {
            suspect(ctx, &binding.name, false);
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
