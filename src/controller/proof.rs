//! Whether identities are proven: whether the API server enforces our admission policies.
//!
//! `spec.requestedBy` is believed only because admission lets nobody write another's name. So the operator looks, at its
//! start and while it runs, that the policies and their bindings stand as they should, and tries a forgery itself: a
//! dry-run create in another's name, which must be refused. Without proof nothing is granted; revoking goes on.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::brief;
use crate::{api::GROUP, grant::Because};

/// The policies, as they ship.
const EXPECTED: &str = include_str!("../../config/admission/validating.yaml");

/// The ServiceAccount that the shipped text names as the operator. An operator that runs as another expects its own name.
const SHIPPED_OPERATOR: &str = "system:serviceaccount:rancher-access-system:rancher-access-operator";

/// How often it is looked at while it stands, and while it does not: whoever takes the policies away has this long to
/// ask in another's name.
const AGAIN: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// The name that the forgery is made in. Nobody can be called so: Kubernetes reserves `system:` for itself.
const NOBODY: &str = "system:rancheraccess:forgery";

/// Looks until `shutdown`, and tells each change.
pub async fn run(
    client: Client,
    namespace: String,
    operator: String,
    told: watch::Sender<Proof>,
    shutdown: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    loop {
        let found = prove(&client, &namespace, &operator).await;
        let changed = told.send_if_modified(|stood| {
            let changed = *stood != found;
            stood.clone_from(&found);
            changed
        });
        if changed {
            match &found {
                Ok(_) => info!("Identities are proven: the admission policies stand and refuse a forgery"),
                Err(because) => warn!(
                    reason = because.reason,
                    message = because.message,
                    "Identities are not proven: nothing is granted"
                ),
            }
        }
        let again = if found.is_ok() { AGAIN.0 } else { AGAIN.1 };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            () = sleep(again) => {}
        }
    }
}

/// Whether identities are proven at present, and of what: of objects that were created at that time or later.
pub type Proof = Result<Timestamp, Because>;

/// What is told before the first look is done.
pub fn unknown() -> Proof {
    Err(Because::new(
        "IdentityUnproven",
        "Whether the API server checks who asks has not been looked at yet; it is in a moment.",
    ))
}

async fn prove(client: &Client, namespace: &str, operator: &str) -> Proof {
    for expected in expected(operator)? {
        stands(client, &expected).await?;
    }
    forgery_is_refused(client, namespace).await?;
    Ok(Timestamp::UNIX_EPOCH)
}

/// The objects that must stand, with this operator's own name in them.
fn expected(operator: &str) -> Result<Vec<Value>, Because> {
    EXPECTED
        .replace(SHIPPED_OPERATOR, operator)
        .split("\n---\n")
        .map(serde_saphyr::from_str::<Value>)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| {
            unproven(format!(
                "The shipped admission policies cannot be read: {error}. This is a fault of the operator."
            ))
        })
}

async fn stands(client: &Client, expected: &Value) -> Result<(), Because> {
    let text = |pointer: &str| expected.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    let found = match kind.as_str() {
        "ValidatingAdmissionPolicy" => spec(Api::<ValidatingAdmissionPolicy>::all(client.clone()).get_opt(&name).await),
        "ValidatingAdmissionPolicyBinding" => {
            spec(Api::<ValidatingAdmissionPolicyBinding>::all(client.clone()).get_opt(&name).await)
        }
        other => {
            return Err(unproven(format!(
                "The shipped admission policies hold a {other}. This is a fault of the operator."
            )));
        }
    };
    let found = found.map_err(|error| unproven(format!("The {kind} {name} cannot be read: {}.", brief(&error))))?;
    let Some(found) = found else {
        return Err(unproven(format!(
            "The {kind} {name} is missing, so whoever asks could write another's name: apply config/admission."
        )));
    };
    let wanted = expected.get("spec").cloned().unwrap_or_default();
    if let Some(field) = difference(&wanted, &found, "spec") {
        return Err(unproven(format!(
            "The {kind} {name} differs from what ships with this operator at {field}: apply config/admission as it is."
        )));
    }
    Ok(())
}

fn spec<K: serde::Serialize>(found: Result<Option<K>, kube::Error>) -> Result<Option<Value>, kube::Error> {
    Ok(found?.map(|object| json!(object).get("spec").cloned().unwrap_or_default()))
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

async fn forgery_is_refused(client: &Client, namespace: &str) -> Result<(), Because> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1alpha1", "AccessGrant"));
    let forged: DynamicObject = serde_json::from_value(json!({
        "apiVersion": kind.api_version, "kind": "AccessGrant",
        "metadata": {"generateName": "forgery-", "namespace": namespace},
        "spec": {
            "integrationRef": {"name": "forgery"},
            "requestedBy": {"username": NOBODY},
            "access": [{"cluster": {"name": "forgery", "role": "forgery"}}],
        },
    }))
    .map_err(|error| unproven(format!("The forgery cannot be written: {error}. This is a fault of the operator.")))?;
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match api.create(&params, &forged).await {
        Ok(_) => Err(unproven("The API server let a grant pass in another's name (dry run): the admission policies are there, but are not enforced. Look for a binding with a paramRef or matchResources, and whether the API server has admission policies on.".to_owned())),
        Err(kube::Error::Api(status)) if status.message.contains("rancheraccess-requested-by") => Ok(()),
        Err(error) => Err(unproven(format!("Whether the API server refuses a grant in another's name could not be tried: {}.", brief(&error)))),
    }
}

fn unproven(message: String) -> Because {
    Because::new("IdentityUnproven", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policies_can_be_read_and_name_the_operator() {
        let shipped = expected("system:serviceaccount:elsewhere:op").unwrap();
        assert_eq!(shipped.len(), 4);
        assert!(json!(shipped).to_string().contains("system:serviceaccount:elsewhere:op"));
        assert!(!json!(shipped).to_string().contains(SHIPPED_OPERATOR));
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
