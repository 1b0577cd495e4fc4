//! The CustomResourceDefinitions, as they are generated into `crds/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::{AccessDecision, AccessGrant, AccessPolicy, RancherIntegration, RancherResource};

/// All kinds, in the order in which they should be applied.
///
/// # Errors
/// When a generated schema cannot be read back: a fault of this crate, never of its input.
pub fn crds() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    [RancherIntegration::crd(), AccessPolicy::crd(), AccessGrant::crd(), AccessDecision::crd(), RancherResource::crd()]
        .into_iter()
        .map(tidy)
        .collect()
}

/// Takes out of a generated schema what does not belong into an API: `nullable` (with it `null` would count as set
/// for CEL rules; without it the API server prunes nulls) and formats that Kubernetes does not know.
fn tidy(crd: CustomResourceDefinition) -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut value = serde_json::to_value(crd)?;
    walk(&mut value);
    serde_json::from_value(value)
}

fn walk(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("nullable");
            if let Some(Value::Array(values)) = map.get_mut("enum") {
                values.retain(|v| !v.is_null());
            }
            if map.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
                map.remove("format");
            }
            map.values_mut().for_each(walk);
        }
        Value::Array(values) => values.iter_mut().for_each(walk),
        _ => {}
    }
}
