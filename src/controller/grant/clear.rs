//! After a binding's 404: what Rancher left behind of it, and what it took away from others.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    act::{Case, Hand},
    gone, reach,
    wait::Waiting,
};
use crate::{
    api::{
        ANNOTATION_TOUCHED,
        condition::one_line,
        status::{BindingKind, BindingRecord, BindingState},
    },
    controller::{connection::Connection, words},
    grant::{
        Progress,
        binding::Goal,
        name::{SubjectKey, Target, membership_role},
        record::whole_seconds,
    },
    rancher::{
        Error,
        leftovers::{Looked, Trace},
        wire::{Binding, Subject},
    },
};

/// How long after a look that found something the second one follows: long enough for what Rancher still does late.
const SECOND_LOOK: Duration = Duration::from_secs(10);

/// The longest list of bindings that stayed, in bytes.
const RESIDUAL_MAX: usize = 500;

/// How deep roles are followed to those that they inherit.
const INHERITED: usize = 64;

/// Clears what was left behind, touches the survivors, and settles the binding; or says what that waits for.
pub(super) async fn clear(hand: &Hand<'_>, goal: Goal, case: &mut Case) -> Progress {
    if case.record.kind == BindingKind::RoleBinding {
        // Nobody makes anything for it: gone is gone.
        touch(hand, case).await;
        return settled(hand, goal, case);
    }
    let name = case.record.name.clone();
    let waiting = Waiting::new(hand.ctx, &hand.grant.key);
    let target = words::access(&case.record).target;
    if hand.ctx.memory.is_cleared(&name) {
        return settled(hand, goal, case);
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
    if goal == Goal::Give && case.record.touch_pending {
        // It yielded to one of them, by which the access is to go on.
        return waiting.progress("Yielding", format!("{target}: ours is gone, and what it shared with the subject's other bindings is to be made again, but Rancher does not let them be touched yet. Tried again."));
    }
    // Who ended it otherwise may have kept Rancher from cleaning up, by stripping its finalizers first.
    let clean = hand.ctx.memory.take_clean_delete(&name) || case.record.uid.is_none();
    if cleared > 0 || (second.is_none() && !clean) {
        hand.ctx.memory.set_second_look(&name, Some(Instant::now() + SECOND_LOOK));
        hand.ctx.memory.forget_clean_clusters(&name);
        return waiting.in_(SECOND_LOOK, "SecondLook", second_look_words(&target));
    }
    hand.ctx.memory.set_second_look(&name, None);
    hand.ctx.memory.cleared(&name);
    settled(hand, goal, case)
}

fn settled(hand: &Hand<'_>, goal: Goal, case: &mut Case) -> Progress {
    hand.ctx.memory.release(&case.record.name, &hand.grant.key);
    hand.ctx.memory.forget_traces(&case.record.name);
    if case.record.role == membership_role(&hand.ctx.installation.id) {
        // With the last holder the role goes too.
        hand.ctx.memory.sweep_of(hand.integration).notify_one();
    }
    case.record.state = match goal {
        Goal::Take => BindingState::Removed,
        // It yielded.
        Goal::Give => BindingState::AlreadyHeld,
    };
    case.record.since = whole_seconds(hand.ctx.now()).into();
    Progress::Done
}

fn second_look_words(target: &Target) -> String {
    format!(
        "{target}: the binding is gone; Rancher may not have cleaned up after it, so what belongs to it is looked for once more."
    )
}

/// Looks for left-overs and removes them; how many there were, or what could not be read.
async fn cleared(hand: &Hand<'_>, case: &mut Case) -> Result<usize, String> {
    let Some(proof) = case.proof.clone() else {
        return Err("Rancher has not said so in so many words yet. Looked for again".to_owned());
    };
    let reach = reach::of(hand, case).await?;
    let trace = trace(hand, case, reach.clusters, reach.stays_admin).await;
    let rancher = &hand.connection.rancher;
    let Looked { found, unreadable } = rancher.leftovers(&trace).await;
    for cluster in &trace.clusters {
        let mut unread = unreadable.iter().filter(|place| place.cluster == *cluster).peekable();
        let nothing = unread.peek().is_none() && !found.iter().any(|left| left.cluster == *cluster);
        if unread.any(|place| place.error.is_silence()) {
            hand.connection.clusters.failed(cluster);
        } else if nothing {
            hand.ctx.memory.cluster_is_clean(&case.record.name, cluster);
        }
    }
    let removal = rancher.remove_leftovers(&trace, &found, &proof).await.map_err(|error| error.to_string())?;
    for left in &removal.removed {
        warn!(grant = %hand.grant.key, binding = %trace.binding, leftover = %left, "Rancher left this behind; it was removed");
    }
    if let Some((left, error)) = removal.failed.first() {
        return Err(format!("{left}, which Rancher left behind, cannot be removed: {error}"));
    }
    if let Some(left) = found.iter().find(|left| left.going) {
        return Err(format!(
            "{left}, which Rancher made for it, is still being removed: its cluster may be away. Looked for again"
        ));
    }
    for place in &unreadable {
        if gone::cluster(hand, &place.cluster).await {
            continue;
        }
        return Err(away(&place.cluster, &place.error.to_string()));
    }
    match reach.away.first() {
        Some(cluster) => Err(away(cluster, "it does not answer")),
        None => Ok(found.len()),
    }
}

fn away(cluster: &str, why: &str) -> String {
    format!(
        "what it left behind on cluster {cluster} cannot be read, so the access may still work there: {why}. Looked for again until the cluster answers, or is removed from Rancher"
    )
}

/// What it takes to recognise what the binding left, or has, on those clusters.
pub(super) async fn trace(hand: &Hand<'_>, case: &Case, clusters: Vec<String>, stays_admin: bool) -> Trace {
    Trace {
        binding: words::reference(&case.record),
        clusters,
        stays_admin,
        subject: case.named.clone(),
        roles: roles(hand.connection, &case.record).await,
    }
}

/// The role and all that it inherits: Rancher names some objects after them. What cannot be read is left out, for the
/// owner labels find the rest.
async fn roles(connection: &Connection, record: &BindingRecord) -> Vec<String> {
    if record.kind == BindingKind::GlobalRoleBinding {
        return Vec::new();
    }
    let (mut known, mut ask) = (BTreeSet::from([record.role.clone()]), vec![record.role.clone()]);
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

/// Touches every other binding of that subject in that cluster, or in that Rancher. Rancher lets bindings share objects and
/// deletes those with the first that goes; it makes them again for a binding that changes (seen on 2.15.0, within 2 s).
/// A touch that fails is kept in the record and done later: it delays nothing.
async fn touch(hand: &Hand<'_>, case: &mut Case) {
    let touched = touch_survivors(hand.connection, &case.named, &case.record, &hand.ctx.now().to_string()).await;
    case.record.touch_pending = touched.is_err();
    match touched {
        Ok(survivors) => {
            case.record.residual = residual(hand, case, &survivors);
            let count = survivors.len();
            info!(grant = %hand.grant.key, binding = case.record.name, count, "Touched the subject's other bindings");
        }
        Err(error) => {
            warn!(grant = %hand.grant.key, binding = case.record.name, %error, "Cannot touch the subject's other bindings yet")
        }
    }
}

/// The bindings by which the subject keeps what was to end: those of somebody else that give the same access, and
/// those that were made for him on that cluster while ours was in force. Who may write bindings can give himself any
/// role that he holds.
fn residual(hand: &Hand<'_>, case: &Case, survivors: &[Binding]) -> Option<String> {
    let access = words::access(&case.record);
    let since = case.made.or(hand.grant.status.granted_time.as_ref().map(|granted| granted.0));
    let ours = |b: &&Binding| words::is_ours(&hand.ctx.installation.key, &hand.connection.install_uuid, b);
    let made_meanwhile =
        |b: &Binding| since.is_some_and(|since| b.meta.creation_timestamp.is_some_and(|made| made >= since));
    let (equal, others): (Vec<_>, Vec<_>) =
        survivors.iter().filter(|b| !ours(b)).partition(|b| words::access_of(b) == access);
    let name = |b: &Binding| words::place_of(&b.meta.namespace, &b.meta.name);
    let named = equal
        .iter()
        .map(|b| name(b))
        .chain(others.iter().filter(|b| made_meanwhile(b)).map(|b| format!("{} ({})", name(b), b.role)));
    let named: Vec<_> = named.collect();
    (!named.is_empty()).then(|| one_line(&named.join(", "), RESIDUAL_MAX))
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
    let (rancher, reference) = (&connection.rancher, words::reference(record));
    if record.kind == BindingKind::RoleBinding {
        // It shares nothing with others; one that gives the same is only told of.
        let beside = rancher.beside(&reference).await.or_else(|error| match error {
            Error::NotFound(_) => Ok(Vec::new()),
            error => Err(error),
        })?;
        return Ok(beside.into_iter().filter(|b| subject.is_of(b) && b.reference() != reference).collect());
    }
    let cluster = (!record.cluster.is_empty()).then_some(record.cluster.as_str());
    let survivors = rancher.survivors(subject, cluster, &reference).await?;
    let mut failed = None;
    for survivor in &survivors {
        match rancher.touch_binding(&survivor.reference(), ANNOTATION_TOUCHED, time).await {
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(survivors), Err)
}
