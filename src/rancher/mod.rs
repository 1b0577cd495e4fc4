//! How to talk to a Rancher server. Knows nothing of our kinds, and reads no wall clock.
//!
//! - [`transport`]: one HTTPS connection pool for one Rancher; tests put a simulator in its place.
//! - [`endpoint`]: the admin key and where it may be sent, read from a Secret.
//! - [`error`]: failures, named by what one may conclude from them.
//! - [`wire`]: Rancher's objects, read tolerantly.
//! - [`Rancher`]: the calls. [`binding`] for access, [`leftovers`] for what a binding may leave behind,
//!   [`finalizers`] for when it may be deleted, [`membership`] for the role that only lets somebody into a cluster, [`user`]
//!   and [`password`] for local users.
//! - [`release`]: what one Rancher does differently from another.
pub mod absence;
mod adapter;
mod answer;
pub mod binding;
mod call;
pub mod claim;
pub mod client;
pub mod endpoint;
pub mod error;
mod exchange;
pub mod finalizers;
mod groups;
pub mod identity;
mod inventory;
pub mod issued;
pub mod key;
pub mod leftovers;
pub mod membership;
pub mod password;
mod plain;
pub mod release;
pub mod token;
pub mod transport;
pub mod user;
pub mod wire;

#[cfg(test)]
mod fake;

pub use absence::{ProofOfAbsence, Sighting};
pub use binding::{BindingRef, Deleted, NewBinding, NewSubject};
pub use client::Rancher;
pub use endpoint::{Credentials, CredentialsError};
pub use error::Error;
pub use issued::Issued;
pub use key::{Key, KeyKind};
pub use password::Password;
pub use release::{Model, Release};
pub use token::{KeyName, Mark};
pub use transport::{Transport, TransportConfig, TransportError};
pub use user::{NewUser, UserChange};
