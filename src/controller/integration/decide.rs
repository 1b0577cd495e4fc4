//! What a look at one Rancher means. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    observe::Findings,
    risk,
    rotation::{self, Told},
};
use crate::{
    api::{
        ConditionStatus, RancherIntegration,
        condition::{
            self,
            ConditionStatus::{False, True, Unknown},
        },
        integration::{KeyRotationStatus, KeyStatus, RancherIntegrationStatus, RancherStatus},
        user::UsersStatus,
    },
    controller::{users, words},
    grant::{Because, GrantKey, record::whole_seconds},
    rancher::{Model, Release, identity::Expiry},
};

/// There only while something will stop the key from working.
pub(super) const KEY_AT_RISK: &str = "KeyAtRisk";

/// How many of the grants that it waits for are named.
const NAMED: usize = 3;

/// What a look means: for grants, and for people.
pub(super) struct Verdict {
    pub may_grant: Result<(), Because>,
    /// Whether it is the Rancher that was registered.
    pub same: bool,
    pub status: RancherIntegrationStatus,
    /// When the key expires, unless the operator replaces it before: no access that lasts longer is given.
    pub key_ends: Option<Timestamp>,
}

/// Everything besides the look that counts.
pub(super) struct Surroundings<'a> {
    pub now: Timestamp,
    pub installation: &'a str,
    pub proof: &'a Result<(), Because>,
    /// The grants that have access to be taken away through it, by name.
    pub needed_by: &'a [GrantKey],
    /// The grant in force that ends last, and when.
    pub last: Option<(GrantKey, Timestamp)>,
    /// What is told of the replacing of the key; `None`: nothing yet.
    pub rotation: Option<&'a Told>,
    /// What is told of users that are there because of grants; `None`: nothing yet.
    pub users: Option<&'a users::Told>,
}

/// Why an integration that another installation serves is not granted on.
pub(super) fn another_installation(other: &str, ours: &str) -> Because {
    Because::new(
        "AnotherInstallation",
        format!(
            "This integration is served by another installation of the operator ({other}; this one is {ours}), so this one only takes away what has ended. Run one operator for a connector; if this one lost its Secret rancher-access-installation, restore it."
        ),
    )
}

/// Judges one look.
pub(super) fn verdict(integration: &RancherIntegration, found: &Findings, around: &Surroundings<'_>) -> Verdict {
    let mut status = integration.status.clone().unwrap_or_default();
    let recorded = status.rancher.as_ref().and_then(|r| r.install_uuid.clone());
    let host = &integration.spec.host;
    let same = match (&recorded, &found.install_uuid) {
        (Some(recorded), Some(found)) if recorded != found => Err(Because::new(
            "DifferentRancher",
            format!(
                "Another Rancher answers {} (install-uuid {found}) than the one that was registered ({recorded}): nothing is granted, and access on the first cannot be taken away through this one. {}, or register the new one under another name.",
                match host.as_str() {
                    "" => "in this cluster".to_owned(),
                    host => format!("at {host}"),
                },
                if host.is_empty() { "Restore the first" } else { "Point spec.host back" }
            ),
        )),
        _ => Ok(()),
    };
    if same.is_ok() {
        let known = status.rancher.take().unwrap_or_default();
        let model = release(found).map(|release| words::rancher(&release));
        status.rancher = Some(RancherStatus {
            version: found.version.clone().or(known.version),
            install_uuid: found.install_uuid.clone().or(known.install_uuid),
            rbac_model: model.and_then(|found| found.rbac_model).or(known.rbac_model),
        });
    }
    if let Some(Ok((who, key))) = &found.authenticated {
        let before = status.key.take().filter(|before| before.user.as_ref() == Some(&who.user_id));
        status.key = Some(KeyStatus {
            user: Some(who.user_id.clone()),
            name: key.as_ref().map(|key| key.name.clone()),
            administrator: found.standing.administrator.or(before.and_then(|before| before.administrator)),
            expires_time: key.as_ref().and_then(|key| match key.expiry {
                Expiry::At(end) => Some(Time(whole_seconds(end))),
                Expiry::Never | Expiry::Unknown => None,
            }),
        });
    }
    status.observed_generation = integration.metadata.generation;
    status.installation = Some(around.installation.to_owned());
    let is_same = same.is_ok();
    let may_grant = paint(integration, found, around, same, &mut status);
    let rotates = paint_rotation(integration, around, &mut status);
    paint_users(integration, around, &mut status);
    let key = match &found.authenticated {
        Some(Ok((_, key))) => key.as_ref(),
        _ => None,
    };
    if let Some(key) = key {
        paint_risk(integration, found, around, key.expiry, rotates, &mut status);
    } else if host.is_empty() {
        condition::unset(&mut status.conditions, KEY_AT_RISK);
    }
    status.conditions.sort_by_key(|c| c.type_ != "Ready");
    let key_ends = key.and_then(|key| match key.expiry {
        Expiry::At(end) if !rotates => Some(end),
        _ => None,
    });
    Verdict { may_grant, same: is_same, status, key_ends }
}

