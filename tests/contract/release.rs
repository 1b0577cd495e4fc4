//! What depends on the release and the way to it: behaviours ask here before they expect anything.
use serde_json::Value;

use super::{
    context::Context,
    http::Answer,
    outcome::{Instead, Outcome, Seen},
};

/// Major, minor, patch.
pub type Release = (u16, u16, u16);

/// `v2.15.0` as numbers. What cannot be read is taken for the newest.
pub fn release(version: &str) -> Release {
    let mut parts = version.trim_start_matches('v').split(['.', '-']).map(|part| part.parse().ok());
    let mut next = || parts.next().flatten();
    match (next(), next(), next()) {
        (Some(major), Some(minor), Some(patch)) => (major, minor, patch),
        _ => (2, 15, 0),
    }
}

impl Context {
    /// The finalizers that this release puts on a binding of Rancher's cluster: `crtb` or `prtb`.
    pub fn finalizers(&self, kind: &str) -> Vec<String> {
        let handler = |place: &str| format!("wrangler.cattle.io/{place}-{kind}-remove-handler");
        let legacy = || {
            let sync = format!("clusterscoped.controller.cattle.io/cluster-{kind}-sync_local");
            vec![format!("controller.cattle.io/mgmt-auth-{kind}-controller"), sync]
        };
        match (self.version >= (2, 14, 0), self.aggregated) {
            (true, _) => [legacy(), vec![handler("mgmt")]].concat(),
            (false, false) => legacy(),
            (false, true) => vec![handler("mgmt"), handler("cluster")],
        }
    }

    /// Waits until Rancher has put its finalizers on a binding.
    pub async fn until_held(&self, path: &str) -> Seen<Value> {
        let kind = if path.contains("projectroletemplatebindings") { "prtb" } else { "crtb" };
        let wanted = self.finalizers(kind);
        let held = |answer: &Answer| {
            let object = answer.json();
            let on = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
            wanted.iter().all(|one| on.iter().any(|other| other == one))
        };
        let answer = self.until(path, "held by its finalizers", held).await?;
        Ok(answer.json())
    }

    /// Skips a behaviour of Rancher's own face where Rancher is not asked.
    pub fn through_rancher(&self, why: &'static str) -> Outcome {
        if self.keyless { Err(Instead::Skipped(why)) } else { Ok(()) }
    }

    /// The role of the members of Rancher's cluster.
    pub fn membership_role(&self) -> &'static str {
        if self.aggregated && self.version < (2, 14, 0) { "local-cluster-member" } else { "local-clustermember" }
    }
}
