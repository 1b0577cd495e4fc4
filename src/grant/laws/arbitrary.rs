//! Any grant, any world, any clock: also what no operator of ours would have written.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    strategy::{SBoxedStrategy, Union},
    string::string_regex,
};

use super::before::{extended, extending};
use crate::{
    api::{
        AccessGrantStatus, ConditionStatus,
        approval::{ApproverSet, Candidate},
        condition::{Condition, MESSAGE_MAX, one_line},
        decision::Verdict,
        integration::RancherStatus,
        policy::OnPolicyChange,
        reference::{Caller, IdentityKind},
        status::{
            AccessDetails, BindingKind, BindingRecord, BindingState, End, EndReason, IdentityProof, Phase,
            PolicyRecord, TargetDetails,
        },
    },
    grant::{
        Approval, Ballot, Because, GrantKey, GrantView, Judged, Limits, Observed, Progress, Standing, Terms, Tried,
        binding::Goal,
        view::{Summary, is_terminal},
    },
};

/// Around which all times lie, in seconds: 2026-06-01T00:00:00Z.
const MIDDLE: i64 = 1_780_272_000;

const STATES: [BindingState; 6] = [
    BindingState::Intended,
    BindingState::Present,
    BindingState::Yielding,
    BindingState::AlreadyHeld,
    BindingState::Removed,
    BindingState::HandedOver,
];

/// Any time: mostly within three days and often within two minutes, so that ends are near; to the millisecond, as
/// clocks have it. Seldom where timestamps end.
pub(super) fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        10 => (-120_000..120_000_i64).prop_map(at),
        10 => (-259_200_000..259_200_000_i64).prop_map(at),
        1 => select(vec![Timestamp::MAX, Timestamp::UNIX_EPOCH]),
    ]
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(MIDDLE * 1000 + millis).unwrap()
}

/// A time as the API server keeps it in metadata, and we in status: whole seconds.
pub(super) fn whole() -> impl Strategy<Value = Timestamp> {
    prop_oneof![(-120..120_i64), (-259_200..259_200_i64)].prop_map(|s| Timestamp::from_second(MIDDLE + s).unwrap())
}

/// Any text that somebody else may have made: long, in any script, with all that could turn, hide or break a line.
pub(super) fn text() -> impl Strategy<Value = String> {
    // Reading an expression takes far longer than making a text by it.
    static PIECES: LazyLock<[SBoxedStrategy<String>; 4]> = LazyLock::new(|| {
        [r"[a-z ]{0,20}", r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,4}", r"[äöü漢字🦀]{1,6}", r"\PC{0,10}"]
            .map(|r| string_regex(r).unwrap().sboxed())
    });
    let piece = Union::new(PIECES.iter().cloned());
    (vec(piece, 0..8), prop_oneof![9 => Just(1_usize), 1 => 1..80_usize])
        .prop_map(|(pieces, times)| pieces.concat().repeat(times))
}

fn line(max: usize) -> impl Strategy<Value = String> {
    text().prop_map(move |text| one_line(&text, max))
}

pub(super) fn because() -> impl Strategy<Value = Because> {
    let reason =
        select(vec!["RancherUnreachable", "AwaitingRemoval", "PolicyNotFound", "Expired", "Active", "NoLeader"]);
    (reason, text()).prop_map(|(reason, message)| Because::new(reason, message))
}

fn condition() -> impl Strategy<Value = (ConditionStatus, String, String, Timestamp)> {
    let status = select(vec![ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown]);
    let reason = select(vec!["Expired", "Deleted", "RemovedInRancher", "RefusedByRancher", "Active", "Allowed"]);
    (status, reason.prop_map(str::to_owned), line(MESSAGE_MAX), whole())
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    const TYPES: [&str; 8] =
        ["Ready", "Approved", "Granted", "Revoked", "RevocationOverdue", "ResidualAccess", "Reconciling", "Stalled"];
    (proptest::sample::subsequence(TYPES.to_vec(), 0..=TYPES.len()), vec(condition(), TYPES.len())).prop_map(
        |(types, faces)| {
            let condition = |(type_, (status, reason, message, time)): (&str, _)| Condition {
                type_: type_.to_owned(),
                status,
                reason,
                message,
                last_transition_time: Time(time),
                observed_generation: Some(1),
            };
            types.into_iter().zip(faces).map(condition).collect()
        },
    )
}

