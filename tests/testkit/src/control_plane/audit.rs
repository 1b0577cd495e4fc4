//! The API server's audit log: who asked for what.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::Error;

/// All requests, without bodies. `ResponseStarted` is what a watch that still runs has to show.
pub(super) const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: Metadata
"#;

/// One request, as the API server saw it. An empty string stands for what the request does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The user it counted for: the impersonated one, if any.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for other paths the HTTP method.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource, in the plural; empty for a path that is no resource (`/readyz`).
    pub resource: String,
    /// Such as `status`.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The path and query that were asked for.
    pub uri: String,
    /// The HTTP status; 0 while there is none.
    pub code: u16,
    /// What the client calls itself.
    pub user_agent: String,
    /// What authorization and admission noted.
    pub annotations: BTreeMap<String, String>,
}

/// The log's requests in the order in which they began, one entry each.
pub(super) fn read(path: &Path) -> Result<Vec<AuditEntry>, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("cannot read the audit log", path))?;
    let mut order: Vec<String> = Vec::new();
    let mut entries: BTreeMap<String, AuditEntry> = BTreeMap::new();
    // The last line may be half written: only what ends with a newline is an event.
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let event: Event = serde_json::from_str(line)?;
        if !entries.contains_key(&event.audit_id) {
            order.push(event.audit_id.clone());
        }
        // A later stage of the same request knows more.
        entries.insert(event.audit_id.clone(), event.into());
    }
    Ok(order.iter().filter_map(|id| entries.remove(id)).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    #[serde(rename = "requestURI", default)]
    uri: String,
    #[serde(default)]
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<ResponseStatus>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    api_group: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl From<Event> for AuditEntry {
    fn from(event: Event) -> Self {
        let object = event.object_ref;
        Self {
            user: event.impersonated_user.unwrap_or(event.user).username,
            verb: event.verb,
            group: object.api_group,
            resource: object.resource,
            subresource: object.subresource,
            namespace: object.namespace,
            name: object.name,
            uri: event.uri,
            code: event.response_status.map_or(0, |status| status.code),
            user_agent: event.user_agent,
            annotations: event.annotations,
        }
    }
}
