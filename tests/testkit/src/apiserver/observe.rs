//! Whoever wants to know of every change in the moment that it is written, before anybody can act on it.
use std::sync::Arc;

use serde_json::Value;

use super::{ApiServer, EventType, Gvr};

/// One change, as it is written.
#[derive(Debug)]
pub struct Changed<'a> {
    /// What happened to the object.
    pub event: EventType,
    /// The resource, in the version by which it was written.
    pub gvr: &'a Gvr,
    /// Empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The object as it was; `None` where it is new.
    pub old: Option<&'a Value>,
    /// The object as it is now, or as it last was where it is gone.
    pub object: &'a Value,
}

/// Is told of each change. It is called while the server writes: it must not ask that server anything.
pub type Observer = Arc<dyn Fn(&Changed<'_>) + Send + Sync>;

impl ApiServer {
    /// Tells of each change from now on.
    pub fn observe(&self, observer: Observer) {
        self.0.state().observers.push(observer);
    }
}