fn binding() -> impl Strategy<Value = BindingRecord> {
    let uid = option::of(select(vec!["uid-1", "uid-2"]).prop_map(str::to_owned));
    (select(STATES.to_vec()), uid, whole(), any::<bool>()).prop_map(|(state, uid, since, touch_pending)| {
        BindingRecord {
            kind: BindingKind::ClusterRoleTemplateBinding,
            cluster: "c-1".into(),
            project: None,
            namespace: "c-1".into(),
            name: String::new(),
            uid,
            subject: "user:u-1".into(),
            subject_uid: None,
            role: "cluster-member".into(),
            reaches_clusters: false,
            state,
            since: Time(since),
            touch_pending,
            unverified: false,
            lacked_finalizers: false,
            residual: None,
        }
    })
}

/// Bindings, each with a name of its own. Often all of them settled.
fn bindings() -> impl Strategy<Value = Vec<BindingRecord>> {
    (vec(binding(), 1..5), prop::bool::weighted(0.3)).prop_map(|(mut bindings, settle)| {
        for (index, binding) in bindings.iter_mut().enumerate() {
            binding.name = format!("rao-{index}");
            if settle && !binding.is_settled() {
                binding.state = BindingState::Removed;
            }
        }
        bindings
    })
}

fn end() -> impl Strategy<Value = End> {
    let reason = vec![
        EndReason::Expired,
        EndReason::Deleted,
        EndReason::RemovedInRancher,
        EndReason::Refused,
        EndReason::ExtendedGrantEnded,
    ];
    (select(reason), whole()).prop_map(|(reason, time)| End { reason, time: Time(time) })
}

fn policy() -> impl Strategy<Value = PolicyRecord> {
    (1..9_i64).prop_map(|generation| PolicyRecord {
        name: "web".into(),
        uid: "policy-uid".into(),
        generation,
        on_policy_change: OnPolicyChange::Keep,
    })
}

fn details() -> AccessDetails {
    let targets = vec![TargetDetails {
        target: "cluster c-1".into(),
        url: "https://rancher.example.com".into(),
        kubeconfig_command: "rancher clusters kubeconfig c-1".into(),
    }];
    AccessDetails { instructions: None, targets, credentials: None }
}

/// A status with or without an intent. With one, the end is nearly always recorded; a finished one has the time when
/// all was proven gone, and nothing left.
pub(super) fn status(recorded: bool) -> impl Strategy<Value = AccessGrantStatus> {
    let phases = if recorded {
        vec![Phase::Activating, Phase::Active, Phase::Revoking, Phase::Expired, Phase::Revoked, Phase::Failed]
    } else {
        vec![Phase::Pending, Phase::AwaitingApproval, Phase::Scheduled, Phase::TimedOut]
    };
    let bindings = if recorded { bindings().boxed() } else { Just(Vec::new()).boxed() };
    let times = (option::weighted(0.9, whole()), option::of(whole()), option::of(end()), whole());
    (option::weighted(0.9, select(phases)), bindings, times, conditions(), option::of(policy())).prop_map(
        move |(phase, mut bindings, (expires, granted, end, revoked), conditions, policy)| {
            let finished = recorded && phase.is_some_and(is_terminal);
            for binding in bindings.iter_mut().filter(|b| finished && !b.is_settled()) {
                binding.state = BindingState::Removed;
            }
            // What has ended is being taken away, or is finished.
            let phase = if end.is_some() && recorded && !finished { Some(Phase::Revoking) } else { phase };
            AccessGrantStatus {
                phase,
                identity: Some(IdentityProof::Proven),
                conditions,
                policy,
                bindings,
                expires_time: expires.filter(|_| recorded).map(Time),
                granted_time: granted.filter(|_| recorded).map(Time),
                end: end.filter(|_| recorded),
                revoked_time: finished.then_some(Time(revoked)),
                ..AccessGrantStatus::default()
            }
        },
    )
}

