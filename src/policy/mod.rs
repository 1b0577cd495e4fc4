//! Pure: whether a request is allowed, and by which policy.
//!
//! In two stages, so that a tenant without any policy cannot make the operator ask Rancher anything:
//!
//! 1. [`candidates`]: what the grant and the policies say by themselves.
//! 2. [`judge`]: what Rancher said of the targets, the roles and the subject ([`Facts`]); above all, whether something
//!    [`privilege`]d is asked for. It checks the first stage again, so that it needs not be trusted.
//!
//! One policy must cover all that a grant asks for. Unknown is refused; names are compared exactly; an empty list or
//! selector allows nothing.

pub mod duration;
pub mod glob;
pub mod privilege;
pub mod selector;

mod approval;
mod difference;
mod digest;
mod facts;
mod judge;
mod limits;
mod mapping;
mod offer;
mod overlay;
mod owner;
mod refusal;
mod relation;
mod request;
mod stage;
mod subject;
mod system;
mod target;
#[cfg(test)]
mod tests;

pub use approval::{Owners, approver_sets, asks_owners};
pub use difference::difference;
pub use digest::{Approved, fingerprint};
pub use duration::parse_duration;
pub use facts::{
    ClusterFacts, Continuous, Facts, NamespaceFacts, PAUSE, ProjectFacts, RoleFacts, SubjectFacts, TargetFacts,
};
pub use judge::{Allowed, Demand, judge, still_allows};
pub use mapping::{Unmapped, rancher_group, rancher_user};
pub use offer::{Offer, offers};
pub use overlay::overlays;
pub use owner::{Mark, owner_of, record_owners, said_owner};
pub use refusal::{MESSAGE_MAX, Refusal, RefusalReason};
pub use relation::{Person, is_himself};
pub use request::{Count, Policy, PolicyError, Request, Unfinished};
pub use stage::candidates;
pub use subject::{Wanted, wanted_subject};
pub use system::is_system_namespace;
pub use target::is_rancher_id;

/// A name as it is compared in order to refuse: without regard to upper and lower case.
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}
