//! Dev-only servers for the operator's tests.
pub mod apiserver;
pub mod rancher;
