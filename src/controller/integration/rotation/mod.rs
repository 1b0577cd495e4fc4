//! The life of the operator's own key: a new one in good time, proven before the old one goes.
//!
//! All that a crash must not forget stands in an annotation of the Secret itself ([`record`]), written under the Secret's
//! resourceVersion. Each attempt begins with that write: whoever began earlier, and has not written his key by then, can no
//! longer write it, so that what he made is nobody's and is deleted. So the Secret holds a key that works at all times, and
//! at most one of ours beside it.

mod act;
mod error;
mod keeper;
mod plan;
mod record;
mod turn;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    api::{ConditionStatus, RancherIntegration},
    controller::{Context, connection::Connection},
    grant::Because,
    runtime::Backoff,
};

/// How often it is looked at in quiet times: clocks jump, and Secrets change hands.
const QUIET: Duration = Duration::from_secs(600);

/// How long after an attempt that failed the next one follows, at first and at most. A key lasts for weeks.
const RETRY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));

/// What the integration's status is to say of rotation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    /// Of the condition `KeyRotation`.
    pub holds: ConditionStatus,
    pub because: Because,
    /// When a key was last replaced, as far as the Secret says.
    pub rotated: Option<Timestamp>,
    /// When the key that stands now is to be replaced.
    pub next: Option<Timestamp>,
    /// The value of `spec.rotateNow` that was served last.
    pub request: Option<String>,
}

/// Whether the spec asks for rotation at all.
pub(super) fn is_asked(integration: &RancherIntegration) -> bool {
    integration.spec.api_key_rotation_days.is_some() || integration.spec.rotate_now.is_some()
}

/// Keeps one integration's key fresh until `shutdown`. `woken` when its spec or its Secret may have changed.
pub(super) async fn run(
    ctx: Arc<Context>,
    name: String,
    connection: Arc<Connection>,
    woken: Arc<Notify>,
    tell: Arc<watch::Sender<Option<Told>>>,
    shutdown: CancellationToken,
) {
    let (mut failures, began) = (0_u32, Instant::now());
    while let Some(integration) = ctx.integrations.get(&name) {
        let turn = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            turn = turn::turn(&ctx, &integration, &connection, began) => turn,
        };
        let wait = match turn {
            Ok((told, again)) => {
                failures = 0;
                say(&tell, told);
                again.min(QUIET)
            }
            Err(failure) => {
                failures = failures.saturating_add(1);
                warn!(integration = name, error = %failure, "The key could not be replaced; it is tried again");
                say(&tell, failure.told(&integration));
                Backoff::new(RETRY.0, RETRY.1, 0).delay(failures - 1)
            }
        };
        let again = Instant::now() + wait;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = woken.notified() => {
                    // Every attempt writes the Secret, and so wakes us itself: after one that failed, only a new spec counts.
                    let stands = ctx.integrations.get(&name).and_then(|now| now.metadata.generation);
                    if failures == 0 || stands != integration.metadata.generation {
                        break;
                    }
                }
                () = sleep_until(again) => break,
            }
        }
    }
}

/// What is not known at present does not change what was told.
fn say(tell: &watch::Sender<Option<Told>>, told: Option<Told>) {
    tell.send_if_modified(|before| {
        let news = told.is_some() && *before != told;
        if news {
            *before = told;
        }
        news
    });
}
