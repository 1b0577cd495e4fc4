//! What the core makes of objects: it judges and decides without a panic, and keeps its first laws.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rancher_access_operator::{
    api::{
        AccessDecision, AccessGrant, AccessPolicy, RancherIntegration, condition,
        grant::Access,
        status::{AccessDetails, BindingKind, BindingRecord, BindingState},
    },
    controller::words,
    grant::{
        Approval, Ballot, Because, Decision, Extended, GrantView, Judged, Limits, Observed, Seen, Standing, Step,
        Terms, Wake, binding::Goal, decide,
    },
    policy::{
        self, ClusterFacts, Facts, NamespaceFacts, Policy, ProjectFacts, Request, RoleFacts, SubjectFacts, TargetFacts,
        Unfinished,
    },
};

use super::super::said;

/// When it is decided: now, in the seeds' time, and where time ends.
fn times() -> [Timestamp; 3] {
    [Timestamp::from_second(1_796_112_000).unwrap(), Timestamp::MIN, Timestamp::MAX]
}

pub fn work(
    grants: &[AccessGrant],
    policies: &[AccessPolicy],
    decisions: &[AccessDecision],
    integrations: &[RancherIntegration],
) {
    let Some(grant) = grants.first() else { return };
    let policies: Vec<_> = policies.iter().filter_map(usable).collect();
    let other = grants.get(1).map(GrantView::from);
    for now in times() {
        let judged = judge(grant, &policies, integrations.first(), now);
        let mut view = GrantView::from(grant);
        view.judge_identity(Timestamp::MIN);
        for request in [judged, Judged::NotAsked, Judged::Unknown(Because::new("Unknown", "why"))] {
            let world = Observed { request, ballots: ballots(decisions, now), ..Observed::nothing(true) };
            decided(now, &view, &world);
            let extended = other
                .clone()
                .map_or(Extended::Missing, |grant| Extended::Seen(Box::new(Seen { grant, differs: None })));
            decided(now, &view, &Observed { extended, policy: Standing::Ends("it changed".into()), ..world });
        }
        for record in &view.status.bindings {
            drop((words::place(record), words::scope(record), words::access(record), words::reference(record)));
        }
    }
}

fn usable(policy: &AccessPolicy) -> Option<Policy> {
    Policy::try_from(policy).inspect_err(|why| assert!(why.to_string().len() < 100_000)).ok()
}

/// Decides, and again on what came of it, as a pass does.
fn decided(now: Timestamp, grant: &GrantView, world: &Observed) {
    let mut grant = grant.clone();
    let mut world = world.clone();
    for _ in 0..6 {
        let Decision { steps, status, wake, answers } = decide(now, &grant, &world, &Limits::default());
        if grant.ended(now).is_some() || grant.recorded_end().is_none() {
            assert!(!steps.contains(&Step::Settle(Goal::Give)), "given past its end, or without one");
        }
        let finished = status.phase.is_some_and(rancher_access_operator::grant::view::is_terminal);
        assert!(finished || wake != Wake::OnChange || grant.dry_run || grant.deleted.is_some(), "nobody looks again");
        for said in status.conditions.iter().filter(|c| !grant.status.conditions.contains(c)) {
            assert!(said.message.len() <= condition::MESSAGE_MAX, "{}", said.message);
        }
        for answer in &answers {
            assert!(answer.status.message.as_ref().is_none_or(|message| message.len() <= condition::MESSAGE_MAX));
        }
        if steps.is_empty() && status == grant.status {
            return;
        }
        if steps.contains(&Step::Record) {
            world.request = Judged::NotAsked;
        }
        grant.status = status;
    }
}

fn ballots(decisions: &[AccessDecision], now: Timestamp) -> Vec<Ballot> {
    let ballot = |decision: &AccessDecision| Ballot {
        name: decision.metadata.name.clone().unwrap_or_default(),
        uid: decision.metadata.uid.clone().unwrap_or_default(),
        decision: decision.spec.decision,
        by: decision.spec.decided_by.clone(),
        grant_uid: decision.spec.grant_ref.uid.clone(),
        digest: decision.spec.digest.clone(),
        created: decision.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0),
        proven: Some(true),
        himself: Some(Ok(false)),
        rancher_user: None,
        owner: false,
    };
    decisions.iter().map(ballot).collect()
}

