//! What is gone in Rancher besides a binding, or instead of it: the person, the project, the cluster.

use jiff::SignedDuration;

use super::{
    act::{Case, Hand},
    wait::{self, Waiting},
};
use crate::{
    api::status::BindingKind,
    controller::words,
    grant::{
        Progress,
        name::{SubjectKey, Target},
    },
    rancher::Sighting,
};

/// How long a subject that was resolved counts without being asked for again.
const RESOLVED_FOR: SignedDuration = SignedDuration::from_secs(10);

/// The binding is gone, and nobody of us took it: says why, as far as Rancher tells.
pub(super) async fn removed(hand: &Hand<'_>, case: &Case) -> Progress {
    let record = &case.record;
    let target = words::access(record).target;
    let what = format!("the binding {} (role {} on {target})", words::place(record), record.role);
    let why = match taken_along_by(hand, case).await {
        Some(other) => format!("{other}, and {what} went with it"),
        None => format!("Somebody removed {what} in Rancher"),
    };
    Progress::RemovedInRancher(format!(
        "{why}: the grant ends, and it is not made again. Create another grant if the access is still needed."
    ))
}

/// What took the binding along, where that is known.
async fn taken_along_by(hand: &Hand<'_>, case: &Case) -> Option<String> {
    let (rancher, record) = (&hand.connection.rancher, &case.record);
    match &words::access(record).target {
        Target::Global => {
            if rancher.global_role(&record.role).await.ok()?.is_none() {
                return Some(format!("The global role {} was deleted in Rancher", record.role));
            }
        }
        target => {
            let cluster = rancher.cluster(target.cluster()).await.ok()?;
            if cluster.found().is_none_or(|cluster| cluster.meta.is_terminating()) {
                return Some(format!("Cluster {} was removed from Rancher", record.cluster));
            }
        }
    }
    if record.kind == BindingKind::RoleBinding
        && rancher.namespace_uid(&record.cluster, &record.namespace).await.ok()?.is_none()
    {
        return Some(format!("Namespace {} of cluster {} was deleted", record.namespace, record.cluster));
    }
    if let Some(project) = &record.project {
        let found = rancher.project(&record.cluster, project).await.ok()?;
        if found.found().is_none_or(|project| project.meta.is_terminating()) {
            return Some(format!("Project {project} of cluster {} was deleted in Rancher", record.cluster));
        }
    }
    let SubjectKey::User(id) = &case.subject else { return None };
    let user = rancher.user(id).await.ok()?;
    let same = user.is_some_and(|user| {
        !user.meta.is_terminating() && record.subject_uid.as_ref().is_none_or(|uid| *uid == user.meta.uid)
    });
    (!same).then(|| format!("The user {id} was deleted in Rancher"))
}

/// Makes sure, before a create, that the person is still the one who was resolved: ids can be given anew, and whoever
/// has one next must not inherit what was meant for another.
pub(super) async fn subject(hand: &Hand<'_>, case: &mut Case) -> Result<(), Progress> {
    let (SubjectKey::User(id), Some(uid)) = (&case.subject, &case.record.subject_uid) else { return Ok(()) };
    let since = hand.ctx.now().duration_since(case.record.since.0);
    if hand.grant.status.granted_time.is_none() && since < RESOLVED_FOR {
        return Ok(());
    }
    match hand.connection.rancher.user(id).await {
        Ok(Some(user)) if user.meta.uid == *uid => Ok(()),
        Ok(_) => Err(Progress::Refused(format!(
            "The user {id} whom this access was meant for was deleted in Rancher: nobody else who has that id now is given it. Create another grant for whom it should be."
        ))),
        Err(error) => {
            let message = format!("Whether {id} is still the same user cannot be known: {error}. Tried again.");
            Err(Waiting::new(hand.ctx, &hand.grant.key).progress(wait::reason(&error), message))
        }
    }
}

/// Whether the cluster is proven to be gone from Rancher, and with it all access through Rancher.
pub(super) async fn cluster(hand: &Hand<'_>, cluster: &str) -> bool {
    matches!(hand.connection.rancher.cluster(cluster).await, Ok(Sighting::Gone(_)))
}
