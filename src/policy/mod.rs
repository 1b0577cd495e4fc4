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

mod difference;
mod facts;
mod judge;
mod limits;
mod mapping;
mod owner;
mod refusal;
mod request;
mod stage;
mod subject;
mod system;
mod target;
#[cfg(test)]
mod tests;

pub use difference::difference;
pub use duration::parse_duration;
pub use facts::{ClusterFacts, Facts, NamespaceFacts, ProjectFacts, RoleFacts, SubjectFacts, TargetFacts};
pub use judge::{Allowed, judge};
pub use mapping::{Unmapped, rancher_group, rancher_user};
pub use owner::{Mark, owner_of, record_owners, said_owner};
pub use refusal::{MESSAGE_MAX, Refusal, RefusalReason};
pub use request::{Count, Policy, PolicyError, Request, Unfinished};
pub use stage::candidates;
pub use subject::{Wanted, wanted_subject};
pub use system::is_system_namespace;
