//! ConfigMaps in `cattle-system` of Rancher's own cluster: where an installation says that it serves this Rancher.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    absence::{Sighting, Target},
    call::Call,
    client::{LOCAL, Rancher},
    error::Error,
    wire::{ObjectMeta, nullable},
};

const NAMESPACE: &str = "cattle-system";

/// A ConfigMap in `cattle-system`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMap {
    /// Its metadata. A replacement must carry the `resource_version` that was read.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Its text.
    #[serde(default, deserialize_with = "nullable")]
    pub data: BTreeMap<String, String>,
}

impl ConfigMap {
    fn body(&self) -> Value {
        let ObjectMeta { name, resource_version, labels, annotations, .. } = &self.meta;
        let mut metadata = json!({"name": name, "namespace": NAMESPACE, "labels": labels, "annotations": annotations});
        if let (Some(fields), false) = (metadata.as_object_mut(), resource_version.is_empty()) {
            fields.insert("resourceVersion".to_owned(), json!(resource_version));
        }
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": self.data})
    }
}

impl Rancher {
    /// Looks at a ConfigMap in `cattle-system` of Rancher's own cluster.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn config_map(&self, name: &str) -> Result<Sighting<ConfigMap>, Error> {
        self.exchange.look(Call::get(self.config_map_path(Some(name))?).of(target(name))).await
    }

    /// Creates one. What `meta` says of versions and UIDs is ignored.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where there is one, else as for every call.
    pub async fn create_config_map(&self, map: &ConfigMap) -> Result<ConfigMap, Error> {
        let mut fresh = map.clone();
        fresh.meta.resource_version.clear();
        self.exchange.object(Call::post(self.config_map_path(None)?, &fresh.body())).await
    }

    /// Replaces one, if it is still the version `meta` names.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it changed meanwhile or `meta` names no version, [`Error::NotFound`] where it is gone.
    pub async fn replace_config_map(&self, map: &ConfigMap) -> Result<ConfigMap, Error> {
        if map.meta.resource_version.is_empty() {
            // The API server would overwrite whatever is there.
            return Err(Error::Conflict { message: "a replacement must name the version it replaces".to_owned() });
        }
        let path = self.config_map_path(Some(&map.meta.name))?;
        self.exchange.object(Call::put(path, &map.body()).of(target(&map.meta.name))).await
    }

    fn config_map_path(&self, name: Option<&str>) -> Result<String, Error> {
        let mut segments = vec!["api", "v1", "namespaces", NAMESPACE, "configmaps"];
        segments.extend(name);
        self.cluster_path(LOCAL, &segments)
    }
}

fn target(name: &str) -> Target {
    Target { group: "", resource: "configmaps", namespace: Some(NAMESPACE.to_owned()), name: name.to_owned() }
}
