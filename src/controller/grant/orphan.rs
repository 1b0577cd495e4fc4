//! A binding that is ours by name and that no grant holds: it is taken away like any other, from a record made of what
//! it says itself.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::sleep;

use super::act::Hand;
use crate::{
    api::{
        AccessGrantStatus,
        status::{BindingRecord, BindingState, End, EndReason},
    },
    controller::{Context, connection::Connection, words},
    grant::{GrantKey, GrantView, Progress, binding::Goal, name::Target, view::Summary},
    rancher::wire::Binding,
};

/// Takes an orphan away. Under its lock it is asked once more whether a grant holds it.
pub async fn take(ctx: &Context, integration: &str, connection: &Arc<Connection>, orphan: &Binding) -> Progress {
    let access = words::access_of(orphan);
    // Any form that proves the name will do.
    let Some(subject) = words::subjects_of(orphan).into_iter().next() else { return Progress::Done };
    let seen = orphan.meta.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH);
    let record = BindingRecord {
        kind: access.target.kind(),
        cluster: access.target.cluster().to_owned(),
        project: match access.target {
            Target::Project { project, .. } => Some(project),
            _ => None,
        },
        namespace: orphan.meta.namespace.clone(),
        name: orphan.meta.name.clone(),
        uid: Some(orphan.meta.uid.clone()),
        subject: subject.to_string(),
        subject_uid: None,
        role: access.role,
        // What its role said then, nobody knows any more.
        reaches_clusters: true,
        state: BindingState::Present,
        since: seen.into(),
        touch_pending: false,
        unverified: false,
        lacked_finalizers: false,
        residual: None,
    };
    let now = ctx.now();
    let nobody = GrantView {
        key: GrantKey { namespace: String::new(), name: format!("orphan {}", orphan.meta.name) },
        uid: String::new(),
        generation: None,
        created: seen,
        deleted: None,
        finalizer: false,
        start_time: None,
        end_time: None,
        extends: None,
        requester: String::new(),
        local_user: None,
        dry_run: false,
        abandoned: false,
        summary: Summary::default(),
        status: AccessGrantStatus {
            bindings: vec![record],
            end: Some(End { reason: EndReason::Deleted, time: now.into() }),
            ..AccessGrantStatus::default()
        },
    };
    let hand = Hand { ctx, grant: &nobody, integration, connection, may_grant: &Ok(()), clears: true, stood: None };
    let progress = loop {
        match hand.settle(Goal::Take).await.outcome {
            Ok(progress) => break progress,
            // It has no place that others could want.
            Err(wait) => sleep(wait).await,
        }
    };
    ctx.memory.forget(&nobody.key);
    progress.into_iter().next().unwrap_or(Progress::Done)
}
