//! One request of the operator, named so that the same request has the same name in every run.

use bytes::Bytes;
use http::{Method, Request};

/// Which server a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// The API server that keeps our kinds.
    Kubernetes,
    /// Rancher.
    Rancher,
}

/// A request, named.
#[derive(Clone, Debug)]
pub struct Call {
    pub server: Server,
    /// `K:patch:accessgrants/status:g`, `R:create:clusterroletemplatebindings`: server, verb, resource, and the name where it
    /// is the same in every run.
    pub name: String,
    pub verb: &'static str,
    pub resource: String,
    /// The object's own name; empty for collections.
    pub object: String,
    /// Method and address: what an earlier answer may be taken from.
    pub address: String,
    /// Whether it comes again and again by itself, or only once in a start, and changes nothing: the lease, proofs, probes, lists.
    pub background: bool,
}

/// What comes by itself, whatever grants there are. The sweep's lists and the watches are besides; what replaces the key is not.
const BACKGROUND: [&str; 11] = [
    "leases",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "selfsubjectreviews",
    "selfsubjectaccessreviews",
    "tokens",
    "configmaps",
    "secrets",
    "rancherversion",
    "settings",
    "features",
];

impl Call {
    pub fn of(server: Server, request: &Request<Bytes>) -> Self {
        let (uri, method) = (request.uri(), request.method());
        let mut parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let mut downstream = false;
        if let ["k8s", "clusters", id, ..] = parts.as_slice() {
            downstream = *id != "local";
            parts.drain(..3);
        }
        match parts.first() {
            Some(&"api") => drop(parts.drain(..2.min(parts.len()))),
            Some(&"apis") => drop(parts.drain(..3.min(parts.len()))),
            Some(&"ext") => drop(parts.drain(..4.min(parts.len()))),
            Some(&"v3") => drop(parts.drain(..1)),
            _ => {}
        }
        let namespaced = parts.len() > 2 && parts[0] == "namespaces";
        if namespaced {
            parts.drain(..2);
        }
        let at = |index: usize| parts.get(index).copied().unwrap_or_default();
        let (resource, object, sub) = (at(0), at(1), at(2));
        let query = uri.query().unwrap_or_default();
        let verb = verb(method, object, query);
        let resource = if sub.is_empty() { resource.to_owned() } else { format!("{resource}/{sub}") };
        let dry_run = query.contains("dryRun");
        let kind = resource.split('/').next().unwrap_or_default();
        let about_the_key = kind == "tokens" && verb != "get" || kind == "secrets" && verb == "patch";
        let about_users = query.contains("user-of")
            || kind == "secrets" && object.starts_with("rao-")
            || kind == "secrets" && verb == "create";
        let background = dry_run
            || verb == "watch"
            || !about_the_key && !about_users && is_background(kind, query)
            || verb == "list"
                && kind != "tokens"
                && !about_users
                && !is_rbac(kind)
                && !(namespaced && server == Server::Rancher)
            || kind == "roletemplates" && object.starts_with("rao-")
            || object == "kube-system"
            || kind.is_empty();
        let place = if downstream { "@downstream" } else { "" };
        let letter = if server == Server::Kubernetes { "K" } else { "R" };
        let shown = shown(kind, object);
        let mut name = format!("{letter}:{verb}:{resource}{place}{shown}");
        if dry_run {
            name.push_str(":dry-run");
        }
        Self {
            server,
            name,
            verb,
            resource: kind.to_owned(),
            object: object.to_owned(),
            address: format!("{method} {uri}"),
            background,
        }
    }
}

/// Whether a request of this name is a look at users, which comes again every ten minutes where there are any.
pub fn comes_again(name: &str) -> bool {
    matches!(name, "K:list:secrets" | "K:list:users" | "R:list:users")
}

/// Whether a request of this name changes what a server keeps.
pub fn mutates(name: &str) -> bool {
    let verb = name.split(':').nth(1).unwrap_or_default();
    matches!(verb, "create" | "update" | "patch" | "delete")
        && !name.contains("selfsubject")
        && !name.contains("dry-run")
}

fn is_background(kind: &str, query: &str) -> bool {
    BACKGROUND.contains(&kind) || query.contains("labelSelector=rancheraccess.io")
}

fn is_rbac(resource: &str) -> bool {
    matches!(resource, "rolebindings" | "clusterrolebindings" | "roles" | "clusterroles")
}

/// The object's name, unless it is made up anew in each run.
fn shown(resource: &str, object: &str) -> String {
    let made_up = object.starts_with("rao-") || is_rbac(resource) || matches!(resource, "events" | "leases" | "tokens");
    if object.is_empty() || made_up { String::new() } else { format!(":{object}") }
}

fn verb(method: &Method, object: &str, query: &str) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ if query.contains("watch=true") || query.contains("watch=1") => "watch",
        _ if object.is_empty() => "list",
        _ => "get",
    }
}
