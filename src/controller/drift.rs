//! What happens to our bindings behind our back.
//!
//! A watch by label on Rancher's own cluster tells when one of ours goes or changes; then the grants that name it look for
//! themselves. The labels are hints only: a binding that loses its label seems to go, and the look finds it there.

use std::{collections::BTreeSet, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, GroupVersionKind, PartialObjectMeta},
    core::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Context, connection::Connection, grants};
use crate::{
    api::{
        LABEL_INSTALLATION,
        status::{BindingKind, BindingState},
    },
    grant::GrantView,
};

const KINDS: [(BindingKind, &str, &str); 2] = [
    (BindingKind::ClusterRoleTemplateBinding, "ClusterRoleTemplateBinding", "clusterroletemplatebindings"),
    (BindingKind::ProjectRoleTemplateBinding, "ProjectRoleTemplateBinding", "projectroletemplatebindings"),
];

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
    let mut events = watcher(api, watcher::Config::default().labels(&selector)).default_backoff().boxed();
    let mut there = BTreeSet::new();
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Init)) => there.clear(),
            Some(Ok(watcher::Event::InitApply(binding))) => {
                unknown(ctx, integration, &binding.name_any());
                there.insert(binding.name_any());
            }
            // While the watch was away anything may have happened: whatever should be there and is not is looked for.
            Some(Ok(watcher::Event::InitDone)) => missing(ctx, integration, kind, &there),
            Some(Ok(watcher::Event::Apply(binding))) if binding.metadata.deletion_timestamp.is_none() => {
                unknown(ctx, integration, &binding.name_any());
                awaited(ctx, &binding.name_any());
            }
            Some(Ok(watcher::Event::Apply(binding))) => suspect(ctx, &binding.name_any()),
            Some(Ok(watcher::Event::Delete(binding))) => {
                suspect(ctx, &binding.name_any());
                awaited(ctx, &binding.name_any());
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

fn missing(ctx: &Context, integration: &str, kind: BindingKind, there: &BTreeSet<String>) {
    for grant in ctx.grants.of_integration(integration) {
        let bindings = grant.status.iter().flat_map(|s| &s.bindings);
        for binding in
            bindings.filter(|b| b.kind == kind && b.state == BindingState::Present && !there.contains(&b.name))
        {
            suspect(ctx, &binding.name);
        }
    }
}

/// Has every grant that is to take that binding away look at it: it has its finalizers, or is gone.
fn awaited(ctx: &Context, binding: &str) {
    let now = ctx.now();
    for grant in ctx.grants.naming(binding) {
        let view = GrantView::from(grant.as_ref());
        if view.is_concerned_with(binding) && view.ended(now).is_some() {
            ctx.queue.push(grants::key_of(&grant));
        }
    }
}

/// Has every grant that counts on that binding look at it.
fn suspect(ctx: &Context, binding: &str) {
    let now = ctx.now();
    for grant in ctx.grants.naming(binding) {
        let view = GrantView::from(grant.as_ref());
        if view.is_concerned_with(binding) && view.ended(now).is_none() {
            ctx.memory.suspect(binding, &view.key);
            ctx.queue.push(grants::key_of(&grant));
        }
    }
}
