//! The policies and bindings as they ship, and whether they stand so.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::{Api, Client, Resource, core::ObjectMeta};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::Failure;
use crate::controller::{brief, find};

/// The texts that are good: the present one first, then those of earlier releases, so that operator and policies need not be
/// changed at the same instant. There has been no release yet; at each, append the text that it shipped.
pub const ACCEPTED: &[&str] = &[include_str!("../../../config/admission/validating.yaml")];

/// The ServiceAccount that the shipped text names as the operator. An operator that runs as another expects its own name.
const SHIPPED_OPERATOR: &str = "system:serviceaccount:rancher-access-system:rancher-access-operator";

/// An object that must stand, in one of the forms that are good.
#[derive(Debug)]
pub struct Expected {
    kind: String,
    name: String,
    /// The present form first.
    specs: Vec<Value>,
}

/// An object that stands as it should.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Kind and name.
    pub key: String,
    pub uid: String,
    pub generation: i64,
    pub created: Option<Timestamp>,
}

/// The objects that the first of these texts holds, with this operator's own name in them; each may also stand as one of the
/// other texts has it.
pub fn expected(accepted: &[&str], operator: &str) -> Result<Vec<Expected>, Failure> {
    let mut expected: Vec<Expected> = Vec::new();
    for (age, text) in accepted.iter().enumerate() {
        for document in text.replace(SHIPPED_OPERATOR, operator).split("\n---\n") {
            let object: Value = serde_saphyr::from_str(document).map_err(|error| {
                Failure::unknown(format!(
                    "The shipped admission policies cannot be read: {error}. This is a fault of the operator."
                ))
            })?;
            let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (kind, name) = (text("/kind"), text("/metadata/name"));
            let spec = object.get("spec").cloned().unwrap_or_default();
            match expected.iter_mut().find(|known| known.kind == kind && known.name == name) {
                Some(known) => known.specs.push(spec),
                // What only earlier releases had is no longer needed.
                None if age > 0 => {}
                None => expected.push(Expected { kind, name, specs: vec![spec] }),
            }
        }
    }
    Ok(expected)
}

/// Looks whether an object stands as it should.
pub async fn stands(client: &Client, expected: &Expected) -> Result<Standing, Failure> {
    let Expected { kind, name, specs } = expected;
    let found = match kind.as_str() {
        "ValidatingAdmissionPolicy" => get::<ValidatingAdmissionPolicy>(client, name).await,
        "ValidatingAdmissionPolicyBinding" => get::<ValidatingAdmissionPolicyBinding>(client, name).await,
        other => {
            return Err(Failure::unknown(format!(
                "The shipped admission policies hold a {other}. This is a fault of the operator."
            )));
        }
    };
    let found =
        found.map_err(|error| Failure::unknown(format!("The {kind} {name} cannot be read: {}.", brief(&error))))?;
    let Some((meta, spec)) = found else {
        return Err(Failure::unknown(format!(
            "The {kind} {name} is missing, so whoever asks could write another's name: apply config/admission."
        )));
    };
    if let Some(field) = nearest(specs, &spec) {
        return Err(Failure::unknown(format!(
            "The {kind} {name} differs from what ships with this operator at {field}: apply config/admission as it is."
        )));
    }
    Ok(Standing {
        key: format!("{kind}.{name}"),
        uid: meta.uid.unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        created: meta.creation_timestamp.map(|time| time.0),
    })
}

async fn get<K>(client: &Client, name: &str) -> Result<Option<(ObjectMeta, Value)>, kube::Error>
where
    K: Resource<Scope = kube::core::ClusterResourceScope> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    K::DynamicType: Default,
{
    let found = find(&Api::<K>::all(client.clone()), name).await?;
    Ok(found.map(|object| (object.meta().clone(), json!(object).get("spec").cloned().unwrap_or_default())))
}

