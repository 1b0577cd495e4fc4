//! The glue between the API server and Rancher: observe, decide, act, record.
//!
//! - [`watch`], [`shared`], [`grants`], [`decisions`]: what the API server said, kept in memory.
//! - [`queue`], [`due`], [`pools`], [`workers`]: which grants are looked at, when, and how many at once.
//! - [`grant`]: one grant's way. [`seats`]: how many are under way under each policy with limits.
//! - [`integration`]: one Rancher's way; [`connection`] is what it hands to the grants, with its [`clusters`].
//! - [`discovery`]: what there is to be asked for, as objects.
//! - [`users`]: users in Rancher that are there because of grants.
//! - [`drift`]: what happens to our bindings behind our back. [`sweep`]: what nobody remembers. [`tokens`]: what people
//!   made for themselves while they had access.
//! - `secrets`: the one way to keys. [`proof`]: whether identities are proven. [`installation`]: who we are.
//! - [`operator`]: how all of it is put together.

pub mod clusters;
pub mod connection;
pub mod context;
pub mod decisions;
pub mod discovery;
pub mod drift;
pub mod due;
pub mod grant;
pub mod grants;
pub mod installation;
pub mod integration;
pub mod memory;
pub mod operator;
pub mod pools;
pub mod proof;
pub mod queue;
pub mod seats;
mod secrets;
pub mod shared;
pub mod sweep;
pub mod tokens;
pub mod users;
pub mod watch;
pub mod words;
pub mod workers;

use std::fmt::Debug;

use kube::Api;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use context::{Context, Settings, Transports};
pub use operator::{Operator, OperatorError};

/// Whether the API server says in so many words that the object is not there. What stands in front of it answers 404 too, and
/// kube takes that for the same.
fn is_absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.reason == "NotFound")
}

/// The object of that name; `None` where the API server says that there is none.
async fn find<K>(api: &Api<K>, name: &str) -> Result<Option<K>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    match api.get(name).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the API server said, without the whole answer that kube's own words carry.
fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({} {})", status.message, status.code, status.reason),
        error => error.to_string(),
    }
}

/// A status as a merge patch that leaves nothing of the old one: what is gone is `null`, down to the fields of the
/// objects in it.
fn replacing(old: Value, mut new: Value) -> Value {
    let (Value::Object(was), Value::Object(becomes)) = (old, &mut new) else { return new };
    for (field, held) in was {
        let now = becomes.entry(field).or_insert(Value::Null);
        if let (Value::Object(held), Value::Object(inner)) = (held, now) {
            for field in held.keys() {
                inner.entry(field.clone()).or_insert(Value::Null);
            }
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_gone_from_a_status_is_null_in_its_patch() {
        let old = json!({"phase": "Active", "key": {"user": "u", "expiresTime": "t"}, "list": [1]});
        let new = json!({"key": {"user": "v"}, "list": []});
        assert_eq!(replacing(old, new), json!({"phase": null, "key": {"user": "v", "expiresTime": null}, "list": []}));
    }
}
