//! Since when the policies stand, recorded in a ConfigMap of the operator's namespace.
//!
//! UID and generation tell a change and its undoing even where nobody looked meanwhile. Whoever can write here can write the
//! installation's Secret too.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, api::PostParams};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{Failure, shipped::Standing};
use crate::controller::{brief, find};

/// Name of the ConfigMap.
pub const CONFIG_MAP: &str = "rancher-access-admission";

/// Its key for the last time that nobody checked: when that ended, or [`OPEN`] while it has not.
const GAP: &str = "gap";
const OPEN: &str = "open";

/// One policy or binding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    uid: String,
    generation: i64,
    /// Since when it stands so.
    since: Timestamp,
}

/// When nobody checked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gap {
    /// Somebody saw that nobody checks, and nobody yet that somebody does.
    Open,
    /// The last one was over then.
    Until(Timestamp),
}

/// What is recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    entries: BTreeMap<String, Entry>,
    gap: Option<Gap>,
}

impl Record {
    /// What is to be recorded where these stand now. `lapsed` is when this process last saw that nobody checks.
    pub(super) fn standing(&self, found: &[Standing], lapsed: Option<Timestamp>, now: Timestamp) -> Self {
        let entries = found.iter().map(|one| {
            let known =
                self.entries.get(&one.key).filter(|known| known.uid == one.uid && known.generation == one.generation);
            // The first generation has stood since it was created, a later one at least since now.
            let first = || if one.generation == 1 { one.created.unwrap_or(now) } else { now };
            let since = known.map_or_else(first, |known| known.since);
            (one.key.clone(), Entry { uid: one.uid.clone(), generation: one.generation, since })
        });
        let gap = match (self.gap, lapsed) {
            (Some(Gap::Open), _) => Some(Gap::Until(now)),
            // The other replica may have recorded that it is over.
            (Some(Gap::Until(end)), Some(lapsed)) if end < lapsed => Some(Gap::Until(now)),
            (None, Some(_)) => Some(Gap::Until(now)),
            (gap, _) => gap,
        };
        Self { entries: entries.collect(), gap }
    }

    /// The same while nobody checks.
    pub(super) fn in_gap(&self) -> Self {
        Self { gap: Some(Gap::Open), ..self.clone() }
    }

    /// Since when all has stood.
    pub fn since(&self) -> Timestamp {
        let gap = match self.gap {
            Some(Gap::Until(end)) => end,
            Some(Gap::Open) => Timestamp::MAX,
            None => Timestamp::MIN,
        };
        self.entries.values().map(|entry| entry.since).fold(gap, Timestamp::max)
    }

    /// Reads what [`Record::print`] wrote.
    ///
    /// # Errors
    /// Which key cannot be read, and why.
    pub fn parse(data: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut record = Self::default();
        for (key, text) in data {
            if key != GAP {
                let entry = serde_json::from_str(text).map_err(|error| format!("{key}: {error}"))?;
                record.entries.insert(key.clone(), entry);
            } else if text == OPEN {
                record.gap = Some(Gap::Open);
            } else {
                record.gap = Some(Gap::Until(text.parse().map_err(|error| format!("{GAP}: {error}"))?));
            }
        }
        Ok(record)
    }

    /// As it is stored: the data of a ConfigMap.
    pub fn print(&self) -> BTreeMap<String, String> {
        let entries = self.entries.iter().map(|(key, entry)| (key.clone(), serde_json::json!(entry).to_string()));
        let gap = self.gap.map(|gap| match gap {
            Gap::Open => OPEN.to_owned(),
            Gap::Until(end) => end.to_string(),
        });
        entries.chain(gap.map(|gap| (GAP.to_owned(), gap))).collect()
    }
}

/// What is stored, and where: to write only over that.
pub(super) struct Stored {
    pub record: Record,
    object: Option<ConfigMap>,
}

/// Reads the record. One that is there but says nothing counts as one of a gap that is not over.
pub(super) async fn read(client: &Client, namespace: &str) -> Result<Stored, Failure> {
    let found = find(&Api::<ConfigMap>::namespaced(client.clone(), namespace), CONFIG_MAP).await;
    let object = found.map_err(|error| cannot("read", namespace, &error))?;
    let data = object.as_ref().map(|map| map.data.clone().unwrap_or_default());
    let parse = |data: BTreeMap<_, _>| match data.is_empty() {
        true => Err("it is empty".to_owned()),
        false => Record::parse(&data),
    };
    let record = data.map_or_else(|| Ok(Record::default()), parse).unwrap_or_else(|error| {
        warn!(error, "The ConfigMap {namespace}/{CONFIG_MAP} cannot be understood: it is written anew");
        Record::default().in_gap()
    });
    Ok(Stored { record, object })
}