/// Judged by these policies, where Rancher says that all that it names is there.
fn judge(grant: &AccessGrant, policies: &[Policy], integration: Option<&RancherIntegration>, now: Timestamp) -> Judged {
    let labels = BTreeMap::from([("team".to_owned(), "web".to_owned())]);
    let unfinished = Unfinished::default();
    let request = Request {
        namespace: grant.metadata.namespace.as_deref().unwrap_or("web"),
        namespace_labels: &labels,
        spec: &grant.spec,
        mapping: integration.and_then(|integration| integration.spec.identity_mapping.as_ref()),
        from: None,
        unfinished: &unfinished,
    };
    let overlays = policy::overlays(&request, policies);
    let facts = facts(&grant.spec.access, &labels);
    let found = match policy::candidates(&request, policies, now) {
        Ok(found) => found,
        Err(refusal) => {
            assert!(refusal.message.len() <= policy::MESSAGE_MAX);
            policies.iter().collect()
        }
    };
    for policy in policies {
        let length = SignedDuration::from_hours(1);
        drop(policy::still_allows(&request, Some(policy), &overlays, &facts, length, now));
    }
    match policy::judge(&request, &found, &overlays, &facts, now) {
        Ok(allowed) => {
            let known: Vec<_> = policies.iter().map(Policy::record).collect();
            assert!(known.contains(&allowed.policy), "allowed by nobody");
            Judged::Allowed(Box::new(terms(grant, allowed, now)))
        }
        Err(refusal) => {
            assert!(refusal.message.len() <= policy::MESSAGE_MAX);
            said::fit(refusal.reason.as_str());
            Judged::Refused(Because::new(refusal.reason.as_str(), refusal.message))
        }
    }
}

fn facts(access: &[Access], labels: &BTreeMap<String, String>) -> Facts {
    let target = |access: &Access| {
        let cluster = access.cluster_id().map(|id| ClusterFacts {
            id: id.to_owned(),
            uid: "uid".to_owned(),
            display_name: String::new(),
            labels: labels.clone(),
            annotations: BTreeMap::new(),
            hosts_rancher: false,
            hosts_operator: false,
        });
        let project = access.project.as_ref().map(|on| ProjectFacts {
            id: on.name.clone(),
            uid: "uid".to_owned(),
            display_name: String::new(),
            labels: labels.clone(),
            annotations: BTreeMap::new(),
            system: false,
        });
        let namespace = access.namespace.as_ref().map(|on| NamespaceFacts {
            name: on.name.clone(),
            uid: "uid".to_owned(),
            system: false,
        });
        let role = RoleFacts {
            id: role(access).to_owned(),
            privileged: None,
            display_name: String::new(),
            fingerprint: String::new(),
        };
        TargetFacts { cluster, project, namespace, role }
    };
    let subject =
        SubjectFacts { user_id: Some("u-1".to_owned()), principals: vec!["okta_user://alice".to_owned()], group: None };
    Facts { targets: access.iter().map(target).collect(), subject, continuous: None }
}

fn role(access: &Access) -> &str {
    let roles = [
        access.cluster.as_ref().map(|on| &on.role),
        access.project.as_ref().map(|on| &on.role),
        access.namespace.as_ref().map(|on| &on.role),
        access.global.as_ref().map(|on| &on.role),
    ];
    roles.into_iter().flatten().next().map_or("", String::as_str)
}

fn terms(grant: &AccessGrant, allowed: policy::Allowed, now: Timestamp) -> Terms {
    let policy::Allowed { policy, required_by, approval_timeout, self_approval, duration, .. } = allowed;
    let bindings = grant.spec.access.iter().enumerate().map(|(at, access)| binding(at, access, now)).collect();
    Terms {
        policy,
        required_by,
        approval: Approval { sets: Vec::new(), timeout: approval_timeout, self_approval, contact: None },
        digest: "d1".to_owned(),
        resolved: Vec::new(),
        continuous_since: None,
        duration,
        rancher: Default::default(),
        bindings,
        details: AccessDetails { instructions: None, targets: Vec::new(), credentials: None },
    }
}

fn binding(at: usize, access: &Access, now: Timestamp) -> BindingRecord {
    let cluster = access.cluster_id().unwrap_or_default();
    let record = serde_json::json!({"kind": BindingKind::ClusterRoleTemplateBinding, "cluster": cluster,
        "namespace": cluster, "name": format!("rao-{at}"), "subject": "user:u-1", "role": role(access),
        "state": BindingState::Intended, "since": now});
    serde_json::from_value(record).unwrap()
}
