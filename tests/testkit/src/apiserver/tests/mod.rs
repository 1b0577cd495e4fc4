//! The semantics, driven through kube's client.
mod basics;
mod scripted;
