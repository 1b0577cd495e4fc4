//! Before anything is given: what is waited for, and how it came to nothing.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    picture::{Picture, not_given, paint},
    whole_seconds, with_terms,
};
use crate::{
    api::{
        AccessGrantStatus,
        approval::{ApprovalRecord, Vote},
        condition::ConditionStatus::{False, True},
        decision::Verdict,
        status::Phase,
    },
    grant::{
        view::{GrantKey, GrantView},
        world::{Because, Terms},
    },
};

/// Not allowed as things stand. What an earlier judgement allowed no longer counts.
pub(in crate::grant) fn pending(now: Timestamp, grant: &GrantView, because: &Because) -> AccessGrantStatus {
    let kept = AccessGrantStatus {
        policy: None,
        required_by: Vec::new(),
        rancher: None,
        access_details: None,
        ..grant.status.clone()
    };
    not_yet(now, grant, kept, because)
}

/// Not to be judged as things stand. What an earlier judgement allowed stays: it keeps its place under the policy's limits.
pub(in crate::grant) fn unclear(now: Timestamp, grant: &GrantView, because: &Because) -> AccessGrantStatus {
    not_yet(now, grant, grant.status.clone(), because)
}

fn not_yet(now: Timestamp, grant: &GrantView, kept: AccessGrantStatus, because: &Because) -> AccessGrantStatus {
    let face = (False, because.reason.as_str(), because.message.as_str());
    let picture =
        Picture { phase: Phase::Pending, ready: face, approved: Some(face), granted: not_given(), revoked: None };
    paint(now, grant, kept, &picture)
}

/// Allowed once enough people have approved.
pub(in crate::grant) fn awaiting_approval(
    now: Timestamp,
    grant: &GrantView,
    terms: &Terms,
    until: Timestamp,
) -> AccessGrantStatus {
    let mut status = with_terms(grant, terms);
    let approvers = status.approvers.get_or_insert_with(Default::default);
    approvers.until = Some(Time(whole_seconds(until)));
    approvers.how_to = how_to(grant);
    let message = format!(
        "{} of {} approvals were given. {} Without all of them it times out at {until}. To approve, run what status.approvers.howTo says.",
        approvers.approved,
        approvers.required,
        missing(approvers),
    );
    let face = (False, "AwaitingApproval", message.as_str());
    let picture = Picture {
        phase: Phase::AwaitingApproval,
        ready: face,
        approved: Some(face),
        granted: not_given(),
        revoked: None,
    };
    paint(now, grant, status, &picture)
}

/// Who is still to approve, in words.
fn missing(approvers: &ApprovalRecord) -> String {
    let open = approvers.sets.iter().filter(|set| set.approved < set.required);
    let words = open.map(|set| {
        let who: Vec<_> = set.candidates.iter().map(ToString::to_string).collect();
        let who = if who.is_empty() { "nobody, so it cannot be approved".to_owned() } else { who.join(", ") };
        let more = set.required.saturating_sub(set.approved);
        format!("{more} more by {who}, for {}; named by {}.", set.name, set.source)
    });
    let contact = approvers.contact.iter().map(|contact| format!("They are reached at {contact}."));
    words.chain(contact).collect::<Vec<_>>().join(" ")
}

/// A command that approves what stands in the record.
fn how_to(grant: &GrantView) -> String {
    let GrantKey { namespace, name } = &grant.key;
    let digest = grant.status.digest.clone().unwrap_or_default();
    format!(
        r#"echo '{{"apiVersion":"rancheraccess.io/v1alpha1","kind":"AccessDecision","metadata":{{"generateName":"{name}-"}},"spec":{{"grantRef":{{"name":"{name}","uid":"{}"}},"decision":"Approve","digest":"{digest}"}}}}' | kubectl create -n {namespace} -f -"#,
        grant.uid
    )
}

/// Nothing is ever given: what would be.
pub(in crate::grant) fn dry_run(now: Timestamp, grant: &GrantView, terms: &Terms) -> AccessGrantStatus {
    let mut status = with_terms(grant, terms);
    let approvals = match status.approvers.as_mut().filter(|approvers| approvers.required > 0) {
        Some(approvers) => format!("once approved: {}", missing(approvers)),
        None => "at once, without approval.".to_owned(),
    };
    status.access_details = None;
    let message = format!(
        "A dry run: nothing is given. Policy {} would allow this for {:#}, {approvals} status.resolved says what would be given. Create the grant anew without spec.dryRun to ask for it.",
        terms.policy.name, terms.duration
    );
    let picture = Picture {
        phase: Phase::Pending,
        ready: (True, "DryRun", &message),
        approved: Some((False, "DryRun", &message)),
        granted: not_given(),
        revoked: None,
    };
    paint(now, grant, status, &picture)
}

