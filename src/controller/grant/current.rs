//! Whether a grant still is as this pass sees it, asked before a create: a list may be old when it is shown, and what it shows
//! as asked for may have ended long since. To take away nothing is asked; what has ended never un-ends.

use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::{act::Hand, holders, wait::Waiting};
use crate::{
    api::AccessGrant,
    controller::operator,
    grant::{GrantView, Progress},
};

/// How long what this pass wrote counts: the write was refused had the grant been another by then.
const WRITTEN_FOR: Duration = Duration::from_secs(10);

/// A grant as the API server had it when this pass last read or wrote it.
pub(super) struct Stood<'a> {
    /// As it stood.
    pub grant: GrantView,
    /// Its resourceVersion.
    pub revision: Option<&'a str>,
    /// When this pass itself wrote it.
    pub written: Option<Instant>,
}

/// How the grant stands at the API server.
pub(super) enum Current {
    /// As it was read.
    Same,
    /// Otherwise, or it is gone. That is taken in.
    Changed,
    /// That cannot be known: nothing is created.
    Unknown(Progress),
}

/// Asks, unless this pass wrote it a moment ago.
pub(super) async fn look(hand: &Hand<'_>) -> Current {
    let Some(stood) = &hand.stood else { return Current::Changed };
    if stood.written.is_some_and(|written| written.elapsed() < WRITTEN_FOR) {
        return Current::Same;
    }
    let GrantView { key, uid, .. } = &stood.grant;
    match holders::live(hand.ctx, key).await {
        Some(Some(AccessGrant { metadata: found, .. }))
            if found.uid.as_ref() == Some(uid) && found.resource_version.as_deref() == stood.revision =>
        {
            Current::Same
        }
        Some(found) => {
            debug!(grant = %key, there = found.is_some(), "The grant is not as it was read: it is looked at as it stands");
            if found.is_none() {
                operator::gone(hand.ctx, key, Some(uid));
            }
            Current::Changed
        }
        None => {
            let message =
                "Whether this grant still stands cannot be read from the API server: nothing is created before it can.";
            Current::Unknown(Waiting::new(hand.ctx, key).progress("GrantUnreadable", message.to_owned()))
        }
    }
}
