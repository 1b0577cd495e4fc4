//! Dev-only servers for the operator's tests.

pub mod apiserver;
pub mod control_plane;
pub mod rancher;
