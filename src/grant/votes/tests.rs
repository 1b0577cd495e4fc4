//! The table, line by line, and what holds for any decisions in any order.

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    api::{
        AccessGrantStatus,
        approval::Candidate,
        decision::DecisionReason as R,
        integration::RancherStatus,
        policy::OnPolicyChange,
        reference::IdentityKind,
        status::{AccessDetails, BindingKind, BindingRecord, BindingState, End, EndReason, Phase, PolicyRecord},
    },
    grant::{Approval, Because, GrantKey, view::Summary},
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_780_272_000 + seconds).unwrap()
}

fn candidate(kind: IdentityKind, name: &str) -> Candidate {
    Candidate { kind, name: name.to_owned(), namespace: None, display_name: None }
}

/// Two of bob, carol and the group sre for one policy; one of dora for another.
fn terms() -> Terms {
    let set = |name: &str, required, candidates| ApproverSet {
        name: name.to_owned(),
        required,
        approved: 0,
        candidates,
        source: "policy".to_owned(),
    };
    let web = vec![
        candidate(IdentityKind::User, "bob"),
        candidate(IdentityKind::User, "carol"),
        candidate(IdentityKind::Group, "sre"),
    ];
    let sets = vec![set("policy web", 2, web), set("policy more", 1, vec![candidate(IdentityKind::User, "dora")])];
    let (name, uid) = ("web".to_owned(), "uid-web".to_owned());
    Terms {
        policy: PolicyRecord { name, uid, generation: 1, on_policy_change: OnPolicyChange::Keep },
        required_by: Vec::new(),
        approval: Approval { sets, timeout: SignedDuration::from_hours(1), self_approval: false, contact: None },
        digest: "d1".to_owned(),
        resolved: Vec::new(),
        continuous_since: None,
        duration: SignedDuration::from_hours(1),
        rancher: RancherStatus::default(),
        bindings: Vec::new(),
        details: AccessDetails { instructions: None, targets: Vec::new(), credentials: None },
    }
}

fn grant() -> GrantView {
    GrantView {
        key: GrantKey { namespace: "web".into(), name: "g".into() },
        uid: "uid-g".into(),
        generation: Some(1),
        created: at(0),
        deleted: None,
        finalizer: false,
        start_time: None,
        end_time: None,
        extends: None,
        local_user: None,
        requester: "alice".into(),
        dry_run: false,
        abandoned: false,
        summary: Summary::default(),
        status: AccessGrantStatus::default(),
    }
}

/// A grant that awaits approval of `d1`, which stands since second 10.
fn waiting() -> GrantView {
    let mut grant = grant();
    take_in(at(10), &mut grant, &world(Judged::Allowed(Box::new(terms())), Vec::new()));
    grant
}

fn world(request: Judged, ballots: Vec<Ballot>) -> Observed {
    Observed { request, ballots, ..Observed::nothing(true) }
}

fn ballot(who: &str, decision: Verdict) -> Ballot {
    Ballot {
        name: format!("{who}-says"),
        uid: format!("uid-{who}-{decision:?}"),
        decision,
        by: Caller { username: who.to_owned(), groups: Vec::new() },
        grant_uid: None,
        digest: None,
        created: at(20),
        proven: Some(true),
        himself: Some(Ok(false)),
        rancher_user: Some(format!("user:u-{who}")),
        owner: false,
    }
}

fn approve(who: &str) -> Ballot {
    ballot(who, Verdict::Approve)
}

/// What is told to whoever made that one decision; `None`: nothing yet.
fn told(grant: &mut GrantView, ballot: Ballot) -> Option<R> {
    let world = world(Judged::Allowed(Box::new(terms())), vec![ballot]);
    let tally = take_in(at(30), grant, &world);
    assert_eq!(tally.answers.is_empty(), tally.open);
    tally.answers.first().and_then(|answer| answer.status.reason)
}

