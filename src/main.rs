//! The operator's binary: see [`rancher_access_operator::cli`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    rancher_access_operator::cli::main()
}