/// Any grant: half of them with a recorded intent.
pub(super) fn grant() -> BoxedStrategy<GrantView> {
    any::<bool>().prop_flat_map(view).prop_flat_map(perhaps_extending).boxed()
}

/// Any grant whose intent is recorded.
pub(super) fn recorded() -> BoxedStrategy<GrantView> {
    view(true).prop_flat_map(perhaps_extending).boxed()
}

fn perhaps_extending(grant: GrantView) -> BoxedStrategy<GrantView> {
    prop_oneof![2 => Just(grant.clone()), 1 => extending(grant)].boxed()
}

/// When it was created and deleted, whether our finalizer is on it, and its generation.
pub(super) fn meta() -> impl Strategy<Value = (Timestamp, Option<Timestamp>, bool, Option<i64>)> {
    (whole(), option::weighted(0.3, whole()), any::<bool>(), option::of(1..9_i64))
}

pub(super) fn view(recorded: bool) -> BoxedStrategy<GrantView> {
    let summary = line(600).prop_map(|l| Summary { subject: l.clone(), target: l.clone(), role: l });
    let asked = (option::weighted(0.3, time()), option::weighted(0.4, time()));
    (meta(), asked, summary, status(recorded))
        .prop_map(|((created, deleted, finalizer, generation), (start_time, end_time), summary, status)| GrantView {
            key: GrantKey { namespace: "web".into(), name: "grant".into() },
            uid: "grant-uid".into(),
            generation,
            created,
            deleted,
            finalizer,
            start_time,
            end_time,
            extends: None,
            local_user: None,
            requester: "alice".into(),
            dry_run: false,
            abandoned: false,
            summary,
            status,
        })
        .boxed()
}

/// Any length of time, in seconds, from one second to what no timestamp can hold.
fn length() -> impl Strategy<Value = SignedDuration> {
    prop_oneof![20 => 1..200_000_i64, 1 => Just(i64::MAX)].prop_map(SignedDuration::from_secs)
}

/// So many approvals of bob and carol.
pub(super) fn approval(required: i32, timeout: SignedDuration) -> Approval {
    let candidate =
        |name: &str| Candidate { kind: IdentityKind::User, name: name.to_owned(), namespace: None, display_name: None };
    let set = ApproverSet {
        name: "policy web".to_owned(),
        required,
        approved: 0,
        candidates: vec![candidate("bob"), candidate("carol")],
        source: "policy".to_owned(),
    };
    let sets = if required > 0 { vec![set] } else { Vec::new() };
    Approval { sets, timeout, self_approval: false, contact: None }
}

fn terms() -> impl Strategy<Value = Terms> {
    let approvals = prop_oneof![3 => Just(0), 1 => 1..4_i32];
    (policy(), approvals, length(), length(), bindings()).prop_map(
        |(policy, required, timeout, duration, mut bindings)| {
            for binding in &mut bindings {
                (binding.state, binding.uid, binding.touch_pending) = (BindingState::Intended, None, false);
            }
            let rancher = RancherStatus {
                version: Some("v2.15.0".into()),
                install_uuid: Some("install".into()),
                rbac_model: None,
            };
            let digest = format!("{required}{timeout}");
            let approval = approval(required, timeout);
            let (required_by, resolved) = (Vec::new(), vec!["role r on cluster c-1 for alice".to_owned()]);
            let continuous_since = None;
            Terms {
                policy,
                required_by,
                approval,
                digest,
                resolved,
                continuous_since,
                duration,
                rancher,
                bindings,
                details: details(),
            }
        },
    )
}