#[test]
fn a_quorum_of_distinct_people_of_each_set_approves() {
    let mut grant = waiting();
    assert!(!is_approved(&grant));
    assert_eq!(told(&mut grant, approve("bob")), Some(R::Counted));
    let by_id = Ballot {
        by: Caller { username: "u-bob".into(), groups: vec!["sre".into()] },
        uid: "x".into(),
        ..approve("bob")
    };
    assert_eq!(told(&mut grant, by_id), Some(R::Duplicate), "the same user of Rancher by another name");
    let shouted = Ballot {
        rancher_user: None,
        by: Caller { username: "BOB".into(), groups: vec!["sre".into()] },
        uid: "y".into(),
        ..approve("bob")
    };
    assert_eq!(told(&mut grant, shouted), Some(R::Duplicate));
    assert!(!is_approved(&grant));
    let of_sre = Ballot { by: Caller { username: "erin".into(), groups: vec!["sre".into()] }, ..approve("erin") };
    assert_eq!(told(&mut grant, of_sre), Some(R::Counted));
    assert!(!is_approved(&grant), "the other policy asks too");
    assert_eq!(told(&mut grant, approve("carol")), Some(R::TooLate), "two of web are enough");
    assert_eq!(told(&mut grant, approve("dora")), Some(R::Counted));
    assert!(is_approved(&grant));
    let approvers = grant.status.approvers.unwrap();
    assert_eq!((approvers.required, approvers.approved), (3, 3));
}

#[test]
fn who_asks_or_gets_it_may_not_approve_and_what_cannot_be_told_is_no_leave() {
    let with = |himself| Ballot { himself, ..approve("bob") };
    assert_eq!(told(&mut waiting(), with(Some(Ok(true)))), Some(R::SelfApproval));
    assert_eq!(told(&mut waiting(), with(Some(Err("who knows".into())))), Some(R::SelfApproval));
    assert_eq!(told(&mut waiting(), with(None)), None, "not asked yet");
    let mut allowing = terms();
    allowing.approval.self_approval = true;
    let mut grant = waiting();
    let mut tally =
        |himself| take_in(at(30), &mut grant, &world(Judged::Allowed(Box::new(allowing.clone())), vec![with(himself)]));
    assert!(tally(None).open, "who he is must be known: nobody counts twice");
    assert_eq!(tally(Some(Ok(true))).answers[0].status.reason, Some(R::Counted));
}

#[test]
fn service_accounts_approve_by_name_only() {
    let name = "system:serviceaccount:ci:bot";
    let in_group = Ballot { by: Caller { username: name.into(), groups: vec!["sre".into()] }, ..approve("bot") };
    assert_eq!(told(&mut waiting(), in_group.clone()), Some(R::NotApprover));
    let mut naming = terms();
    naming.approval.sets[0]
        .candidates
        .push(Candidate { namespace: Some("ci".into()), ..candidate(IdentityKind::ServiceAccount, "bot") });
    let mut grant = waiting();
    let tally = take_in(at(30), &mut grant, &world(Judged::Allowed(Box::new(naming)), vec![in_group]));
    assert_eq!(tally.answers[0].status.reason, Some(R::Counted));
}

#[test]
fn one_denial_ends_it_and_stays() {
    let mut grant = waiting();
    assert_eq!(told(&mut grant, ballot("eve", Verdict::Deny)), Some(R::NotApprover));
    assert_eq!(told(&mut grant, ballot("alice", Verdict::Deny)), Some(R::NotApprover));
    // Even an approver who may not approve may say no, whatever he looked at.
    let no =
        Ballot { himself: Some(Ok(true)), created: at(5), digest: Some("d0".into()), ..ballot("bob", Verdict::Deny) };
    assert_eq!(told(&mut grant, no), Some(R::Counted));
    assert!(first(&grant, Verdict::Deny).is_some());
    let other = Terms { digest: "d2".into(), ..terms() };
    take_in(at(40), &mut grant, &world(Judged::Allowed(Box::new(other)), Vec::new()));
    take_in(at(41), &mut grant, &world(Judged::Refused(Because::new("NoPolicy", "none")), Vec::new()));
    assert!(first(&grant, Verdict::Deny).is_some(), "a new digest does not void it");
}