/// What is told of the replacing of the key. Says whether that goes well.
fn paint_rotation(
    integration: &RancherIntegration,
    around: &Surroundings<'_>,
    status: &mut RancherIntegrationStatus,
) -> bool {
    const TYPE: &str = "KeyRotation";
    if !rotation::is_asked(integration) {
        status.key_rotation = None;
        condition::unset(&mut status.conditions, TYPE);
        return false;
    }
    let days = integration.spec.api_key_rotation_days.is_some();
    let Some(told) = around.rotation else {
        // A process that has just begun: what the last one said stands.
        return days && condition::find(&status.conditions, TYPE).is_some_and(|held| held.status == True);
    };
    let time = |at: Timestamp| Time(whole_seconds(at));
    status.key_rotation = Some(KeyRotationStatus {
        rotated_time: told.rotated.map(time),
        next_time: told.next.map(time),
        request: told.request.clone(),
    });
    let (now, generation) = (whole_seconds(around.now), integration.metadata.generation);
    let Because { reason, message } = &told.because;
    condition::set(&mut status.conditions, now, generation, TYPE, told.holds, reason, message);
    days && told.holds == True
}

/// What is told of users that are there because of grants. Of none, nothing is said.
fn paint_users(integration: &RancherIntegration, around: &Surroundings<'_>, status: &mut RancherIntegrationStatus) {
    const TYPE: &str = "UsersTended";
    let Some(users::Told { holds, because: Because { reason, message }, users }) = around.users else { return };
    let nobody = users.as_ref().is_none_or(|users| *users == UsersStatus::default());
    if *holds == True && nobody {
        status.users = None;
        condition::unset(&mut status.conditions, TYPE);
        return;
    }
    if let Some(users) = users {
        status.users = Some(users.clone());
    }
    let (now, generation) = (whole_seconds(around.now), integration.metadata.generation);
    condition::set(&mut status.conditions, now, generation, TYPE, *holds, reason, message);
}

/// What will stop the key from working.
fn paint_risk(
    integration: &RancherIntegration,
    found: &Findings,
    around: &Surroundings<'_>,
    expiry: Expiry,
    rotates: bool,
    status: &mut RancherIntegrationStatus,
) {
    let retained = found.standing.retained.unwrap_or(false);
    let user = status.key.as_ref().and_then(|key| key.user.as_deref());
    let life = risk::Life {
        now: around.now,
        expiry,
        rotates,
        last: around.last.as_ref(),
        retained: user.filter(|_| retained),
    };
    match risk::of(&life) {
        Some(Because { reason, message }) => {
            let (now, generation) = (whole_seconds(around.now), integration.metadata.generation);
            condition::set(&mut status.conditions, now, generation, KEY_AT_RISK, True, &reason, message);
        }
        None => condition::unset(&mut status.conditions, KEY_AT_RISK),
    }
}

fn paint(
    integration: &RancherIntegration,
    found: &Findings,
    around: &Surroundings<'_>,
    same: Result<(), Because>,
    status: &mut RancherIntegrationStatus,
) -> Result<(), Because> {
    let (now, generation) = (whole_seconds(around.now), integration.metadata.generation);
    let reached = outcome(found.reached.clone(), "Reachable", &server_words(integration, found));
    let authenticated = outcome(
        found.authenticated.as_ref().map(|a| a.as_ref().map(|_| ()).map_err(Clone::clone)),
        "Authenticated",
        &key_words(found, integration.spec.host.is_empty()),
    );
    let authorized = outcome(
        found.authorized.clone(),
        "Authorized",
        "The key's user may do all that the operator needs on Rancher's own cluster.",
    );
    let enforced = outcome(
        Some(around.proof.clone()),
        "AdmissionEnforced",
        "The API server checks who asks: a forged request is refused.",
    );
    let claimed = match &found.claimed {
        Some(Err(because)) => Err(because.clone()),
        _ => Ok(()),
    };
    for (type_, (holds, reason, message)) in [
        ("Reachable", &reached),
        ("Authenticated", &authenticated),
        ("Authorized", &authorized),
        ("AdmissionEnforced", &enforced),
    ] {
        condition::set(&mut status.conditions, now, generation, type_, *holds, reason, message);
    }
    let first = [&reached, &authenticated].into_iter().find_map(trouble);
    let first = first
        .or(same.err())
        .or_else(|| too_old(found))
        .or_else(|| trouble(&authorized))
        .or(claimed.err())
        .or_else(|| trouble(&enforced));
    let suspended = integration
        .spec
        .suspend
        .then(|| Because::new("Suspended", "Suspended by spec.suspend: nothing new is granted; revoking goes on."));
    let (holds, because) = match (&first, &suspended) {
        _ if integration.metadata.deletion_timestamp.is_some() && !around.needed_by.is_empty() => {
            (False, deleting(around.needed_by))
        }
        (Some(trouble), _) => (False, trouble.clone()),
        (None, Some(suspended)) => (True, suspended.clone()),
        (None, None) => {
            (True, Because::new("Ready", format!("Access can be given and taken away. {}", authenticated.2)))
        }
    };
    condition::set(&mut status.conditions, now, generation, "Ready", holds, &because.reason, because.message);
    first.or(suspended).map_or(Ok(()), Err)
}

