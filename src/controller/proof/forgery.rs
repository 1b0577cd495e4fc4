//! Forgeries that the API server must refuse: a grant and a decision in another's name. Dry runs: nothing is stored.

use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::Failure;
use crate::{api::GROUP, controller::brief};

/// The name that the forgeries are made in. Nobody can be called so: Kubernetes reserves `system:` for itself.
const NOBODY: &str = "system:rancheraccess:forgery";

/// What is forged: its kind, what people call it, who must refuse it, and its spec.
type Forgery = (&'static str, &'static str, &'static str, Value);

fn forgeries() -> [Forgery; 2] {
    [
        (
            "AccessGrant",
            "a grant",
            "rancheraccess-requested-by",
            json!({
                "integrationRef": {"name": "forgery"},
                "requestedBy": {"username": NOBODY},
                "access": [{"cluster": {"name": "forgery", "role": "forgery"}}],
            }),
        ),
        (
            "AccessDecision",
            "a decision",
            "rancheraccess-decided-by",
            json!({"grantRef": {"name": "forgery"}, "decision": "Deny", "decidedBy": {"username": NOBODY}}),
        ),
    ]
}

/// Whether all forgeries are refused, each by the policy that is there for it.
pub async fn are_refused(client: &Client, namespace: &str) -> Result<(), Failure> {
    let tried = forgeries().into_iter().map(|forgery| is_refused(client, namespace, forgery));
    super::all(futures::future::join_all(tried).await).map(drop)
}

async fn is_refused(client: &Client, namespace: &str, (kind, what, policy, spec): Forgery) -> Result<(), Failure> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1alpha1", kind));
    let mut forged = DynamicObject::new("", &kind).within(namespace).data(json!({"spec": spec}));
    forged.metadata.name = None;
    forged.metadata.generate_name = Some("forgery-".to_owned());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match api.create(&params, &forged).await {
        Ok(_) => Err(Failure::gap(format!(
            "The API server let {what} pass in another's name (dry run): the admission policies are there, but are not enforced. Look for a binding with a paramRef or matchResources, and whether the API server has admission policies on."
        ))),
        Err(kube::Error::Api(status)) if status.message.contains(policy) => Ok(()),
        Err(error) => {
            let message = format!(
                "Whether the API server refuses {what} in another's name could not be tried: {}.",
                brief(&error)
            );
            Err(if is_an_answer(&error) { Failure::gap(message) } else { Failure::unknown(message) })
        }
    }
}

/// Whether the API server decided on the request by admission: then it was somebody else who refused it, and ours may be
/// gone. That the operator may not try at all, or that the schema is another, says nothing of that.
fn is_an_answer(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let by_rights = status.code == 403 && status.message.contains(" cannot create resource ");
    (400..500).contains(&status.code) && !matches!(status.code, 401 | 422 | 429) && !by_rights
}
