//! Dev-only servers for the operator's tests.

pub mod apiserver;
pub mod control_plane;
mod https;
pub mod proxy;
pub mod rancher;
