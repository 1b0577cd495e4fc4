//! Objects of our kinds, as the watch may deliver them: whatever decodes, the core can work with.
//!
//! Input: an object on each line. The first grant is judged by all policies and decided on with all decisions.

mod core;

use std::fmt::Debug;

use kube::core::DeserializeGuard;
use rancher_access_operator::api::{AccessDecision, AccessGrant, AccessPolicy, RancherIntegration};
use serde::{Serialize, de::DeserializeOwned};

pub fn check(input: &[u8]) {
    let lines = || input.split(|byte| *byte == b'\n').take(16);
    let grants: Vec<AccessGrant> = lines().filter_map(decoded).collect();
    let policies: Vec<AccessPolicy> = lines().filter_map(decoded).collect();
    let decisions: Vec<AccessDecision> = lines().filter_map(decoded).collect();
    let integrations: Vec<RancherIntegration> = lines().filter_map(decoded).collect();
    core::work(&grants, &policies, &decisions, &integrations);
}

/// The object, where it can be read. What is written of it reads the same.
fn decoded<K>(line: &[u8]) -> Option<K>
where
    K: kube::Resource<DynamicType = ()> + DeserializeOwned + Serialize + Clone + Debug,
{
    let object = serde_json::from_slice::<DeserializeGuard<K>>(line).ok()?.0.ok()?;
    let shown = serde_json::to_value(&object).unwrap();
    let again: K =
        serde_json::from_value(shown.clone()).unwrap_or_else(|error| panic!("{shown} does not read: {error}"));
    assert_eq!(serde_json::to_value(&again).unwrap(), shown);
    Some(object)
}
