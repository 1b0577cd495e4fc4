//! [`Rancher`]: one server, one key, and the calls everything else is made of.
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    absence::Target,
    adapter,
    call::{Call, encode, path},
    endpoint::Endpoint,
    error::Error,
    exchange::Exchange,
    key::Key,
    transport::Transport,
    wire::ObjectMeta,
};

/// The id of the cluster Rancher itself runs in.
pub const LOCAL: &str = "local";
/// The API group of clusters, projects, users and bindings.
pub(crate) const MANAGEMENT: &str = "management.cattle.io";
/// Objects a page. Rancher's proxy passes paging on to the API server.
const PAGE: usize = 500;
/// The most pages of a list: five million objects, where Rancher itself is made for some ten thousand.
const PAGES: usize = 10_000;
/// The most bytes of a list that is kept as a whole.
const KEPT: usize = 256 << 20;
/// How often a list whose pages outlived the server's memory starts again.
const RELISTS: usize = 2;

/// One Rancher server. Cheap to clone; all clones share the connection pool. `Debug` shows no key.
///
/// Calls are sent once: retrying is the caller's, who knows what a repeated call would do.
#[derive(Clone)]
pub struct Rancher {
    pub(crate) exchange: Exchange,
}

impl fmt::Debug for Rancher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rancher")
            .field("base", &self.exchange.base)
            .field("key", &self.exchange.key)
            .finish_non_exhaustive()
    }
}

impl Rancher {
    /// The Rancher at `endpoint`, reached with `key`. The key is sent there and nowhere else.
    pub fn new(transport: Transport, endpoint: &Endpoint, key: Key) -> Self {
        Self { exchange: Exchange { transport, base: endpoint.base(), key: Some(key) } }
    }

    /// The Rancher in whose own cluster we run, reached straight at that cluster's API server, with the identity that the
    /// transport brings along (see [`transport::through`](super::transport::through)). Only the cluster [`LOCAL`] can be reached so: calls for others are [`Error::Unaddressable`].
    pub fn keyless(transport: Transport) -> Self {
        Self { exchange: Exchange { transport, base: String::new(), key: None } }
    }

    /// Whether it is reached without a key: see [`Rancher::keyless`].
    pub fn is_keyless(&self) -> bool {
        self.exchange.key.is_none()
    }

    /// A kube client for Rancher's own cluster, on the same connections and with the same key: for watches. Every call has a
    /// deadline, a watch until its first byte.
    ///
    /// To be called inside a Tokio runtime.
    pub fn kube_client(&self) -> kube::Client {
        let base_path = if self.is_keyless() { String::new() } else { format!("/k8s/clusters/{LOCAL}") };
        adapter::kube_client(self.exchange.clone(), base_path)
    }

    /// The same for any cluster.
    ///
    /// # Errors
    /// [`Error::Unaddressable`] for a name that cannot be one, and for every cluster but [`LOCAL`] without a key.
    pub fn cluster_client(&self, cluster: &str) -> Result<kube::Client, Error> {
        Ok(adapter::kube_client(self.exchange.clone(), self.cluster_path(cluster, &[])?))
    }

