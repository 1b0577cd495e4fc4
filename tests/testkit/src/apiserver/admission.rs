//! Admission: what hooks and stored policies see, change and refuse.
use std::sync::Arc;

use serde_json::Value;

use super::{Boxed, Inner, User, kind::Gvr, lock, request::Call, status::ApiError};

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is created.
    Create,
    /// It is updated or patched.
    Update,
    /// It is deleted.
    Delete,
}

impl Operation {
    /// As admission requests spell it: `CREATE`, `UPDATE`, `DELETE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// A write that is about to happen.
#[derive(Clone, Debug)]
pub struct AdmissionRequest {
    /// What is done.
    pub operation: Operation,
    /// Who does it.
    pub user: User,
    /// To which resource.
    pub gvr: Gvr,
    /// The resource's kind.
    pub kind: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// Empty where the name is still to be generated.
    pub name: String,
    /// The object to be; `None` for a delete.
    pub object: Option<Value>,
    /// The object that is; `None` for a create.
    pub old_object: Option<Value>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

/// A refusal by admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The HTTP status code.
    pub code: u16,
    /// `Status.reason`, such as `Forbidden`.
    pub reason: String,
    /// The whole message, with the webhook's usual prefix if it has one.
    pub message: String,
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self { code: denied.code, reason: denied.reason, message: denied.message, details: Value::Null }
    }
}

/// A webhook in process. Hooks may wait and may call the server: no lock is held.
pub trait Admission: Send + Sync {
    /// May change `object` on create, update and patch; `request.object` is what it was before this hook.
    fn mutate<'a>(&'a self, request: &'a AdmissionRequest, object: &'a mut Value) -> Boxed<'a, Result<(), Denied>> {
        let _ = (request, object);
        Box::pin(std::future::ready(Ok(())))
    }

    /// May refuse a create, update, patch or delete.
    fn validate<'a>(&'a self, request: &'a AdmissionRequest) -> Boxed<'a, Result<(), Denied>> {
        let _ = request;
        Box::pin(std::future::ready(Ok(())))
    }
}

impl AdmissionRequest {
    pub(super) fn of(call: &Call, operation: Operation, object: Option<Value>, old_object: Option<Value>) -> Self {
        Self {
            operation,
            user: call.user.clone(),
            gvr: call.gvr().clone(),
            kind: call.kind.kind.clone(),
            subresource: call.subresource.clone(),
            namespace: call.namespace.clone(),
            name: call.name.clone(),
            object,
            old_object,
            dry_run: call.dry_run(),
        }
    }
}

impl Inner {
    fn hooks(&self) -> Vec<Arc<dyn Admission>> {
        lock(&self.hooks).clone()
    }

    /// Lets policies and hooks change the object in `request`, and returns it.
    pub(super) async fn mutate(&self, request: &mut AdmissionRequest) -> Result<Value, ApiError> {
        self.apply_policies(request)?;
        for hook in self.hooks() {
            let mut object = request.object.clone().unwrap_or_default();
            hook.mutate(request, &mut object).await?;
            request.object = Some(object);
        }
        Ok(request.object.clone().unwrap_or_default())
    }

    /// Lets policies and hooks refuse.
    pub(super) async fn validate(&self, request: &AdmissionRequest) -> Result<(), ApiError> {
        self.check_policies(request)?;
        for hook in self.hooks() {
            hook.validate(request).await?;
        }
        Ok(())
    }
}
