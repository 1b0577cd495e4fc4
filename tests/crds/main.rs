//! The CustomResourceDefinitions: their shape, and what a real API server makes of every rule in them.

mod decision;
mod grant;
mod grant_update;
mod integration;
mod policy;
mod resource;
mod secret_stores;
mod selector;
mod server;
mod shape;