/// Writes the record over what was read; whether that was still what is stored.
pub(super) async fn write(client: &Client, namespace: &str, stored: &Stored, record: &Record) -> Result<bool, Failure> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let mut object = stored.object.clone().unwrap_or_default();
    object.data = Some(record.print());
    object.metadata.managed_fields = None;
    let written = if stored.object.is_some() {
        api.replace(CONFIG_MAP, &PostParams::default(), &object).await
    } else {
        object.metadata.name = Some(CONFIG_MAP.to_owned());
        api.create(&PostParams::default(), &object).await
    };
    match written {
        Ok(_) => Ok(true),
        // 409 for both: it exists by now, or was changed; 404: it was deleted.
        Err(kube::Error::Api(status)) if status.code == 409 || (status.code == 404 && stored.object.is_some()) => {
            Ok(false)
        }
        Err(error) => Err(cannot("written", namespace, &error)),
    }
}

fn cannot(what: &str, namespace: &str, error: &kube::Error) -> Failure {
    Failure::unknown(format!(
        "Since when the API server checks who asks cannot be {what} in the ConfigMap {namespace}/{CONFIG_MAP}: {}. Where that is forbidden, apply config/rbac.",
        brief(error)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000 + second).unwrap()
    }

    fn policy(uid: &str, generation: i64, created: i64) -> Standing {
        Standing { key: "P.p".into(), uid: uid.into(), generation, created: Some(at(created)) }
    }

    #[test]
    fn what_stands_unchanged_keeps_its_time_and_what_changed_begins_anew() {
        let first = Record::default().standing(&[policy("u", 1, 3)], None, at(50));
        assert_eq!(first.since(), at(3), "the first generation stands since it was created");
        assert_eq!(first.standing(&[policy("u", 1, 3)], None, at(99)), first);
        let edited = first.standing(&[policy("u", 3, 3)], None, at(60));
        assert_eq!(edited.since(), at(60), "changed and changed back");
        assert_eq!(edited.standing(&[policy("u", 3, 3)], None, at(99)).since(), at(60));
        assert_eq!(first.standing(&[policy("v", 1, 55)], None, at(60)).since(), at(55), "deleted and made again");
        assert_eq!(Record::default().standing(&[policy("u", 4, 3)], None, at(50)).since(), at(50));
        let other = Standing { key: "P.q".into(), ..policy("w", 1, 30) };
        assert_eq!(first.standing(&[policy("u", 1, 3), other], None, at(50)).since(), at(30), "the latest of all");
    }

    #[test]
    fn a_gap_is_remembered_by_the_process_and_by_the_record() {
        let found = [policy("u", 1, 3)];
        let good = Record::default().standing(&found, None, at(10));
        let seen = good.standing(&found, Some(at(20)), at(25));
        assert_eq!(seen.since(), at(25), "this process saw it");
        assert_eq!(seen.standing(&found, None, at(40)).since(), at(25));
        let noted = good.in_gap();
        assert_eq!(noted.since(), Timestamp::MAX, "nothing is proven while it lasts");
        let restarted = Record::parse(&noted.print()).unwrap().standing(&found, None, at(30));
        assert_eq!(restarted.since(), at(30), "a process that did not see it");
        assert_eq!(restarted.standing(&found, Some(at(20)), at(35)), restarted, "the other replica wrote its end");
        assert_eq!(restarted.standing(&found, Some(at(31)), at(35)).since(), at(35));
    }

    #[test]
    fn it_reads_back_and_what_cannot_be_read_is_told() {
        let record = Record::default().standing(&[policy("u", 2, 3)], Some(at(5)), at(7));
        assert_eq!(Record::parse(&record.print()).unwrap(), record);
        for (key, text) in [("P.p", "yes"), (GAP, "yesterday"), ("P.p", "{}")] {
            assert!(Record::parse(&[(key.to_owned(), text.to_owned())].into()).is_err(), "{key}: {text}");
        }
    }
}