#[test]
fn approvals_are_for_one_digest_and_renaming_back_revives_nothing() {
    let mut grant = waiting();
    assert_eq!(
        told(&mut grant, Ballot { created: at(10), ..approve("bob") }),
        Some(R::DigestMismatch),
        "in that same second"
    );
    let named = |digest: &str, created| Ballot { digest: Some(digest.into()), created: at(created), ..approve("bob") };
    assert_eq!(told(&mut grant, named("d0", 20)), Some(R::DigestMismatch));
    assert_eq!(told(&mut grant, named("d1", 9)), Some(R::DigestMismatch), "it was another d1 then");
    assert_eq!(told(&mut grant, named("d1", 10)), Some(R::Counted));
    let judged = |grant: &mut GrantView, digest: &str, now, ballots| {
        let request = Judged::Allowed(Box::new(Terms { digest: digest.into(), ..terms() }));
        take_in(at(now), grant, &world(request, ballots))
    };
    judged(&mut grant, "d2", 40, Vec::new());
    assert!(grant.status.votes.is_empty(), "what was approved changed");
    let tally = judged(&mut grant, "d1", 50, vec![Ballot { uid: "late".into(), ..named("d1", 45) }]);
    assert_eq!(tally.answers[0].status.reason, Some(R::DigestMismatch));
    assert!(grant.status.votes.is_empty() && grant.status.digest_time == Some(Time(at(50))));
}

/// The API server's clock may be ahead of ours.
#[test]
fn what_is_at_hand_was_decided_before_what_it_meets() {
    let mut grant = waiting();
    let early = Ballot { created: at(90), ..approve("bob") };
    let request = Judged::Allowed(Box::new(Terms { digest: "d2".into(), ..terms() }));
    let tally = take_in(at(40), &mut grant, &world(request, vec![early]));
    assert_eq!(tally.answers[0].status.reason, Some(R::DigestMismatch));
    assert_eq!(grant.status.digest_time, Some(Time(at(90))));
}

#[test]
fn who_may_yet_be_an_approver_is_not_refused() {
    let mut grant = grant();
    let unknown = Judged::Unknown(Because::new("RancherUnreachable", "away"));
    assert!(take_in(at(30), &mut grant, &world(unknown, vec![ballot("bob", Verdict::Revoke)])).open);
    let tally =
        take_in(at(31), &mut grant, &world(Judged::Allowed(Box::new(terms())), vec![ballot("bob", Verdict::Revoke)]));
    assert_eq!(tally.answers[0].status.reason, Some(R::Counted));
}

#[test]
fn a_decision_is_about_one_grant() {
    let about = |uid: &str| Ballot { grant_uid: Some(uid.into()), ..approve("bob") };
    assert_eq!(told(&mut waiting(), about("uid-before")), Some(R::DigestMismatch));
    assert_eq!(told(&mut waiting(), about("uid-g")), Some(R::Counted));
    let before = Ballot { created: at(-1), ..ballot("bob", Verdict::Deny) };
    assert_eq!(told(&mut waiting(), before), Some(R::DigestMismatch), "older than the grant");
}

#[test]
fn who_decides_must_be_proven() {
    let with = |proven| Ballot { proven, ..ballot("bob", Verdict::Deny) };
    assert_eq!(told(&mut waiting(), with(Some(false))), Some(R::IdentityUnproven));
    assert_eq!(told(&mut waiting(), with(None)), None);
}

#[test]
fn what_is_not_judged_is_not_decided() {
    let mut grant = waiting();
    let unknown = Judged::Unknown(Because::new("RancherUnreachable", "away"));
    assert!(take_in(at(30), &mut grant, &world(unknown, vec![approve("bob")])).open);
    let refused = Judged::Refused(Because::new("NoPolicy", "none"));
    let tally = take_in(at(30), &mut grant, &world(refused, vec![approve("bob")]));
    assert_eq!(tally.answers[0].status.reason, Some(R::DigestMismatch));
}

