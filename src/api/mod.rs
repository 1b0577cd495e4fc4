//! The kinds of `rancheraccess.io/v1alpha1`, as the API server stores them. Types only.
//!
//! Doc comments here are what `kubectl explain` prints: each says what the field is, its unit, the allowed values,
//! whether it may change, and an example where that helps.

// Each `printcolumn` of kube's derive is an attribute of its own, with keys that clippy takes for repeated.
#![allow(clippy::duplicated_attributes)]

pub mod approval;
pub mod condition;
pub mod crd;
pub mod decision;
pub mod discovery;
pub mod grant;
pub mod integration;
pub mod policy;
pub mod reference;
pub mod resource;
pub mod schema;
pub mod status;
pub mod user;

pub use condition::{Condition, ConditionStatus};
pub use crd::crds;
pub use decision::{AccessDecision, AccessDecisionSpec, AccessDecisionStatus};
pub use grant::{AccessGrant, AccessGrantSpec};
pub use integration::{RancherIntegration, RancherIntegrationSpec};
pub use policy::{AccessPolicy, AccessPolicySpec};
pub use resource::{RancherResource, RancherResourceSpec};
pub use status::AccessGrantStatus;

/// The API group of all kinds.
pub const GROUP: &str = "rancheraccess.io";

/// The finalizer that the operator puts on grants and integrations, so that neither goes before its access is settled.
pub const FINALIZER: &str = "rancheraccess.io/operator";

/// Annotation on a grant by which an administrator gives up what is left of it in a Rancher that is gone for good. The
/// value is the grant's UID. Admission lets it be written only by whoever has the verb `abandon` on the integration.
pub const ANNOTATION_ABANDON: &str = "rancheraccess.io/abandon";

/// Label on what the operator makes in Rancher: the installation's id. A hint for people; ownership is proven by the name.
pub const LABEL_INSTALLATION: &str = "rancheraccess.io/installation";

/// Label on what the operator makes in Rancher, and on each `RancherResource`: the integration's name. A hint.
pub const LABEL_INTEGRATION: &str = "rancheraccess.io/integration";

/// Label on each `RancherResource`: its `spec.kind`.
pub const LABEL_KIND: &str = "rancheraccess.io/kind";

/// Label on what belongs to a user that is there because of grants, in Rancher and in the operator's namespace: the
/// integration's name. A hint.
pub const LABEL_USER: &str = "rancheraccess.io/user-of";

/// Annotation on a local user in Rancher: whose he is. His id recomputes from it.
pub const ANNOTATION_LOCAL_USER: &str = "rancheraccess.io/local-user";

/// Annotation on a user whom Rancher made because a grant bound a principal that it had never seen: a seal that is good for
/// that one user.
pub const ANNOTATION_USER_SEAL: &str = "rancheraccess.io/user-seal";

/// Annotation on a user in Rancher that is there because of grants: since when none has called for him.
pub const ANNOTATION_UNUSED_SINCE: &str = "rancheraccess.io/unused-since";

/// Annotation on the Secret with the credentials of a local user: how far his password is.
pub const ANNOTATION_PASSWORD: &str = "rancheraccess.io/password";

/// Label on a `RancherResource` of a cluster, project or namespace: the cluster's id.
pub const LABEL_CLUSTER: &str = "rancheraccess.io/cluster";

/// Annotation on a binding in Rancher: `<namespace>/<name>` of the grant that made it. A hint.
pub const ANNOTATION_GRANT: &str = "rancheraccess.io/grant";

/// Annotation written on the surviving bindings of a subject after a revoke, so that Rancher makes their shared
/// downstream objects again. The value is the time of the revoke.
pub const ANNOTATION_TOUCHED: &str = "rancheraccess.io/touched";
