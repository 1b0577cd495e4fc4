//! What every long-running process needs: clock, lease, health, metrics, supervision.
pub mod clock;

pub use clock::Clock;