fn in_force() -> GrantView {
    let binding = BindingRecord {
        kind: BindingKind::ClusterRoleTemplateBinding,
        cluster: "c-1".into(),
        project: None,
        namespace: "c-1".into(),
        name: "rao-1".into(),
        uid: Some("uid".into()),
        subject: "user:u-alice".into(),
        subject_uid: None,
        role: "r".into(),
        reaches_clusters: false,
        state: BindingState::Present,
        since: at(25).into(),
        touch_pending: false,
        unverified: false,
        lacked_finalizers: false,
        residual: None,
    };
    let mut grant = waiting();
    grant.status.bindings = vec![binding];
    grant.status.expires_time = Some(Time(at(3600)));
    grant.status.phase = Some(Phase::Active);
    grant
}

#[test]
fn access_in_force_can_be_revoked_and_nothing_else() {
    let revoke = |who: &str| ballot(who, Verdict::Revoke);
    for (who, expected) in [("alice", R::Counted), ("bob", R::Counted), ("eve", R::NotApprover)] {
        assert_eq!(told(&mut in_force(), revoke(who)), Some(expected), "{who}");
    }
    assert_eq!(told(&mut in_force(), Ballot { owner: true, ..revoke("eve") }), Some(R::Counted));
    assert_eq!(told(&mut in_force(), Ballot { himself: Some(Ok(true)), ..revoke("u-alice") }), Some(R::Counted));
    assert_eq!(told(&mut in_force(), Ballot { himself: None, ..revoke("eve") }), None, "he may be the subject");
    assert_eq!(told(&mut in_force(), approve("bob")), Some(R::TooLate));
    assert_eq!(told(&mut in_force(), ballot("bob", Verdict::Deny)), Some(R::TooLate));
    let mut ended = in_force();
    ended.status.end = Some(End { reason: EndReason::Expired, time: Time(at(28)) });
    assert_eq!(told(&mut ended, revoke("alice")), Some(R::TooLate));
    let mut over = waiting();
    over.status.phase = Some(Phase::TimedOut);
    assert_eq!(told(&mut over, approve("bob")), Some(R::TooLate));
    assert_eq!(told(&mut over, revoke("alice")), Some(R::TooLate));
}

#[test]
fn what_counted_is_told_again_and_counts_once() {
    let mut grant = waiting();
    assert_eq!(told(&mut grant, approve("bob")), Some(R::Counted));
    assert_eq!(told(&mut grant, approve("bob")), Some(R::Counted), "the answer was lost");
    assert_eq!(grant.status.votes.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// However decisions come, one by one or at once: nobody counts twice, nobody counts who may not, and what counted
    /// stays while the digest does.
    #[test]
    fn no_order_of_decisions_makes_more_of_them(ballots in vec(crate::grant::laws::ballot(), 0..12), at_once: bool) {
        let mut ballots = ballots;
        for (index, ballot) in ballots.iter_mut().enumerate() {
            (ballot.uid, ballot.grant_uid) = (format!("d-{index}"), None);
        }
        let mut grant = waiting();
        let mut before = Vec::new();
        let rounds: Vec<Vec<Ballot>> = if at_once { vec![ballots.clone()] } else { ballots.iter().map(|b| vec![b.clone()]).collect() };
        for round in rounds {
            let tally = take_in(at(30), &mut grant, &world(Judged::Allowed(Box::new(terms())), round.clone()));
            prop_assert!(tally.answers.len() <= round.len());
            prop_assert!(before.iter().all(|vote| grant.status.votes.contains(vote)), "a vote was lost");
            before = grant.status.votes.clone();
        }
        let approvals: Vec<_> = grant.status.votes.iter().filter(|v| v.decision == Verdict::Approve).collect();
        let mut people: Vec<_> = approvals.iter().map(|v| v.by.to_lowercase()).collect();
        people.sort();
        people.dedup();
        prop_assert_eq!(people.len(), approvals.len(), "somebody counted twice");
        for vote in approvals {
            let cast = ballots.iter().find(|b| b.uid == vote.uid).unwrap();
            prop_assert_eq!(cast.proven, Some(true));
            prop_assert_eq!(cast.himself.clone(), Some(Ok(false)));
            prop_assert!(["bob", "carol", "dora"].contains(&&*vote.by), "{} may not", vote.by);
            prop_assert!(cast.created > at(10), "it was made before");
        }
    }
}
