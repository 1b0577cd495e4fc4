//! What a request means in Rancher: who the subject is, what the targets and roles are. Reads only.

pub(super) mod named;
pub(super) mod owner;
mod role;
pub(super) mod subject;
mod target;

use std::collections::BTreeSet;

use crate::{
    api::{
        grant::AccessGrantSpec,
        status::{BindingRecord, BindingState},
    },
    controller::{Context, connection::Connection, users},
    grant::{
        Because,
        name::{Access, SubjectKey, Target, binding_name, membership_role},
    },
    policy::{Facts, Wanted},
    rancher::Error,
};

/// Why a request could not be resolved.
pub(super) enum Unresolved {
    /// It names something that is not there, or does not fit.
    Wrong(Because),
    /// It cannot be known at present.
    Unknown(Because),
}

/// What a request means in Rancher.
pub(super) struct Resolved {
    pub facts: Facts,
    pub bindings: Vec<BindingRecord>,
}

type Result<T> = std::result::Result<T, Unresolved>;

/// Resolves everything that a request names.
pub(super) async fn resolve(
    ctx: &Context,
    connection: &Connection,
    namespace: &str,
    spec: &AccessGrantSpec,
    wanted: &Wanted,
) -> Result<Resolved> {
    let found = match spec.subject.as_ref().and_then(|subject| subject.local_user.as_ref()) {
        Some(local) => subject::local_user(ctx, connection, users::whose(namespace, spec, local))?,
        None => subject::subject(&connection.rancher, wanted).await?,
    };
    let mut resolver = target::Resolver::new(ctx, connection);
    let (mut targets, mut places) = (Vec::new(), Vec::new());
    for (index, access) in spec.access.iter().enumerate() {
        let (facts, place) = resolver.target(index, access).await?;
        targets.push(facts);
        places.push(place);
    }
    let bind = |place: &Place, key: &SubjectKey| BindingRecord {
        kind: place.access.target.kind(),
        cluster: place.access.target.cluster().to_owned(),
        project: match &place.access.target {
            Target::Project { project, .. } => Some(project.clone()),
            _ => None,
        },
        namespace: place.namespace.clone(),
        name: binding_name(&ctx.installation.key, &connection.install_uuid, key, &place.access),
        uid: None,
        subject: key.to_string(),
        subject_uid: found.uid.clone(),
        role: place.access.role.clone(),
        reaches_clusters: place.reaches_clusters,
        state: BindingState::Intended,
        since: jiff::Timestamp::UNIX_EPOCH.into(),
        touch_pending: false,
        unverified: false,
        lacked_finalizers: false,
        residual: None,
    };
    let of_kubernetes = found.of_kubernetes();
    let key = |place: &Place| match place.access.target {
        Target::Namespace { .. } => &of_kubernetes,
        _ => &found.key,
    };
    let mut bindings: Vec<_> = places.iter().map(|place| bind(place, key(place))).collect();
    let distinct: BTreeSet<_> = bindings.iter().map(|b| b.name.clone()).collect();
    if distinct.len() < bindings.len() {
        return Err(wrong(
            "DuplicateAccess",
            "spec.access names the same role on the same target twice: create a grant that names it once.".to_owned(),
        ));
    }
    bindings.extend(memberships(ctx, &places).iter().map(|place| bind(place, &found.key)));
    Ok(Resolved { facts: Facts { targets, subject: found.facts, continuous: None }, bindings })
}

/// A role somewhere, and the namespace that its binding lives in.
struct Place {
    access: Access,
    namespace: String,
    reaches_clusters: bool,
}

/// Rancher lets nobody into a cluster who has nothing but a RoleBinding there: each cluster with a namespace that is asked
/// for takes membership as well.
fn memberships(ctx: &Context, places: &[Place]) -> Vec<Place> {
    let clusters: BTreeSet<_> = places
        .iter()
        .filter_map(|place| match &place.access.target {
            Target::Namespace { cluster, .. } => Some(cluster.clone()),
            _ => None,
        })
        .collect();
    let role = membership_role(&ctx.installation.id);
    clusters
        .into_iter()
        .map(|cluster| Place {
            namespace: cluster.clone(),
            access: Access { target: Target::Cluster { cluster }, role: role.clone() },
            reaches_clusters: false,
        })
        .collect()
}

pub(super) fn wrong(reason: &str, message: String) -> Unresolved {
    Unresolved::Wrong(Because::new(reason, message))
}

fn unknown(error: Error) -> Unresolved {
    Unresolved::Unknown(Because::new(
        super::wait::reason(&error),
        format!("Rancher could not be asked about the request: {error}. Tried again."),
    ))
}
