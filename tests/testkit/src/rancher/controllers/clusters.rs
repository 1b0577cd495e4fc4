//! Clusters, projects and namespaces: what comes and goes with them.
use std::sync::Arc;

use serde_json::{Value, json};

use crate::apiserver::{EventType, Gvr};

use super::{
    super::{
        Model,
        binding::{self, Kind},
        core::{Core, lock, management, meta, rbac},
        downstream::backing_namespace,
        grants::{self, Part},
        names,
    },
    bindings::resync,
    delete_where, follow, with,
};

/// Follows the clusters that Rancher manages.
pub(super) fn run(core: Arc<Core>) -> impl Future<Output = ()> + Send {
    let shared = Arc::clone(&core);
    follow(&core, "local", &management("clusters"), move |tasks, event| {
        if event.kind == EventType::Deleted {
            let id = meta(&event.object, "name").to_owned();
            with(tasks, &shared, |core| async move { purge(&core, &id).await });
        }
    })
}

/// A cluster that is gone takes its namespace, projects and bindings along; its own finalizers are taken off by Rancher.
pub(in super::super) async fn purge(core: &Core, id: &str) {
    let server = lock(&core.downstreams).remove(id);
    if let Some(downstream) = server {
        downstream.server.set_available(false);
    }
    core.repaired();
    for (kind, mut object) in binding::all(core) {
        if kind.cluster(&object) != id {
            continue;
        }
        for part in [Part::Management, Part::Fleet] {
            let _ = grants::clean(core, kind, &object, part).await;
        }
        let (namespace, name) = (meta(&object, "namespace").to_owned(), meta(&object, "name").to_owned());
        object["metadata"]["finalizers"] = json!([]);
        let _ = core.local.update_unchecked(&kind.gvr(), object);
        let _ = core.local.delete_unchecked(&kind.gvr(), &namespace, &name);
    }
    let projects = core.local.list(&management("projects"), Some(id));
    for namespace in projects.iter().map(backing_namespace).chain([id.to_owned()]) {
        let _ = core.local.delete(&Gvr::core("namespaces"), "", &namespace, None).await;
    }
}

/// Follows the projects: one that is gone takes its bindings and its backing namespace along.
pub(super) fn projects(core: Arc<Core>) -> impl Future<Output = ()> + Send {
    let shared = Arc::clone(&core);
    follow(&core, "local", &management("projects"), move |tasks, event| match event.kind {
        EventType::Added => with(tasks, &shared, |core| live_project(core, event.object)),
        EventType::Deleted => with(tasks, &shared, |core| end_project(core, event.object)),
        EventType::Modified => {}
    })
}

/// Where the webhook makes no backing namespace, Rancher makes one of the project's name.
async fn live_project(core: Arc<Core>, project: Value) {
    core.pause(50).await;
    let namespace = json!({"metadata": {"name": backing_namespace(&project)}});
    // It is there in most cases.
    let _ = core.local.create(&Gvr::core("namespaces"), &namespace).await;
}

async fn end_project(core: Arc<Core>, project: Value) {
    core.pause(50).await;
    let id = format!("{}:{}", meta(&project, "namespace"), meta(&project, "name"));
    delete_where(&core, Kind::Project.resource(), |binding| binding["projectName"] == id.as_str()).await;
    let backing = backing_namespace(&project);
    let namespaces = Gvr::core("namespaces");
    let _ = core.local.delete(&namespaces, "", &backing, None).await;
}

/// Follows the namespaces of a cluster: one that joins a project gets the project's bindings. The legacy model takes those of
/// another project away; the aggregated one leaves them (rancher/rancher#49259).
pub(super) fn namespaces(core: Arc<Core>, cluster: String) -> impl Future<Output = ()> + Send {
    let shared = Arc::clone(&core);
    let of = cluster.clone();
    follow(&core, &cluster, &Gvr::core("namespaces"), move |tasks, event| {
        let project = event.object["metadata"]["annotations"]["field.cattle.io/projectId"]
            .as_str()
            .filter(|project| project.starts_with(&format!("{of}:")))
            .map(str::to_owned);
        if event.kind == EventType::Deleted {
            return;
        }
        let (cluster, namespace) = (of.clone(), meta(&event.object, "name").to_owned());
        with(tasks, &shared, |core| async move {
            core.pause(100).await;
            if core.model() == Model::Legacy {
                forget_other_projects(&core, &cluster, &namespace, project.as_deref()).await;
            }
            if let Some(project) = project {
                resync(core, |kind, object| kind == Kind::Project && object["projectName"] == project.as_str()).await;
            }
        });
    })
}

/// Deletes the RoleBindings of bindings that do not lie in the project's own namespace; of all, where there is no project.
async fn forget_other_projects(core: &Core, cluster: &str, namespace: &str, project: Option<&str>) {
    let Some(server) = core.server(cluster).filter(|_| core.reaches(cluster)) else {
        return;
    };
    let place = match project.and_then(|project| project.split_once(':')) {
        None => String::new(),
        Some((of, project)) => match core.local.get(&management("projects"), of, project) {
            Some(project) => backing_namespace(&project),
            None => return,
        },
    };
    let of_others = |pair: &str| {
        let mut all = binding::all(core).into_iter().filter(|(kind, _)| *kind == Kind::Project);
        place.is_empty() || all.any(|(_, one)| names::pair(&one) == pair && meta(&one, "namespace") != place)
    };
    for object in server.list(&rbac("rolebindings"), Some(namespace)) {
        let owner = object["metadata"]["labels"][names::LEGACY_OWNER].as_str();
        if owner.is_some_and(of_others) {
            let _ = server.delete(&rbac("rolebindings"), namespace, meta(&object, "name"), None).await;
        }
    }
}