/// Which Rancher it is, where all of it is known.
fn release(found: &Findings) -> Option<Release> {
    Some(Release { version: found.version.clone(), model: found.model? })
}

/// What answers, and where, in words.
fn server_words(integration: &RancherIntegration, found: &Findings) -> String {
    let version = found.version.clone().unwrap_or_default();
    let place = match integration.spec.host.as_str() {
        "" => "in the cluster that this operator runs in",
        host => &format!("at {host}"),
    };
    let model = match found.model {
        Some(Model::Legacy) => {
            " It turns bindings into RBAC in the legacy model (feature aggregated-roletemplates off)."
        }
        Some(Model::Aggregated) => {
            " It turns bindings into RBAC in the aggregated model (feature aggregated-roletemplates on)."
        }
        None => "",
    };
    format!("Rancher {version} answers {place}.{model}")
}

/// Why nothing is granted on a release whose ways are not known.
fn too_old(found: &Findings) -> Option<Because> {
    let release = release(found).filter(Release::is_too_old)?;
    let version = release.version.unwrap_or_default();
    Some(Because::new(
        "UnsupportedRancher",
        format!(
            "Rancher {version} is older than 2.11, and how it cleans up after bindings is not known: nothing is granted there; revoking goes on. Upgrade Rancher."
        ),
    ))
}

fn deleting(needed_by: &[GrantKey]) -> Because {
    let mut names: Vec<_> = needed_by.iter().take(NAMED).map(ToString::to_string).collect();
    let count = needed_by.len();
    let more = match count.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let last = if more.is_empty() && names.len() > 1 { names.pop().map(|last| format!(" and {last}")) } else { None };
    let names = format!("{}{}{more}", names.join(", "), last.unwrap_or_default());
    let (grants, have, them) = if count == 1 { ("grant", "has", "it") } else { ("grants", "have", "them") };
    Because::new(
        "Deleting",
        format!(
            "Deleted, but {count} {grants} ({names}) still {have} access to be taken away through it: it goes when that is settled. Delete {them} to end {them} now."
        ),
    )
}

type Face = (ConditionStatus, String, String);

fn outcome(found: Option<Result<(), Because>>, good: &str, words: &str) -> Face {
    match found {
        Some(Ok(())) => (True, good.to_owned(), words.to_owned()),
        Some(Err(because)) => (False, because.reason, because.message),
        None => (Unknown, "NotLooked".to_owned(), "Something before it stands in the way.".to_owned()),
    }
}

fn trouble((holds, reason, message): &Face) -> Option<Because> {
    (*holds != True).then(|| Because::new(reason.clone(), message.clone()))
}

/// Whose the key is, what he may, and when it ends, in words.
fn key_words(found: &Findings, keyless: bool) -> String {
    let Some(Ok((who, key))) = &found.authenticated else { return String::new() };
    if keyless {
        return format!("No key is used: the operator acts as {} on Rancher's own cluster.", who.user_id);
    }
    let whose = match &who.username {
        Some(name) => format!("{name} ({})", who.user_id),
        None => who.user_id.clone(),
    };
    let may = match found.standing.administrator {
        Some(true) => ", an administrator",
        Some(false) => ", who is no administrator",
        None => "",
    };
    let Some(key) = key else {
        return format!("The key is of Rancher user {whose}{may}; when it expires could not be read.");
    };
    let ends = match key.expiry {
        Expiry::Never => " and does not expire".to_owned(),
        Expiry::Unknown => "; Rancher does not say when it expires".to_owned(),
        Expiry::At(end) => format!(" and expires at {}", whole_seconds(end)),
    };
    format!("The key {} is of Rancher user {whose}{may}; it has no cluster scope{ends}.", key.name)
}
