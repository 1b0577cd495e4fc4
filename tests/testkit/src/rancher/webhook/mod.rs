//! Rancher's admission webhook, 0.7 to 0.11 as the release has it: who may bind what, in its own words.
use std::sync::{Arc, Weak};

use serde_json::{Value, json};

use crate::apiserver::{Admission, AdmissionRequest, Attributes, Denied, Gvr, Operation, User};

use super::{
    binding::Kind,
    controllers,
    core::{Core, lock, management, meta, text},
    rights,
};

mod bindings;
pub(super) use bindings::knows;
mod global;
mod others;
mod users;

type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

struct Webhook(Weak<Core>);

/// Puts the webhook in front of Rancher's cluster.
pub(super) fn install(core: &Arc<Core>) {
    core.local.hook(Arc::new(Webhook(Arc::downgrade(core))));
}

fn name_of(gvr: &Gvr) -> String {
    let group = if gvr.group.is_empty() { String::new() } else { format!(".{}", gvr.group) };
    format!("rancher.cattle.io.{}{group}", gvr.resource)
}

/// A refusal with the words every webhook's refusal begins with.
fn denied(gvr: &Gvr, code: u16, reason: &str, why: &str) -> Denied {
    Denied {
        code,
        reason: reason.to_owned(),
        message: format!("admission webhook \"{}\" denied the request: {why}", name_of(gvr)),
    }
}

fn bad_request(gvr: &Gvr, why: &str) -> Denied {
    denied(gvr, 400, "BadRequest", why)
}

/// The API server's words for a webhook that gave no answer.
fn failed(gvr: &Gvr, why: &str) -> Denied {
    Denied {
        code: 500,
        reason: "InternalError".to_owned(),
        message: format!(
            "Internal error occurred: failed calling webhook \"{}\": failed to call webhook: {why}",
            name_of(gvr)
        ),
    }
}

fn post_url(gvr: &Gvr) -> String {
    let resource = gvr.group_resource();
    format!("Post \"https://rancher-webhook.cattle-system.svc:443/v1/webhook/validation/{resource}?timeout=10s\"")
}

/// Whether the user holds everything, everywhere.
fn is_admin(core: &Core, user: &User) -> bool {
    let everything =
        Attributes { verb: "*".to_owned(), group: "*".to_owned(), resource: "*".to_owned(), ..Attributes::default() };
    rights::reason(&core.local, user, &everything).is_some()
}

impl Webhook {
    /// The core, if this write is one the webhook looks at.
    fn core(&self, request: &AdmissionRequest) -> Option<Arc<Core>> {
        let watched = match request.gvr.group.as_str() {
            "management.cattle.io" => [
                "clusterroletemplatebindings",
                "projectroletemplatebindings",
                "globalrolebindings",
                "users",
                "projects",
                "roletemplates",
                "features",
            ]
            .contains(&request.gvr.resource.as_str()),
            "" => request.gvr.resource == "secrets" && request.namespace == super::seed::PASSWORDS,
            _ => false,
        };
        let deletes = ["users", "roletemplates"].contains(&request.gvr.resource.as_str());
        let looked_at =
            watched && request.subresource.is_empty() && (request.operation != Operation::Delete || deletes);
        self.0.upgrade().filter(|_| looked_at)
    }

    async fn check(&self, request: &AdmissionRequest) -> Result<(), Denied> {
        let Some(core) = self.core(request) else {
            return Ok(());
        };
        if *lock(&core.webhook_down) {
            let why = format!("{}: dial tcp 10.43.12.34:443: connect: connection refused", post_url(&request.gvr));
            return Err(failed(&request.gvr, &why));
        }
        if let Some(kind) = Kind::of(&request.gvr.resource) {
            return bindings::check(&core, kind, request);
        }
        match request.gvr.resource.as_str() {
            "globalrolebindings" => global::check(&core, request),
            "users" => users::check(&core, request),
            "roletemplates" => others::check_role_template(&core, request),
            "features" => others::check_feature(request),
            _ => Ok(()),
        }
    }

    async fn fill(&self, request: &AdmissionRequest, object: &mut Value) -> Result<(), Denied> {
        let Some(core) = self.core(request) else {
            return Ok(());
        };
        if let Some(kind) = Kind::of(&request.gvr.resource) {
            bindings::prune(kind, object);
        }
        if *lock(&core.webhook_down) {
            return Ok(());
        }
        if request.operation == Operation::Update && request.gvr.resource == "projects" {
            others::name_backing(&core, object);
        }
        if request.gvr.resource == "secrets" {
            return users::hash_password(&core, request, object);
        }
        if request.operation != Operation::Create {
            return Ok(());
        }
        match request.gvr.resource.as_str() {
            "globalrolebindings" => global::fill(&core, object),
            "projects" => others::fill_project(&core, request, object).await?,
            resource => {
                if let Some(kind) = Kind::of(resource).filter(|_| core.version().derives_names()) {
                    bindings::name(kind, object);
                }
            }
        }
        Ok(())
    }
}

impl Admission for Webhook {
    fn mutate<'a>(&'a self, request: &'a AdmissionRequest, object: &'a mut Value) -> Boxed<'a, Result<(), Denied>> {
        Box::pin(self.fill(request, object))
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest) -> Boxed<'a, Result<(), Denied>> {
        Box::pin(self.check(request))
    }
}
