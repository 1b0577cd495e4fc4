//! One call to make: its method, its path, and what its answer will be about.
use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::{absence::Target, answer::Intent, error::Error, plain};

/// The most bytes the answer to a call for one object may have.
pub(crate) const OBJECT_CAP: usize = 1 << 20;
/// The most bytes a page of a list may have.
pub(crate) const LIST_CAP: usize = 64 << 20;

/// One call to make.
pub(crate) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<(&'static str, Bytes)>,
    pub(super) intent: Intent,
    pub(super) target: Option<Target>,
    pub(super) cap: usize,
    /// Which form of an object is wanted, where it is not the whole.
    pub(super) accept: Option<&'static str>,
}

/// Metadata alone, of each object of a list: what else there is in it does not even travel.
pub(crate) const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

impl Call {
    pub fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            intent: Intent::Read,
            target: None,
            cap: OBJECT_CAP,
            accept: None,
        }
    }

    pub fn list(path: String) -> Self {
        Self { cap: LIST_CAP, ..Self::get(path) }
    }

    /// A list of metadata alone.
    pub fn metadata(path: String) -> Self {
        Self { accept: Some(METADATA), ..Self::list(path) }
    }

    pub fn post(path: String, body: &Value) -> Self {
        Self { method: Method::POST, intent: Intent::Create, ..Self::get(path) }.with("application/json", body)
    }

    pub fn put(path: String, body: &Value) -> Self {
        Self { method: Method::PUT, intent: Intent::Change, ..Self::get(path) }.with("application/json", body)
    }

    /// A patch: `kind` is `merge-patch` or `json-patch`.
    pub fn patch(path: String, content_type: &'static str, body: &Value) -> Self {
        Self { method: Method::PATCH, intent: Intent::Change, ..Self::get(path) }.with(content_type, body)
    }

    pub fn delete(path: String, body: &Value) -> Self {
        Self { method: Method::DELETE, intent: Intent::Delete, ..Self::get(path) }.with("application/json", body)
    }

    /// Names the object asked for, so that its absence can be proven.
    pub fn of(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn with(mut self, content_type: &'static str, body: &Value) -> Self {
        self.body = Some((content_type, Bytes::from(body.to_string())));
        self
    }
}

/// A path from segments: each is encoded, so that no name can reach another object.
///
/// # Errors
/// [`Error::Unaddressable`] for an empty segment, `.` and `..`.
pub(crate) fn path(segments: &[&str]) -> Result<String, Error> {
    let mut path = String::new();
    for segment in segments {
        if matches!(*segment, "" | "." | "..") {
            return Err(Error::Unaddressable { name: plain::clean(segment) });
        }
        path.push('/');
        path.push_str(&encode(segment));
    }
    Ok(path)
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_reaches_another_object() {
        assert_eq!(
            path(&["k8s", "clusters", "c-m-1", "a/../b?x=1#y"]).unwrap(),
            "/k8s/clusters/c-m-1/a%2F..%2Fb%3Fx%3D1%23y"
        );
        for bad in ["", ".", ".."] {
            assert!(matches!(path(&["v3", bad]), Err(Error::Unaddressable { .. })), "{bad:?}");
        }
    }
}