/// Why it was allowed, and by whom.
pub(super) fn allowed_words(grant: &GrantView, terms: &Terms) -> (&'static str, String) {
    let by: Vec<_> = grant
        .status
        .votes
        .iter()
        .filter(|vote| vote.decision == Verdict::Approve)
        .map(|vote| vote.by.as_str())
        .collect();
    let policy = &terms.policy.name;
    if by.is_empty() {
        ("Allowed", format!("Allowed by policy {policy}, without approval"))
    } else {
        ("Approved", format!("Allowed by policy {policy}, and approved by {}", by.join(", ")))
    }
}

/// Allowed, for later.
pub(in crate::grant) fn scheduled(
    now: Timestamp,
    grant: &GrantView,
    terms: &Terms,
    start: Timestamp,
) -> AccessGrantStatus {
    let (reason, allowed) = allowed_words(grant, terms);
    let message = match &grant.status.extends {
        None => format!("{allowed}; the access begins at {start}. It is judged again then."),
        Some(extended) => format!(
            "{allowed}; the access goes on when grant {} ends, at {}. It is judged again at {start}.",
            extended.name, extended.end_time.0
        ),
    };
    let picture = Picture {
        phase: Phase::Scheduled,
        ready: (True, "Scheduled", &message),
        approved: Some((True, reason, &message)),
        granted: (False, "Scheduled", &message),
        revoked: None,
    };
    paint(now, grant, with_terms(grant, terms), &picture)
}

/// Given up before anything was given.
pub(in crate::grant) fn timed_out(now: Timestamp, grant: &GrantView, because: &Because) -> AccessGrantStatus {
    given_up(now, grant, because, Phase::TimedOut)
}

/// Never to be given, and nothing was given.
pub(in crate::grant) fn failed(now: Timestamp, grant: &GrantView, because: &Because) -> AccessGrantStatus {
    given_up(now, grant, because, Phase::Failed)
}

/// Nobody checked who asks.
pub(in crate::grant) fn unproven(now: Timestamp, grant: &GrantView) -> AccessGrantStatus {
    let message = "It was created while the API server did not check who asks (or within seconds after), so nobody knows whose request this is: it is never given. Create it anew.";
    given_up(now, grant, &Because::new("IdentityUnproven", message), Phase::Denied)
}

/// An approver said no.
pub(in crate::grant) fn denied(now: Timestamp, grant: &GrantView, vote: &Vote) -> AccessGrantStatus {
    let message = format!(
        "Denied by {} (AccessDecision {}) at {}: nothing was given. Talk to them before you create another grant.",
        vote.by, vote.name, vote.time.0
    );
    given_up(now, grant, &Because::new("Denied", message), Phase::Denied)
}

/// Somebody who may took it back before anything was given.
pub(in crate::grant) fn revoked_before(now: Timestamp, grant: &GrantView, vote: &Vote) -> AccessGrantStatus {
    let message = format!("{} Nothing had been given.", revoked_words(vote));
    let because = Because::new("RevokedByDecision", message);
    let face = (False, because.reason.as_str(), because.message.as_str());
    let ready = (True, because.reason.as_str(), because.message.as_str());
    let picture = Picture { phase: Phase::Revoked, ready, approved: Some(face), granted: not_given(), revoked: None };
    paint(now, grant, grant.status.clone(), &picture)
}

/// Who revoked it.
pub(in crate::grant) fn revoked_words(vote: &Vote) -> String {
    format!("Revoked by {} (AccessDecision {}) at {}.", vote.by, vote.name, vote.time.0)
}

fn given_up(now: Timestamp, grant: &GrantView, because: &Because, phase: Phase) -> AccessGrantStatus {
    let face = (False, because.reason.as_str(), because.message.as_str());
    let picture = Picture { phase, ready: face, approved: Some(face), granted: not_given(), revoked: None };
    paint(now, grant, grant.status.clone(), &picture)
}
