//! The laws of the core, as properties: whatever the grant, the world and the clock.
//!
//! - [`arbitrary`]: any grant, any world, any clock.
//! - [`before`]: any grant that extends another.
//! - [`five`]: the five laws that stand in [`super::decide`].
//! - [`status`]: what a status may say, and that it does not change without a reason.
//! - [`extension`]: what holds for grants that extend another.
//! - [`life`]: whole lives on a toy Rancher, with crashes, lost answers and creates that land late.

mod arbitrary;
mod before;
mod extension;
mod five;
mod life;
mod status;
mod toy;

pub(in crate::grant) use arbitrary::ballot;
