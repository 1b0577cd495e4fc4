//! The grant that another one extends: how it stands, and who is to know when that changes.

use kube::Api;

use crate::{
    api::AccessGrant,
    controller::{Context, brief, find},
    grant::{Because, Extended, GrantKey, GrantView, Seen, extension},
    policy,
};

/// How the grant that this one extends stands. Before the intent it is read anew; after it what is known counts, and only
/// what is not known is read: that one is gone counts only where the API server says so.
pub(super) async fn look(ctx: &Context, grant: &AccessGrant, view: &GrantView) -> Extended {
    let Some(name) = &view.extends else { return Extended::NotLooked };
    if view.is_finished() || view.ended(ctx.now()).is_some() {
        // What is taken away asks nobody.
        return Extended::NotLooked;
    }
    let key = GrantKey { namespace: view.key.namespace.clone(), name: name.clone() };
    let known = ctx.grants.get(&key).filter(|_| view.is_recorded());
    if let Some(known) = known {
        return seen(ctx, grant, &known);
    }
    let api: Api<AccessGrant> = Api::namespaced(ctx.client.clone(), &key.namespace);
    match find(&api, name).await {
        Ok(Some(found)) => {
            ctx.grants.observe(found.clone());
            seen(ctx, grant, &found)
        }
        Ok(None) => Extended::Missing,
        Err(error) => {
            let message =
                format!("The grant {name}, which this one extends, cannot be read: {}. Tried again.", brief(&error));
            Extended::Unknown(Because::new("ExtendedGrantUnknown", message))
        }
    }
}

fn seen(ctx: &Context, grant: &AccessGrant, extended: &AccessGrant) -> Extended {
    let integration = ctx.integrations.get(&grant.spec.integration_ref.name);
    let mapping = integration.as_ref().and_then(|integration| integration.spec.identity_mapping.as_ref());
    let differs = policy::difference(&grant.spec, &extended.spec, mapping);
    Extended::Seen(Box::new(Seen { grant: GrantView::from(extended), differs }))
}

/// A grant changed, or is gone: those that extend it look at it.
pub fn tell(ctx: &Context, key: &GrantKey) {
    for extension in ctx.grants.extending(key) {
        let view = GrantView::from(extension.as_ref());
        if !view.is_finished() {
            ctx.queue.push(view.key);
        }
    }
}

/// Whether some grant that extends this one has yet to end with it: until then this one's record must stay. They are
/// told again.
pub(super) fn is_waited_for(ctx: &Context, view: &GrantView) -> bool {
    let now = ctx.now();
    let waits = ctx
        .grants
        .extending(&view.key)
        .iter()
        .any(|extension| extension::must_see(now, view, &GrantView::from(extension.as_ref())));
    if waits {
        tell(ctx, &view.key);
    }
    waits
}
