//! The operator's own key, while it is replaced.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use testkit::apiserver::{Changed, EventType};

use super::Truth;
use crate::embedded::NAMESPACE;

/// Keys by name, without their kind.
#[derive(Default)]
pub(super) struct Keys {
    /// What the Secret holds.
    held: Option<String>,
    /// What was made, and what was deleted.
    made: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// Whether anybody is to look.
    guarded: bool,
}

impl Keys {
    /// Those that Rancher takes and nobody holds.
    fn left(&self) -> Vec<&String> {
        let others = self.made.difference(&self.deleted);
        others.filter(|key| Some(*key) != self.held.as_ref()).collect()
    }
}

/// The name in a bearer: `token-xxxxx` of `ext/token-xxxxx:…`.
fn name(bearer: &str) -> String {
    bearer.trim_start_matches("ext/").split(':').next().unwrap_or_default().to_owned()
}

impl Truth {
    /// From now on the Secret, which holds that key, must hold one that works.
    pub fn guard_the_key(&self, bearer: &str) {
        let mut state = self.state();
        state.keys.guarded = true;
        state.keys.held = Some(name(bearer));
        state.keys.made.insert(name(bearer));
    }

    pub(super) fn key_changed(&self, changed: &Changed<'_>) {
        let mut state = self.state();
        let keys = &mut state.keys;
        match changed.gvr.resource.as_str() {
            "tokens" if changed.event == EventType::Deleted => drop(keys.deleted.insert(changed.name.to_owned())),
            "tokens" => drop(keys.made.insert(changed.name.to_owned())),
            _ if (changed.namespace, changed.name) == (NAMESPACE, "rancher-prod") => {
                let data = changed.object["data"]["token"].as_str().unwrap_or_default();
                let bearer = BASE64.decode(data.as_bytes()).unwrap_or_default();
                keys.held = Some(name(&String::from_utf8_lossy(&bearer)));
            }
            _ => return,
        }
        if let Some(dead) = keys.held.as_ref().filter(|held| keys.guarded && keys.deleted.contains(*held)) {
            let found = format!("the key: the Secret holds {dead}, which is deleted in Rancher");
            state.violations.push(found);
        }
        drop(state);
        self.0.ticks.send_modify(|tick| *tick += 1);
    }

    /// Whether another key than that stands in the Secret.
    pub fn has_another_key_than(&self, bearer: &str) -> bool {
        self.state().keys.held.as_ref().is_some_and(|held| *held != name(bearer))
    }

    /// Whether Rancher takes no key but the one in the Secret.
    pub fn has_one_key(&self) -> bool {
        let state = self.state();
        !state.keys.guarded || state.keys.left().is_empty()
    }
}
