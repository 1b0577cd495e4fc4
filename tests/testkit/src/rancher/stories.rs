//! What administrators and disasters do to a Rancher.
use std::collections::BTreeMap;

use serde_json::Value;

use crate::apiserver::{self, Gvr};

use super::{
    Rancher,
    core::{lock, management, meta, text},
    world::expect,
};

/// A backup of Rancher's own cluster. Downstream clusters are in no backup of Rancher's.
#[derive(Clone, Debug)]
pub struct Backup {
    local: apiserver::Backup,
    ext_secrets: BTreeMap<String, String>,
}

impl Rancher {
    /// Takes a backup of Rancher's own cluster.
    pub fn backup(&self) -> Backup {
        let core = self.core();
        Backup { local: core.local.backup(), ext_secrets: lock(&core.ext_secrets).clone() }
    }

    /// Puts Rancher's own cluster back to where a backup was taken, and starts Rancher again: downstream clusters stay as they
    /// are, and the controllers look at everything anew. The release is the one that runs now.
    pub async fn restore(&self, backup: &Backup) {
        self.stop();
        let core = self.core();
        core.local.restore(&backup.local);
        lock(&core.ext_secrets).clone_from(&backup.ext_secrets);
        super::seed::settle_version(core);
        self.restart().await;
    }

    /// Deletes a user, and returns once he and what Rancher deletes with him are gone.
    ///
    /// # Panics
    /// Where there is no such user.
    pub async fn delete_user(&self, id: &str) {
        let local = &self.core().local;
        expect(local.delete(&management("users"), "", id, None).await, "deleting a user");
        while local.get(&management("users"), "", id).is_some() {
            self.core().pause(50).await;
        }
    }

    /// Deletes a user and adds another one under the same id, with the same names: somebody else, by his UID.
    ///
    /// # Panics
    /// Where there is no such user.
    pub async fn recreate_user(&self, id: &str) {
        let found = self.core().local.get(&management("users"), "", id);
        let before = found.unwrap_or_else(|| panic!("testkit rancher: no user {id:?}"));
        self.delete_user(id).await;
        let principals = before["principalIds"].as_array().into_iter().flatten().filter_map(Value::as_str);
        self.add_user(id, text(&before, "username"), &principals.collect::<Vec<_>>());
    }

    /// Locks a role template, so that nobody can bind it any more, or unlocks it.
    ///
    /// # Panics
    /// Where there is no such role template.
    pub fn lock_role_template(&self, name: &str, locked: bool) {
        self.edit("roletemplates", name, |role| role["locked"] = locked.into());
    }

    /// Gives a role template other rules; what its bindings gave follows.
    ///
    /// # Panics
    /// Where there is no such role template.
    pub fn set_role_rules(&self, name: &str, rules: Value) {
        self.edit("roletemplates", name, |role| role["rules"] = rules);
    }

    /// From now on, fresh ext tokens are known only so long after they were made: with several replicas, each learns of them
    /// through a cache of its own.
    pub fn set_ext_token_lag(&self, lag: std::time::Duration) {
        lock(&self.core().ext_lag).0 = lag;
    }

    /// Sets a setting, such as `system-namespaces`; empty: the default again.
    ///
    /// # Panics
    /// Where there is no such setting.
    pub fn set_setting(&self, name: &str, value: &str) {
        self.edit("settings", name, |setting| setting["value"] = value.into());
    }

    /// Moves a namespace of a cluster to another project (`p-xxxxx`), or out of all where that is empty.
    ///
    /// # Panics
    /// Where there is no such cluster or namespace.
    pub fn move_namespace(&self, cluster: &str, namespace: &str, project: &str) {
        let (gvr, server) = (Gvr::core("namespaces"), self.core().server(cluster));
        let server = server.unwrap_or_else(|| panic!("testkit rancher: no cluster {cluster:?}"));
        let found = server.get(&gvr, "", namespace);
        let mut object = found.unwrap_or_else(|| panic!("testkit rancher: no namespace {namespace:?}"));
        let key = "field.cattle.io/projectId";
        for (place, value) in [("annotations", format!("{cluster}:{project}")), ("labels", project.to_owned())] {
            if project.is_empty() {
                if let Some(map) = object["metadata"][place].as_object_mut() {
                    map.remove(key);
                }
            } else {
                object["metadata"][place][key] = value.into();
            }
        }
        expect(server.update_unchecked(&gvr, object), "moving a namespace");
    }

    /// Gives a project another display name.
    ///
    /// # Panics
    /// Where there is no such project.
    pub fn rename_project(&self, cluster: &str, project: &str, display: &str) {
        let found = self.core().local.get(&management("projects"), cluster, project);
        let mut object = found.unwrap_or_else(|| panic!("testkit rancher: no project {cluster}:{project}"));
        object["spec"]["displayName"] = display.into();
        expect(self.core().local.update_unchecked(&management("projects"), object), "renaming a project");
    }

    /// Deletes a project; its bindings and its backing namespace follow, its namespaces stay.
    ///
    /// # Panics
    /// Where there is no such project.
    pub async fn delete_project(&self, cluster: &str, project: &str) {
        let gone = self.core().local.delete(&management("projects"), cluster, project, None).await;
        expect(gone, "deleting a project");
    }

    /// The namespace on Rancher's own cluster that a project's bindings belong into.
    ///
    /// # Panics
    /// Where there is no such project.
    pub fn backing_namespace(&self, cluster: &str, project: &str) -> String {
        let found = self.core().local.get(&management("projects"), cluster, project);
        let object = found.unwrap_or_else(|| panic!("testkit rancher: no project {cluster}:{project}"));
        debug_assert_eq!(meta(&object, "name"), project);
        super::downstream::backing_namespace(&object)
    }
}