    /// What became of a call by one of these kube clients, in a line without the key: their errors repeat what was answered.
    pub fn told(&self, error: &(dyn std::error::Error + 'static)) -> String {
        self.exchange.told(error)
    }

    /// The path of a cluster's API server, with `segments` after it.
    pub(crate) fn cluster_path(&self, cluster: &str, segments: &[&str]) -> Result<String, Error> {
        let rest = path(segments)?;
        if !self.is_keyless() {
            return Ok(format!("{}{rest}", path(&["k8s", "clusters", cluster])?));
        }
        if cluster == LOCAL { Ok(rest) } else { Err(Error::Unaddressable { name: super::plain::clean(cluster) }) }
    }

    /// The path of a resource of Rancher's API on its own cluster.
    pub(crate) fn management(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<String, Error> {
        let mut segments = vec!["apis", MANAGEMENT, "v3"];
        if let Some(namespace) = namespace {
            segments.extend(["namespaces", namespace]);
        }
        segments.push(resource);
        segments.extend(name);
        self.cluster_path(LOCAL, &segments)
    }

    /// A call that looks at one cluster-scoped object of Rancher's API.
    pub(crate) fn look_at(&self, resource: &'static str, namespace: Option<&str>, name: &str) -> Result<Call, Error> {
        let target =
            Target { group: MANAGEMENT, resource, namespace: namespace.map(str::to_owned), name: name.to_owned() };
        Ok(Call::get(self.management(resource, namespace, Some(name))?).of(target))
    }

    /// Every object of a list, page by page. A list whose `continue` expired starts again.
    ///
    /// # Errors
    /// As for every call; [`Error::Unknown`] too where it never gets to its end.
    pub(crate) async fn list_values(&self, path: &str, selector: Option<&str>) -> Result<Vec<Value>, Error> {
        self.list_as(Call::list, path, selector).await
    }

    /// The same in the form that `call` asks for.
    async fn list_as(&self, call: fn(String) -> Call, path: &str, selector: Option<&str>) -> Result<Vec<Value>, Error> {
        for _ in 0..=RELISTS {
            let mut items = Vec::new();
            let take = |page| {
                items.extend(page);
                true
            };
            match self.list_once(call, path, selector, (PAGE, KEPT), take).await {
                Err(Error::Refused { code: 410, .. }) => continue,
                Err(error) => return Err(error),
                Ok(_) => return Ok(items),
            }
        }
        Err(expired(path))
    }

    /// Whether a list has an object like that: pages of `limit`, none of which is kept, and none asked for after it was
    /// found. For objects that may be big.
    ///
    /// # Errors
    /// As [`Rancher::list_values`].
    pub(crate) async fn list_has(
        &self,
        path: &str,
        limit: usize,
        mut like: impl FnMut(Value) -> bool + Send,
    ) -> Result<bool, Error> {
        for _ in 0..=RELISTS {
            let take = |page: Vec<Value>| !page.into_iter().any(&mut like);
            match self.list_once(Call::list, path, None, (limit, usize::MAX), take).await {
                Err(Error::Refused { code: 410, .. }) => continue,
                ended => return ended.map(|to_the_end| !to_the_end),
            }
        }
        Err(expired(path))
    }

    /// Hands over page by page, of `limit` objects, as long as `more` is wanted, up to so many bytes. Says whether that was
    /// to the end.
    async fn list_once(
        &self,
        form: fn(String) -> Call,
        path: &str,
        selector: Option<&str>,
        (limit, mut bytes): (usize, usize),
        mut more: impl FnMut(Vec<Value>) -> bool + Send,
    ) -> Result<bool, Error> {
        let endless = || Error::unknown(format!("the list of {path} does not end"));
        let mut next = String::new();
        for _ in 0..PAGES {
            let mut url = format!("{path}?limit={limit}");
            if let Some(selector) = selector {
                url.push_str(&format!("&labelSelector={}", encode(selector)));
            }
            if !next.is_empty() {
                url.push_str(&format!("&continue={}", encode(&next)));
            }
            let call = form(url);
            let answer = self.exchange.success(&call).await?;
            bytes = bytes.checked_sub(answer.body.len()).ok_or_else(endless)?;
            let page: Page = self.exchange.decode(&call, &answer)?;
            // A server that hands out the same page for ever must not keep us for ever.
            if page.metadata.next.as_ref() == Some(&next) && !next.is_empty() {
                return Err(endless());
            }
            if !more(page.items) {
                return Ok(false);
            }
            next = page.metadata.next.unwrap_or_default();
            if next.is_empty() {
                return Ok(true);
            }
        }
        Err(endless())
    }

    /// Every object of a list, each of which must be readable.
    pub(crate) async fn list_all<T: DeserializeOwned>(
        &self,
        path: &str,
        selector: Option<&str>,
    ) -> Result<Vec<T>, Error> {
        let values = self.list_values(path, selector).await?;
        values.into_iter().map(|value| self.read(path, value)).collect()
    }

    /// The metadata of every object of a list, and nothing else of them.
    pub(crate) async fn list_metadata(&self, path: &str, selector: &str) -> Result<Vec<ObjectMeta>, Error> {
        let values = self.list_as(Call::metadata, path, Some(selector)).await?;
        let read = |value| self.read(path, value).map(|object: MetadataOnly| object.metadata);
        values.into_iter().map(read).collect()
    }

    /// Every readable object of a list: for inventories, where one odd object must not hide the others.
    pub(crate) async fn list_readable<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Error> {
        let values = self.list_values(path, None).await?;
        let readable =
            |value| self.read(path, value).map_err(|error: Error| tracing::warn!(%error, "object skipped")).ok();
        Ok(values.into_iter().filter_map(readable).collect())
    }

    /// One object of a list.
    fn read<T: DeserializeOwned>(&self, path: &str, value: Value) -> Result<T, Error> {
        let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name").to_owned();
        serde_json::from_value(value).map_err(|_| {
            let name = self.exchange.key.as_ref().map_or_else(|| name.clone(), |key| key.scrub(&name));
            Error::unknown(format!("object {name} in {path} cannot be read"))
        })
    }
}

#[derive(serde::Deserialize)]
struct MetadataOnly {
    metadata: ObjectMeta,
}

#[derive(serde::Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    /// Required to be there, though it may be null: `{}` is not an empty list, but something else's answer.
    #[serde(deserialize_with = "super::wire::nullable")]
    items: Vec<Value>,
}

#[derive(Default, serde::Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

fn expired(path: &str) -> Error {
    Error::unknown(format!("the list of {path} expired again and again before its end"))
}

#[cfg(test)]
mod tests;
