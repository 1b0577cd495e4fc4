//! Whose a cluster or project is: what a label or annotation there says, and since when it must have said so to be believed.
//!
//! Whoever manages a cluster or project can write its labels and annotations. So a value is believed only once it has
//! stood for a while, in which its true owner can notice; and what is not believed falls to the integration's owner.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    duration::{parse_duration, show},
    refusal::quote,
};
use crate::api::{
    condition::one_line,
    integration::{OwnerRecord, ResourceOwner},
};

/// Longest name of an owner, in bytes, and longest id of what he owns; as in the schema of integrations.
const OWNER_MAX: usize = 253;
const RESOURCE_MAX: usize = 128;

/// How many owners are recorded; as in the schema.
const RECORDS_MAX: usize = 4096;

/// How much they may weigh together, in bytes of JSON: an object of Kubernetes has room for a million and a half, and
/// whoever may make projects must not be able to make the integration's status impossible to write.
const WEIGHT_MAX: usize = 1_000_000;

/// Where a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// In a label; or in a label and an annotation, equal.
    Label,
    /// In an annotation.
    Annotation,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Label => "label",
            Self::Annotation => "annotation",
        })
    }
}

/// Whose a cluster or project says it is, whether that is believed or not.
///
/// # Errors
/// In words why it says nothing: no value, two that differ, or none that status could show.
pub fn said_owner<'a>(
    key: &str,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
) -> Result<(Mark, &'a str), String> {
    let by =
        |map: &'a BTreeMap<String, String>| map.get(key).map(String::as_str).filter(|value| !value.trim().is_empty());
    let (mark, value) = match (by(labels), by(annotations)) {
        (None, None) => return Err(format!("it has no label or annotation {} with a value", quote(key))),
        (Some(label), Some(annotation)) if label != annotation => {
            return Err(format!(
                "its label {0}={1} and its annotation {0}={2} differ",
                quote(key),
                quote(label),
                quote(annotation)
            ));
        }
        (Some(label), _) => (Mark::Label, label),
        (None, Some(annotation)) => (Mark::Annotation, annotation),
    };
    match is_fit(value, OWNER_MAX) {
        true => Ok((mark, value)),
        false => Err(format!(
            "the value of its {mark} {} has more than {OWNER_MAX} bytes, or characters that hide or turn text",
            quote(key)
        )),
    }
}

/// The owner that is believed.
///
/// # Errors
/// In words why none is: as [`said_owner`]; or the value has not stood for `settle`, since the time in `recorded`.
pub fn owner_of<'a>(
    owner: &ResourceOwner,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    recorded: Option<&OwnerRecord>,
    now: Timestamp,
) -> Result<&'a str, String> {
    let (mark, value) = said_owner(&owner.key, labels, annotations)?;
    let settle = parse_duration(&owner.settle)
        .ok_or_else(|| format!("spec.resourceOwner.settle {} cannot be read", quote(&owner.settle)))?;
    if settle.is_zero() {
        return Ok(value);
    }
    let said = format!("its {mark} {}={}", quote(&owner.key), quote(value));
    let Some(recorded) = recorded.filter(|recorded| recorded.owner == value) else {
        return Err(format!(
            "{said} is new, and not in the integration's status yet: it is believed once it has stood there for {}",
            show(settle)
        ));
    };
    // A time beyond all times never comes.
    match recorded.since.0.checked_add(settle) {
        Ok(from) if from <= now => Ok(value),
        Ok(from) => Err(format!(
            "{said} stands since {} and is believed from {from} on, after {} (spec.resourceOwner.settle)",
            recorded.since.0,
            show(settle)
        )),
        Err(_) => Err(format!("{said} is believed after {}, which never ends", show(settle))),
    }
}

/// What is to be kept of who owns what: for each resource that was `seen` with a value since when that stands, as far as
/// `stood` says. A value that is new or changed stands since `now`, and so does one that changed back. What does not fit
/// is not kept, and so not believed: the last by resource.
pub fn record_owners(
    owner: Option<&ResourceOwner>,
    seen: &[(String, Option<String>)],
    stood: &[OwnerRecord],
    now: Timestamp,
) -> Vec<OwnerRecord> {
    if owner.is_none() {
        return Vec::new();
    }
    let mut since: HashMap<(&str, &str), Timestamp> = HashMap::new();
    for record in stood {
        let latest = since.entry((&record.resource, &record.owner)).or_insert(record.since.0);
        *latest = record.since.0.max(*latest);
    }
    let seen: BTreeMap<&str, &str> = seen
        .iter()
        .filter_map(|(resource, value)| Some((resource.as_str(), value.as_deref()?)))
        .filter(|(resource, value)| is_fit(resource, RESOURCE_MAX) && is_fit(value, OWNER_MAX))
        .collect();
    let mut weight = 0_usize;
    seen.into_iter()
        .take(RECORDS_MAX)
        .map(|(resource, owner)| {
            // What was written down for a time to come, by a clock that was wrong, counts from now: it is seen to stand.
            let since = since.get(&(resource, owner)).map_or(now, |since| *since.min(&now));
            OwnerRecord { resource: resource.to_owned(), owner: owner.to_owned(), since: Time(since) }
        })
        .take_while(|record| {
            weight = weight.saturating_add(weigh(record));
            weight <= WEIGHT_MAX
        })
        .collect()
}

/// Whether the schema lets a text into status: not empty, not too long, and of nothing that hides or turns text.
fn is_fit(text: &str, max: usize) -> bool {
    !text.is_empty() && text.len() <= max && one_line(text, usize::MAX) == text
}

/// No less than what the record takes in JSON, where a character may be written as six.
fn weigh(record: &OwnerRecord) -> usize {
    const FRAME: usize = r#"{"resource":"","owner":"","since":"2026-06-01T12:00:00.000000000Z"},"#.len();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b" -_.:/@=+,".contains(&b);
    let text = |text: &str| text.bytes().fold(0_usize, |sum, b| sum.saturating_add(if plain(b) { 1 } else { 6 }));
    FRAME.saturating_add(text(&record.resource)).saturating_add(text(&record.owner))
}
