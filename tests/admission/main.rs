//! The admission policies of `config/admission` on a real API server: who asks and who decides is proven, and what is the
//! operator's own is written by nobody else.

mod abandon;
mod decided_by;
mod operator_only;
mod requested_by;
mod table;
mod world;

use serde_json::{Value, json};
use world::{plane, until};

const OPERATOR: (&str, &str) = ("rancher-access-system", "rancher-access-operator");
const NOT_YOU: &str = "spec.requestedBy.username must be your own user name";
const NOT_YOURS: &str = "spec.requestedBy.groups may name only groups that you are in";
const NOT_YOU_EITHER: &str = "spec.decidedBy.username must be your own user name";
const NOT_YOURS_EITHER: &str = "spec.decidedBy.groups may name only groups that you are in";
const STAYS: &str = "a decision stays: only whoever made it";
const OWNERS: &str = "a decision is owned by nothing but the grant that it names";
const ABANDON: &str = "only who has the verb abandon on the RancherIntegration 'prod' may set it";
const MIRRORED: &str = "a RancherResource shows what there is in Rancher: only the operator writes it";
const STATUS: &str = "only the operator writes it";
const FINALIZER_ONLY: &str = "only the operator adds or removes it";

#[tokio::test]
async fn the_api_server_finds_no_fault_in_the_policies() {
    let plane = plane().await;
    for name in ["requested-by", "decided-by", "operator-only", "abandon"] {
        let name = &format!("rancheraccess-{name}");
        let checked = until("the policy is type-checked", async || {
            let get = ["get", "validatingadmissionpolicy", name, "-o", "json"];
            let policy: Value = serde_json::from_str(&plane.kubectl(&get).await.unwrap().expect_success()).unwrap();
            (policy["status"]["observedGeneration"] == policy["metadata"]["generation"]).then_some(policy)
        })
        .await;
        assert_eq!(checked["status"]["typeChecking"], json!({}), "{name}");
        assert_eq!(checked["spec"]["failurePolicy"], "Fail");
        assert!(checked["spec"].get("matchConditions").is_none(), "{name} exempts nobody");
    }
}
