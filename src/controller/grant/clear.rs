//! After a binding's 404: what Rancher left behind of it, and what it took away from others.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    act::{Case, Hand},
    wait::Waiting,
};
use crate::{
    api::{
        ANNOTATION_TOUCHED,
        status::{BindingRecord, BindingState},
    },
    controller::{connection::Connection, words},
    grant::{Progress, name::SubjectKey, record::whole_seconds},
    rancher::{
        Error, Sighting,
        leftovers::{Looked, Trace},
        wire::{Binding, Subject},
    },
};

/// How long after a look that found something the second one follows: long enough for what Rancher still does late.
const SECOND_LOOK: Duration = Duration::from_secs(10);

/// How deep roles are followed to those that they inherit.
const INHERITED: usize = 64;

/// Clears what was left behind, touches the survivors, and settles the binding; or says what that waits for.
pub(super) async fn clear(hand: &Hand<'_>, case: &mut Case) -> Progress {
    let name = case.record.name.clone();
    let waiting = Waiting::new(hand.ctx, &hand.grant.key);
    let target = words::access(&case.record).target();
    if hand.ctx.memory.is_cleared(&name) {
        return removed(hand, case);
    }
    let second = hand.ctx.memory.second_look(&name);
    if let Some(due) = second.filter(|due| *due > Instant::now()) {
        return waiting.in_(due - Instant::now(), "SecondLook", second_look_words(&target));
    }
    let cleared = match cleared(hand, case).await {
        Ok(cleared) => cleared,
        Err(message) => {
            return waiting.progress(
                "DownstreamUnverified",
                format!("{target}: the binding is gone from Rancher, but {message}"),
            );
        }
    };
    touch(hand, case).await;
    // Who ended it otherwise may have kept Rancher from cleaning up, by stripping its finalizers first.
    let clean = hand.ctx.memory.take_clean_delete(&name) || case.record.uid.is_none();
    if cleared > 0 || (second.is_none() && !clean) {
        hand.ctx.memory.set_second_look(&name, Some(Instant::now() + SECOND_LOOK));
        return waiting.in_(SECOND_LOOK, "SecondLook", second_look_words(&target));
    }
    hand.ctx.memory.set_second_look(&name, None);
    hand.ctx.memory.cleared(&name);
    removed(hand, case)
}

fn removed(hand: &Hand<'_>, case: &mut Case) -> Progress {
    hand.ctx.memory.release(&case.record.name, &hand.grant.key);
    case.record.state = BindingState::Removed;
    case.record.since = whole_seconds(hand.ctx.now()).into();
    Progress::Done
}

fn second_look_words(target: &str) -> String {
    format!(
        "{target}: the binding is gone; Rancher may not have cleaned up after it, so what belongs to it downstream is looked for once more."
    )
}

/// Looks for left-overs and removes them; how many there were, or what could not be read.
async fn cleared(hand: &Hand<'_>, case: &Case) -> Result<usize, String> {
    let Some(proof) = &case.proof else {
        return Err("Rancher has not said so in so many words yet. Looked for again".to_owned());
    };
    let (rancher, cluster) = (&hand.connection.rancher, &case.record.cluster);
    let clusters = &hand.connection.clusters;
    if !clusters.answers(cluster) && !is_gone(hand.connection, cluster).await {
        return Err(format!(
            "cluster {cluster} does not answer, so what it left behind there cannot be read. Looked for again until the cluster answers, or is removed from Rancher"
        ));
    }
    let trace = Trace {
        binding: words::reference(&case.record),
        cluster: case.record.cluster.clone(),
        subject: case.named.clone(),
        roles: roles(hand.connection, &case.record.role).await,
    };
    let Looked { found, unreadable } = rancher.leftovers(&trace).await;
    if unreadable.iter().any(|place| place.cluster == *cluster && place.error.is_transient()) {
        clusters.failed(cluster);
    }
    let removal = rancher.remove_leftovers(&trace, &found, proof).await.map_err(|error| error.to_string())?;
    for left in &removal.removed {
        warn!(grant = %hand.grant.key, binding = %trace.binding, leftover = %left, "Rancher left this behind; it was removed");
    }
    if let Some((left, error)) = removal.failed.first() {
        return Err(format!("{left}, which Rancher left behind, cannot be removed: {error}"));
    }
    for place in &unreadable {
        if is_gone(hand.connection, &place.cluster).await {
            continue;
        }
        return Err(format!(
            "what it left behind on cluster {} cannot be read, so the access may still work there: {}. Looked for again until the cluster answers, or is removed from Rancher",
            place.cluster, place.error
        ));
    }
    Ok(found.len())
}

/// Whether the cluster is proven to be gone from Rancher, and with it all access through Rancher.
async fn is_gone(connection: &Connection, cluster: &str) -> bool {
    matches!(connection.rancher.cluster(cluster).await, Ok(Sighting::Gone(_)))
}

/// The role and all that it inherits: Rancher names some objects after them. What cannot be read is left out, for the
/// owner labels find the rest.
async fn roles(connection: &Connection, role: &str) -> Vec<String> {
    let (mut known, mut ask) = (BTreeSet::from([role.to_owned()]), vec![role.to_owned()]);
    while let Some(role) = ask.pop() {
        if let Ok(Some(template)) = connection.rancher.role_template(&role).await {
            for inherited in template.role_template_names {
                if known.len() < INHERITED && known.insert(inherited.clone()) {
                    ask.push(inherited);
                }
            }
        }
    }
    known.into_iter().collect()
}

/// Touches every other binding of that subject in that cluster. Rancher lets bindings share downstream objects and
/// deletes those with the first that goes; it makes them again for a binding that changes (seen on 2.15.0, within 2 s).
/// A touch that fails is kept in the record and done later: it delays nothing.
async fn touch(hand: &Hand<'_>, case: &mut Case) {
    let touched = touch_survivors(hand.connection, &case.named, &case.record, &hand.ctx.now().to_string()).await;
    case.record.touch_pending = touched.is_err();
    match touched {
        Ok(survivors) => {
            let equal = survivors.iter().find(|b| words::access_of(b) == words::access(&case.record));
            case.record.residual = equal.map(|b| format!("{}/{}", b.meta.namespace, b.meta.name));
            let count = survivors.len();
            info!(grant = %hand.grant.key, binding = case.record.name, count, "Touched the subject's other bindings");
        }
        Err(error) => {
            warn!(grant = %hand.grant.key, binding = case.record.name, %error, "Cannot touch the subject's other bindings yet")
        }
    }
}

/// The same for a record alone, later.
pub(super) async fn touch_later(
    connection: &Connection,
    record: &BindingRecord,
    time: &str,
) -> Result<Vec<Binding>, Error> {
    let Ok(subject) = record.subject.parse::<SubjectKey>() else { return Ok(Vec::new()) };
    touch_survivors(connection, &words::subject(&subject), record, time).await
}

async fn touch_survivors(
    connection: &Connection,
    subject: &Subject,
    record: &BindingRecord,
    time: &str,
) -> Result<Vec<Binding>, Error> {
    let rancher = &connection.rancher;
    let survivors = rancher.survivors(subject, &record.cluster, &words::reference(record)).await?;
    let mut failed = None;
    for survivor in &survivors {
        match rancher.touch_binding(&survivor.reference(), ANNOTATION_TOUCHED, time).await {
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(survivors), Err)
}
