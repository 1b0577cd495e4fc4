//! Where the programs of the control plane come from.

use std::path::{Path, PathBuf};

use super::{Error, build};

/// The programs of one control plane.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Garbage collection, namespaces, service accounts, deployments.
    pub kube_controller_manager: PathBuf,
    /// The command line that users have.
    pub kubectl: PathBuf,
}

/// One program: its file name, and the Go package that makes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
}

/// Smallest first, so that a broken toolchain shows early.
pub(super) const PROGRAMS: [Program; 4] = [
    Program { name: "etcd", package: "go.etcd.io/etcd/server/v3" },
    Program { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl" },
    Program { name: "kube-controller-manager", package: "k8s.io/kubernetes/cmd/kube-controller-manager" },
    Program { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
];

impl Binaries {
    /// The programs in `KUBEBUILDER_ASSETS`; what is not there (the usual archives have no controller manager)
    /// is built once from the pinned Go modules into the cargo target directory. Blocks: for minutes at the
    /// first build, with progress on the terminal.
    pub fn get() -> Result<Self, Error> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        Self::get_from(assets.as_deref(), &target_directory())
    }

    /// As [`Binaries::get`], from these directories.
    pub(super) fn get_from(assets: Option<&Path>, target: &Path) -> Result<Self, Error> {
        let given = |program: &Program| assets.map(|dir| dir.join(program.name)).filter(|path| path.is_file());
        let missing: Vec<Program> = PROGRAMS.into_iter().filter(|program| given(program).is_none()).collect();
        let built = if missing.is_empty() { None } else { Some(build::ensure(&missing, target)?) };
        let path = |name: &'static str| {
            let built = built.as_deref();
            assets
                .map(|dir| dir.join(name))
                .filter(|path| path.is_file())
                .or_else(|| built.map(|dir| dir.join(name)))
                .unwrap_or_else(|| PathBuf::from(name))
        };
        Ok(Self {
            etcd: path("etcd"),
            kube_apiserver: path("kube-apiserver"),
            kube_controller_manager: path("kube-controller-manager"),
            kubectl: path("kubectl"),
        })
    }
}

/// The cargo target directory that this test binary was built in: cargo leaves `.rustc_info.json` at its top.
/// A binary that was carried elsewhere falls back to the workspace's own.
fn target_directory() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|exe| exe.ancestors().find(|dir| dir.join(".rustc_info.json").is_file()).map(Path::to_path_buf))
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}
