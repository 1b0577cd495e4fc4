//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod crds;
mod run;

/// Access to Rancher for a while, as Kubernetes objects.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator.
    Run(Box<run::Arguments>),
    /// Print the CustomResourceDefinitions, or write them into a directory, one file a kind.
    Crds(crds::Arguments),
}

/// Parses the command line and does what it says. The exit code is 0 only if that went well.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => run::main(&arguments),
        Command::Crds(arguments) => crds::main(&arguments),
    }
}
