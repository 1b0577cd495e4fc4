//! What a watch on Rancher hands over: as much of an object as is looked at, and no more metadata than a watch needs.
//!
//! An object that cannot be read costs that object only: a list goes on without it.

use std::{borrow::Cow, fmt::Debug};

use kube::{
    Resource,
    api::ApiResource,
    core::{DynamicResourceScope, ObjectMeta},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// An object of Rancher's; `None` where it is not what it should be.
#[derive(Clone, Debug)]
pub(super) struct Read<T> {
    meta: ObjectMeta,
    pub object: Option<T>,
}

impl<T> Read<T> {
    pub(super) fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    /// Empty for cluster-scoped kinds.
    pub(super) fn namespace(&self) -> &str {
        self.meta.namespace.as_deref().unwrap_or_default()
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = |at: &str| value.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let meta = ObjectMeta {
            name: text("/metadata/name"),
            namespace: text("/metadata/namespace"),
            resource_version: text("/metadata/resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, object: serde_json::from_value(value).ok() })
    }
}

impl<T> Resource for Read<T> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rancher::wire::Project;

    #[test]
    fn what_cannot_be_read_has_a_name_all_the_same() {
        let read = |json: &str| serde_json::from_str::<Read<Project>>(json).unwrap();
        let good = read(r#"{"metadata":{"name":"p-1","namespace":"c-1"},"spec":{"displayName":"Web"}}"#);
        assert_eq!(good.object.as_ref().map(|project| project.display_name.as_str()), Some("Web"));
        let bad =
            read(r#"{"metadata":{"name":"p-1","namespace":"c-1","resourceVersion":"7"},"spec":{"displayName":7}}"#);
        assert!(bad.object.is_none());
        assert_eq!((bad.name(), bad.namespace(), bad.meta().resource_version.as_deref()), ("p-1", "c-1", Some("7")));
        assert!(read("{}").object.is_none());
    }
}