pub(super) fn judged() -> impl Strategy<Value = Judged> {
    prop_oneof![
        1 => Just(Judged::NotAsked),
        2 => because().prop_map(Judged::Unknown),
        2 => because().prop_map(Judged::Refused),
        5 => terms().prop_map(|terms| Judged::Allowed(Box::new(terms))),
    ]
}

fn progress() -> impl Strategy<Value = Progress> {
    let retry = (0..7_200_000_i64).prop_map(SignedDuration::from_millis);
    prop_oneof![
        6 => Just(Progress::Done),
        3 => (because(), retry).prop_map(|(because, retry)| Progress::Waiting { because, retry }),
        1 => text().prop_map(Progress::RemovedInRancher),
        1 => text().prop_map(Progress::Refused),
    ]
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        8 => Just(Standing::Stands),
        1 => text().prop_map(Standing::Kept),
        1 => text().prop_map(Standing::Ends),
    ]
}

/// Any decision about the grant, by whoever may or may not.
pub(in crate::grant) fn ballot() -> impl Strategy<Value = Ballot> {
    let verdict = select(vec![Verdict::Approve, Verdict::Approve, Verdict::Approve, Verdict::Deny, Verdict::Revoke]);
    let who = select(vec!["alice", "bob", "Bob", "carol", "eve", "system:serviceaccount:a:b"]);
    let himself =
        option::weighted(0.9, prop_oneof![6 => Just(Ok(false)), 1 => Just(Ok(true)), 1 => text().prop_map(Err)]);
    let uid = (select(vec!["d-1", "d-2", "d-3", "d-4"]), option::weighted(0.2, select(vec!["grant-uid", "other"])));
    let proven = option::weighted(0.95, prop::bool::weighted(0.9));
    (verdict, who, himself, uid, proven, whole(), any::<bool>()).prop_map(
        |(decision, who, himself, (uid, grant_uid), proven, created, owner)| Ballot {
            name: uid.to_owned(),
            uid: uid.to_owned(),
            decision,
            by: Caller { username: who.to_owned(), groups: Vec::new() },
            grant_uid: grant_uid.map(str::to_owned),
            digest: None,
            created,
            proven,
            himself,
            rancher_user: Some(format!("user:u-{}", who.to_lowercase())),
            owner,
        },
    )
}

/// What was observed about `grant`: nothing tried yet, or every binding.
pub(super) fn world(grant: &GrantView) -> impl Strategy<Value = Observed> + use<> {
    let tried = (select(vec![Goal::Give, Goal::Take]), vec(progress(), grant.status.bindings.len()));
    let tried = option::of(tried.prop_map(|(goal, progress)| Tried { goal, progress }));
    (any::<bool>(), judged(), extended(), tried, vec(ballot(), 0..3), standing(), any::<bool>()).prop_map(
        |(may_create, request, extended, tried, ballots, policy, out_of_reach)| Observed {
            may_create,
            request,
            extended,
            tried,
            ballots,
            policy,
            out_of_reach,
        },
    )
}

/// A grant with what was observed about it.
pub(super) fn case() -> impl Strategy<Value = (GrantView, Observed)> {
    grant().prop_flat_map(with_world)
}

/// A grant whose intent is recorded, with what was observed about it.
pub(super) fn recorded_case() -> impl Strategy<Value = (GrantView, Observed)> {
    recorded().prop_flat_map(with_world)
}

pub(super) fn with_world(grant: GrantView) -> impl Strategy<Value = (GrantView, Observed)> {
    let world = world(&grant);
    (Just(grant), world)
}

pub(super) fn limits() -> impl Strategy<Value = Limits> {
    (length(), 1..3_600_i64, 1..60_i64).prop_map(|(pending, judge, unknown)| Limits {
        pending,
        judge_again: SignedDuration::from_secs(judge),
        unknown_again: SignedDuration::from_secs(unknown),
    })
}
