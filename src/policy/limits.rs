//! How long access may last, and whether a grant keeps to that.

use jiff::{SignedDuration, Timestamp};

use super::{
    duration::{parse_duration, show},
    facts::Continuous,
    refusal::{Miss, Refusal, RefusalReason, Step, quote},
};
use crate::api::{
    AccessGrantSpec, AccessPolicySpec,
    policy::{Durations, Effect},
};

/// How far ahead a start may lie where a policy does not say.
const MAX_AHEAD: SignedDuration = SignedDuration::from_hours(168);

/// The times and numbers of a policy, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub default: SignedDuration,
    /// `None`: no limit. An `Allow` policy always has one.
    pub max: Option<SignedDuration>,
    pub max_continuous: Option<SignedDuration>,
    pub max_ahead: Option<SignedDuration>,
    pub approvals: i32,
    pub timeout: SignedDuration,
}

impl Limits {
    /// # Errors
    /// The field that makes no sense, and what to write there.
    pub(super) fn of(spec: &AccessPolicySpec) -> Result<Self, String> {
        let allows = spec.effect == Effect::Allow;
        let stated = spec.duration.clone().or_else(|| allows.then(Durations::default));
        let durations = stated.unwrap_or_default();
        let default = positive("spec.duration.default", &durations.default)?;
        let max = positive("spec.duration.max", &durations.max)?;
        let max_continuous = optional("spec.duration.maxContinuous", durations.max_continuous.as_deref())?;
        let max_ahead = optional("spec.maxAhead", spec.max_ahead.as_deref())?;
        let timeout = positive("spec.approval.timeout", &spec.approval.timeout)?;
        let approvals = spec.approval.required;
        if default > max {
            return Err(
                "spec.duration.default is longer than spec.duration.max: the platform team must make it shorter"
                    .to_owned(),
            );
        }
        if approvals < 0 {
            return Err("spec.approval.required is negative: the platform team must write 0 or more".to_owned());
        }
        let max = (allows || spec.duration.is_some()).then_some(max);
        let max_ahead = max_ahead.or_else(|| allows.then_some(MAX_AHEAD));
        Ok(Self { default, max, max_continuous, max_ahead, approvals, timeout })
    }
}

fn optional(field: &str, text: Option<&str>) -> Result<Option<SignedDuration>, String> {
    text.map(|text| positive(field, text)).transpose()
}

fn positive(field: &str, text: &str) -> Result<SignedDuration, String> {
    parse_duration(text).filter(SignedDuration::is_positive).ok_or_else(|| {
        let text = quote(text);
        format!("{field} is {text:?}: the platform team must write hours, minutes and seconds, like 1h30m")
    })
}

/// How long a grant asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// So long, from the moment that the access is given.
    For(SignedDuration),
    /// Until a fixed end, which is so far from the moment when the access could begin.
    Until(SignedDuration),
    /// As long as the policy says.
    Default,
}

/// How long the grant asks for.
///
/// # Errors
/// `EndPassed` and `TimeInvalid`, whatever the policies say.
pub(super) fn asked(spec: &AccessGrantSpec, from: Option<Timestamp>, now: Timestamp) -> Result<Asked, Refusal> {
    let invalid = |message: String| Err(Refusal::new(RefusalReason::TimeInvalid, message));
    match (&spec.duration, &spec.end_time) {
        (Some(_), Some(_)) => {
            invalid("The grant sets both spec.duration and spec.endTime. Create it anew with one of them".to_owned())
        }
        (Some(text), None) => match parse_duration(text) {
            Some(length) if length >= SignedDuration::from_secs(1) => Ok(Asked::For(length)),
            _ => invalid(format!(
                "spec.duration is {:?}. Create the grant anew with hours, minutes and seconds, like 1h30m",
                quote(text)
            )),
        },
        (None, Some(end)) if end.0 <= now => Err(Refusal::new(
            RefusalReason::EndPassed,
            format!("spec.endTime {} has passed. Create another grant with a later end", end.0),
        )),
        (None, Some(end)) => {
            let start = from.or(spec.start_time.as_ref().map(|start| start.0));
            let start = start.map_or(now, |start| start.max(now));
            let length = end.0.duration_since(start);
            if length.is_positive() {
                return Ok(Asked::Until(length));
            }
            if from.is_some() {
                return invalid(format!(
                    "spec.endTime {} is not after {start}, when the grant ends that it extends. Create the grant anew with a later end",
                    end.0
                ));
            }
            invalid(format!(
                "spec.startTime {start} is not before spec.endTime {}. Create the grant anew with an earlier start",
                end.0
            ))
        }
        (None, None) => Ok(Asked::Default),
    }
}

/// How long the access lasts by this policy.
pub(super) fn check(asked: Asked, limits: &Limits) -> Result<SignedDuration, Miss> {
    let (length, field, remedy) = match asked {
        Asked::For(length) => (length, "spec.duration", "Create another grant with a shorter duration"),
        Asked::Until(length) => {
            (length, "the time until spec.endTime", "Move spec.endTime earlier, or wait until it is near enough")
        }
        Asked::Default => return Ok(limits.default),
    };
    let Some(max) = limits.max.filter(|max| length > *max) else { return Ok(length) };
    let (length, max) = (show(length), show(max));
    Err(Miss::new(
        Step::Time,
        RefusalReason::DurationTooLong,
        format!("{field} is {length}, and its spec.duration.max is {max}. {remedy}"),
    ))
}

/// Whether a machine says when its access ends: a pipeline that makes its grant anew whenever it is gone would else have
/// access for ever, where nobody approves.
pub(super) fn check_end(spec: &AccessGrantSpec, asked: Asked, limits: &Limits) -> Result<(), Miss> {
    if !spec.requested_by.is_service_account() || limits.approvals > 0 || matches!(asked, Asked::Until(_)) {
        return Ok(());
    }
    let why = "a ServiceAccount whose grants nobody approves must set spec.endTime instead of spec.duration. Create the grant anew with an end";
    Err(Miss::new(Step::Time, RefusalReason::EndTimeRequired, why))
}

/// Whether the start lies near enough.
pub(super) fn check_ahead(spec: &AccessGrantSpec, now: Timestamp, limits: &Limits) -> Result<(), Miss> {
    let ahead = spec.start_time.as_ref().map(|start| start.0.duration_since(now));
    let (Some(ahead), Some(max)) = (ahead, limits.max_ahead) else { return Ok(()) };
    if ahead <= max {
        return Ok(());
    }
    let why = format!(
        "spec.startTime lies {} ahead, and its spec.maxAhead is {}. Create the grant later, or another one with an earlier start",
        show(ahead),
        show(max)
    );
    Err(Miss::new(Step::Time, RefusalReason::StartTooFar, why))
}

/// Whether the same access would not last too long through this grant and those before it.
pub(super) fn check_continuous(
    continuous: Option<&Continuous>,
    length: SignedDuration,
    limits: &Limits,
) -> Result<(), Miss> {
    let (Some(Continuous { since, begin }), Some(max)) = (continuous, limits.max_continuous) else { return Ok(()) };
    let total = begin.checked_add(length).map_or(SignedDuration::MAX, |end| end.duration_since(*since));
    if total <= max {
        return Ok(());
    }
    let why = format!(
        "the same access would have lasted {} without a pause, since {since}, and its spec.duration.maxContinuous is {}. Ask for less, or create another grant {} after the access has ended",
        show(total),
        show(max),
        show(super::facts::PAUSE)
    );
    Err(Miss::new(Step::Time, RefusalReason::ContinuousTooLong, why))
}
