//! Who may do what, what was asked, and the reviews that answer both.
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Inner, User, lock, object::set, request::Call, serve::Answer, status::ApiError};

/// What a user wants to do, in the terms of RBAC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// get, list, watch, create, update, patch, delete, deletecollection, or a verb of one's own.
    pub verb: String,
    /// The API group.
    pub group: String,
    /// The API version.
    pub version: String,
    /// The plural resource name.
    pub resource: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-wide.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
}

/// Decides whether a user may do something.
pub type Authorizer = Arc<dyn Fn(&User, &Attributes) -> bool + Send + Sync>;

/// A request the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The user's name.
    pub user: String,
    /// The verb in the terms of RBAC.
    pub verb: String,
    /// The API group.
    pub group: String,
    /// The API version.
    pub version: String,
    /// The plural resource name.
    pub resource: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-wide.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// The HTTP status code it was answered with.
    pub code: u16,
}

impl Recorded {
    pub(super) fn of(call: &Call, code: u16) -> Self {
        let gvr = call.gvr();
        Self {
            user: call.user.name.clone(),
            verb: call.verb.to_owned(),
            group: gvr.group.clone(),
            version: gvr.version.clone(),
            resource: gvr.resource.clone(),
            subresource: call.subresource.clone(),
            namespace: call.namespace.clone(),
            name: call.name.clone(),
            code,
        }
    }
}

impl Inner {
    pub(super) fn allows(&self, user: &User, attributes: &Attributes) -> bool {
        let authorizer = lock(&self.authorizer).clone();
        authorizer.is_none_or(|authorizer| authorizer(user, attributes))
    }

    /// 403 in the words of RBAC unless the caller may.
    pub(super) fn check_access(&self, call: &Call) -> Result<(), ApiError> {
        let gvr = call.gvr();
        if lock(&self.authorizer).is_none() {
            return Ok(());
        }
        let attributes = Attributes {
            verb: call.verb.to_owned(),
            group: gvr.group.clone(),
            version: gvr.version.clone(),
            resource: gvr.resource.clone(),
            subresource: call.subresource.clone(),
            namespace: call.namespace.clone(),
            name: call.name.clone(),
        };
        if self.allows(&call.user, &attributes) {
            return Ok(());
        }
        let slash = if call.subresource.is_empty() { "" } else { "/" };
        let scope = if call.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {:?}", call.namespace)
        };
        let why = format!(
            "User {:?} cannot {} resource \"{}{slash}{}\" in API group {:?} {scope}",
            call.user.name, call.verb, gvr.resource, call.subresource, gvr.group
        );
        Err(ApiError::forbidden(gvr, &call.name, &why))
    }

    /// Answers a review: create-only, never stored.
    pub(super) fn review(&self, call: &Call, mut review: Value) -> Result<Answer, ApiError> {
        let spec = review["spec"].clone();
        review["metadata"] = json!({"creationTimestamp": null});
        review["status"] = match call.kind.kind.as_str() {
            "SelfSubjectReview" => json!({"userInfo": user_info(&call.user)}),
            "SelfSubjectAccessReview" => self.access_review(&call.user, &spec)?,
            _ => self.access_review(&subject(&spec), &spec)?,
        };
        Ok(Answer::Json(StatusCode::CREATED, review))
    }

    fn access_review(&self, user: &User, spec: &Value) -> Result<Value, ApiError> {
        let asked = spec["resourceAttributes"]
            .as_object()
            .ok_or_else(|| ApiError::unknown("access reviews are answered for spec.resourceAttributes only"))?;
        let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let attributes = Attributes {
            verb: text("verb"),
            group: text("group"),
            version: text("version"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
        };
        Ok(json!({"allowed": self.allows(user, &attributes)}))
    }
}

fn subject(spec: &Value) -> User {
    let groups = spec["groups"].as_array().into_iter().flatten();
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        groups: groups.filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

/// `userInfo` as reviews and admission see it.
pub(super) fn user_info(user: &User) -> Value {
    let mut groups = user.groups.clone();
    if !groups.iter().any(|group| group == "system:authenticated") {
        groups.push("system:authenticated".to_owned());
    }
    let mut info = json!({"groups": groups});
    if let Some(map) = info.as_object_mut() {
        set(map, "username", Some(&user.name.clone().into()));
    }
    info
}
