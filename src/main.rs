//! The operator's binary: see `rancher_access_operator::cli`.
fn main() {}
