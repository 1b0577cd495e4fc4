//! Tells those who decided what became of it: in the status of their AccessDecision, once.

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tracing::{debug, info};

use crate::{
    api::{AccessDecision, AccessDecisionStatus, AccessGrant, decision::DecisionReason},
    controller::{Context, brief, find, is_absent},
    grant::{Answer, GrantKey, Wake},
};

/// How soon what could not be looked at is looked at again.
const AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

/// Gives the answers. What fails is given by a later pass: nothing depends on it, for what counts stands in the grant.
pub(super) async fn give(ctx: &Context, grant: &AccessGrant, key: &GrantKey, answers: &[Answer]) -> bool {
    let waiting = ctx.decisions.about(key);
    let mut all = true;
    for answer in answers {
        let Some(decision) = waiting.iter().find(|d| d.metadata.uid.as_deref() == Some(&answer.uid)) else { continue };
        let given = match own(ctx, grant, decision).await {
            // It changed meanwhile, or nobody answers: again.
            Err(error) if !is_refusal(&error) => Err(error),
            // Some API servers let only those set an owner who may delete: whoever decided is told all the same.
            Ok(()) | Err(_) => tell(ctx, decision, &answer.status).await,
        };
        all &= done(ctx, decision, &answer.status, given);
    }
    all
}

fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 403 | 422))
}

/// Decisions about a grant that there is not, as the API server itself says.
pub(super) async fn nobody(ctx: &Context, key: &GrantKey) {
    let waiting = ctx.decisions.about(key);
    if waiting.is_empty() {
        return;
    }
    let api: Api<AccessGrant> = Api::namespaced(ctx.client.clone(), &key.namespace);
    match find(&api, &key.name).await {
        Ok(Some(found)) => {
            ctx.grants.observe(found);
            ctx.queue.push(key.clone());
            return;
        }
        Ok(None) => {}
        Err(error) => {
            debug!(grant = %key, error = brief(&error), "Whether there is such a grant cannot be read yet");
            if let Wake::At(again) = Wake::after(ctx.now(), AGAIN) {
                ctx.queue.push_at(key.clone(), again);
            }
            return;
        }
    }
    let message = format!(
        "There is no AccessGrant {} in this namespace, so nothing was decided: kubectl get agrant shows those there are.",
        key.name
    );
    let status = AccessDecisionStatus {
        counted: Some(false),
        reason: Some(DecisionReason::GrantNotFound),
        message: Some(message),
    };
    for decision in waiting {
        let given = tell(ctx, &decision, &status).await;
        done(ctx, &decision, &status, given);
    }
}

/// Says whether it is over with.
fn done(
    ctx: &Context,
    decision: &AccessDecision,
    status: &AccessDecisionStatus,
    given: Result<(), kube::Error>,
) -> bool {
    let (namespace, name) = (decision.namespace().unwrap_or_default(), decision.name_any());
    match given {
        Ok(()) => {
            info!(
                namespace,
                decision = name,
                grant = decision.spec.grant_ref.name,
                by = decision.spec.decided_by.username,
                verdict = ?decision.spec.decision,
                reason = ?status.reason,
                message = status.message,
                "Decision answered"
            );
            ctx.decisions.answered(&namespace, &name);
            true
        }
        // It is gone, or another one has that name by now: the watch tells.
        Err(error) if is_absent(&error) => true,
        Err(error) => {
            debug!(
                namespace,
                decision = name,
                error = brief(&error),
                "The answer to a decision could not be written yet"
            );
            false
        }
    }
}

/// The grant owns what was decided about it, so that both go together.
async fn own(ctx: &Context, grant: &AccessGrant, decision: &AccessDecision) -> Result<(), kube::Error> {
    let mut owners = decision.metadata.owner_references.clone().unwrap_or_default();
    let Some(reference) = grant.owner_ref(&()) else { return Ok(()) };
    if owners.iter().any(|owner| owner.uid == reference.uid) {
        return Ok(());
    }
    owners.push(reference);
    let meta = &decision.metadata;
    let patch =
        json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "ownerReferences": owners}});
    api(ctx, decision).patch(&decision.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

async fn tell(ctx: &Context, decision: &AccessDecision, status: &AccessDecisionStatus) -> Result<(), kube::Error> {
    let patch = json!({"metadata": {"uid": decision.metadata.uid}, "status": status});
    api(ctx, decision).patch_status(&decision.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

fn api(ctx: &Context, decision: &AccessDecision) -> Api<AccessDecision> {
    Api::namespaced(ctx.client.clone(), &decision.namespace().unwrap_or_default())
}