/// Where what was found differs from the present form, if it has none of the forms that are good.
fn nearest(specs: &[Value], found: &Value) -> Option<String> {
    let mut differences = specs.iter().map(|wanted| difference(wanted, found, "spec"));
    let first = differences.next()?;
    if differences.any(|difference| difference.is_none()) { None } else { first }
}

/// Where what was found says less, more or other than what is wanted. What the API server fills in by default is no
/// difference; whatever narrows what a policy covers is.
fn difference(wanted: &Value, found: &Value, path: &str) -> Option<String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let missing = wanted.iter().find_map(|(key, value)| {
                let path = format!("{path}.{key}");
                found.get(key).map_or(Some(path.clone()), |there| difference(value, there, &path))
            });
            let added = || {
                found
                    .iter()
                    .find(|(key, value)| !wanted.contains_key(*key) && !is_default(key, value))
                    .map(|(key, _)| format!("{path}.{key}"))
            };
            missing.or_else(added)
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            wanted.iter().zip(found).enumerate().find_map(|(i, (w, f))| difference(w, f, &format!("{path}[{i}]")))
        }
        (wanted, found) if wanted == found => None,
        _ => Some(path.to_owned()),
    }
}

/// What the API server fills in where nothing was written.
fn is_default(key: &str, value: &Value) -> bool {
    match key {
        "namespaceSelector" | "objectSelector" => value.as_object().is_some_and(serde_json::Map::is_empty),
        "matchPolicy" => value == "Equivalent",
        "scope" => value == "*",
        "failurePolicy" => value == "Fail",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policies_can_be_read_and_name_the_operator() {
        let shipped = expected(ACCEPTED, "system:serviceaccount:elsewhere:op").unwrap();
        assert_eq!(shipped.len(), 8);
        let text = format!("{shipped:?}");
        assert!(text.contains("system:serviceaccount:elsewhere:op"));
        assert!(!text.contains(SHIPPED_OPERATOR));
    }

    #[test]
    fn what_an_earlier_release_shipped_is_good_too() {
        let text = |message: &str, more: &str| {
            format!("kind: ValidatingAdmissionPolicy\nmetadata: {{name: p}}\nspec: {{message: {message}}}{more}")
        };
        let gone = "\n---\nkind: ValidatingAdmissionPolicy\nmetadata: {name: gone}\nspec: {}";
        let (new, old) = (text("new", ""), text("old", gone));
        let both = expected(&[&new, &old], "op").unwrap();
        assert_eq!(both.len(), 1, "what only the earlier release had need not stand: {both:?}");
        let specs = &both[0].specs;
        for good in ["new", "old"] {
            assert_eq!(nearest(specs, &json!({"message": good})), None, "{good}");
        }
        assert_eq!(nearest(specs, &json!({"message": "mine"})).as_deref(), Some("spec.message"));
        assert_eq!(nearest(specs, &json!({"message": "old", "matchConditions": []})).as_deref(), Some("spec.message"));
        let alone = expected(&[&new], "op").unwrap();
        assert!(nearest(&alone[0].specs, &json!({"message": "old"})).is_some());
    }

    #[test]
    fn what_narrows_a_policy_is_a_difference_and_what_is_filled_in_is_not() {
        let wanted = json!({"policyName": "p", "validationActions": ["Deny"]});
        assert_eq!(difference(&wanted, &wanted, "spec"), None);
        let filled_in =
            json!({"policyName": "p", "validationActions": ["Deny"], "matchResources": {"matchPolicy": "Equivalent"}});
        assert_eq!(difference(&wanted, &filled_in, "spec").as_deref(), Some("spec.matchResources"));
        let warns = json!({"policyName": "p", "validationActions": ["Warn"]});
        assert_eq!(difference(&wanted, &warns, "spec").as_deref(), Some("spec.validationActions[0]"));
        let exempts = json!({"policyName": "p", "validationActions": ["Deny"], "matchConditions": [{"name": "x", "expression": "false"}]});
        assert!(difference(&wanted, &exempts, "spec").is_some());
    }
}
