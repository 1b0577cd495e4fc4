//! What the operator keeps in ConfigMaps: since when identities are proven, and which installation serves a Rancher.
//!
//! Input: the data of a ConfigMap, as JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rancher_access_operator::{controller::proof::record::Record, rancher::claim::ConfigMap};

pub fn check(input: &[u8]) {
    if let Ok(data) = serde_json::from_slice::<BTreeMap<String, String>>(input) {
        // An error is for the log, and from the operator's own namespace.
        if let Ok(record) = Record::parse(&data) {
            assert_eq!(Record::parse(&record.print()).as_ref(), Ok(&record), "what is written reads the same");
            let since = record.since();
            if data.get("gap").is_some_and(|gap| gap == "open") {
                assert_eq!(since, Timestamp::MAX, "nothing is proven in a gap");
            }
            assert_eq!(data.len(), record.print().len(), "nothing is left out");
        }
    }
    if let Ok(map) = serde_json::from_slice::<ConfigMap>(input) {
        let shown = serde_json::to_vec(&map).unwrap();
        assert_eq!(serde_json::from_slice::<ConfigMap>(&shown).unwrap(), map, "what is written reads the same");
    }
}
