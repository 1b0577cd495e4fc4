//! Conditions, as every kind here carries them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// Longest message of a condition, in bytes: long enough for a sentence with its remedy, short enough to be read.
pub const MESSAGE_MAX: usize = 2048;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be known at present.
    Unknown,
}

/// One aspect of the object's state: `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the condition is about. Example: `Ready`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub type_: String,
    /// One of `True`, `False`, `Unknown`.
    pub status: ConditionStatus,
    /// Why, in one word for programs. Example: `AwaitingApproval`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub reason: String,
    /// Why, in a sentence for people: what happened, what it means, what to do.
    #[schemars(length(max = 2048), regex(pattern = schema::TEXT))]
    pub message: String,
    /// When `status` last changed, in UTC.
    pub last_transition_time: Time,
    /// The generation of the spec that this was judged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Sets a condition; `lastTransitionTime` moves only when the status changes.
pub fn set(
    conditions: &mut Vec<Condition>,
    now: Timestamp,
    generation: Option<i64>,
    type_: &str,
    status: ConditionStatus,
    reason: &str,
    message: impl AsRef<str>,
) {
    let message = one_line(message.as_ref(), MESSAGE_MAX);
    if let Some(held) = conditions.iter_mut().find(|c| c.type_ == type_) {
        if held.status != status {
            held.last_transition_time = Time(now);
        }
        held.status = status;
        held.reason = reason.to_owned();
        held.message = message;
        held.observed_generation = generation;
        return;
    }
    conditions.push(Condition {
        type_: type_.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: Time(now),
        observed_generation: generation,
    });
}

/// Takes a condition away: for those that are present only while they are true.
pub fn unset(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|c| c.type_ != type_);
}

/// The condition of that type, if it is there.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Makes text fit for status: one line without control characters, at most `max` bytes.
pub fn one_line(text: &str, max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let c = if c.is_control() || is_format(c) { ' ' } else { c };
        if line.len() + c.len_utf8() + '…'.len_utf8() > max {
            line.push('…');
            break;
        }
        line.push(c);
    }
    line
}

/// Characters of Unicode's class Cf, Zl and Zp that could turn or hide text.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}'
        | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_moves_its_time_only_with_its_status() {
        let (t1, t2): (Timestamp, Timestamp) =
            ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-01-01T00:01:00Z".parse().unwrap());
        let mut held = Vec::new();
        set(&mut held, t1, Some(1), "Ready", ConditionStatus::False, "Waiting", "first");
        set(&mut held, t2, Some(1), "Ready", ConditionStatus::False, "Other", "second");
        assert_eq!(held[0].last_transition_time.0, t1);
        set(&mut held, t2, Some(1), "Ready", ConditionStatus::True, "Done", "third");
        assert_eq!(held[0].last_transition_time.0, t2);
        assert_eq!(held.len(), 1);
    }

    #[test]
    fn text_is_cut_on_a_character_and_loses_what_could_hide() {
        assert_eq!(one_line("a\nb\u{202e}c", 100), "a b c");
        let cut = one_line(&"ü".repeat(50), 21);
        assert!(cut.len() <= 21 && cut.ends_with('…'), "{cut}");
    }
}
