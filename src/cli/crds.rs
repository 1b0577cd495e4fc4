//! `crds`: print the CustomResourceDefinitions, or write them into a directory.

use std::{fs, io, path::PathBuf, process::ExitCode};

use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;

use crate::api;

/// First line of each generated file.
const HEADER: &str = "# Generated from src/api by `just crds`. Do not edit.\n";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Directory to write into, one file a kind; without it, all are printed.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// One CustomResourceDefinition as YAML, as it stands in `crds/`.
///
/// # Errors
/// When it cannot be written as YAML: a fault of this crate.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, Box<dyn std::error::Error>> {
    // Through a JSON value, so that keys come out in one fixed order.
    let value = serde_json::to_value(crd)?;
    Ok(format!("{HEADER}{}", serde_saphyr::to_string(&value)?))
}

pub(super) fn main(arguments: &Arguments) -> ExitCode {
    match write(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write the CustomResourceDefinitions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    for crd in api::crds()? {
        let text = yaml(&crd)?;
        match &arguments.dir {
            None => print!("---\n{text}"),
            Some(dir) => {
                let path = dir.join(format!("{}.yaml", crd.name_any()));
                fs::write(&path, text).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
            }
        }
    }
    Ok(())
}
