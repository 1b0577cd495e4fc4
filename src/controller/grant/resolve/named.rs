//! The ids of what a request calls by the names that Rancher shows.
//!
//! A name counts where exactly one cluster, or one project of its cluster, has it; an id goes before a name. From when the
//! grant is recorded, its record says what was meant, whatever has which name by then.

use std::collections::BTreeMap;

use super::{Result, unknown, wrong};
use crate::{
    api::{
        grant::{Access, AccessGrantSpec},
        status::BindingRecord,
    },
    controller::connection::Connection,
    policy::is_rancher_id,
    rancher::wire::{Cluster, Project},
};

/// How many of those that share a name are told.
const TOLD: usize = 10;

/// Whether all that it names may be ids.
pub(in crate::controller::grant) fn are_ids(spec: &AccessGrantSpec) -> bool {
    spec.access.iter().flat_map(names).all(|name| is_rancher_id(name))
}

fn names(access: &Access) -> Vec<&String> {
    let cluster = access.cluster.iter().map(|on| &on.name);
    let project = access.project.iter().flat_map(|on| [&on.cluster, &on.name]);
    let namespace = access.namespace.iter().map(|on| &on.cluster);
    cluster.chain(project).chain(namespace).collect()
}

/// The request with ids for names; `None` where nothing is called by a name that anything has. What nothing is called stays
/// as it is.
///
/// # Errors
/// Where several have a name: those are told that `may` be asked for, each put into a request of its own; where none may,
/// nothing is called so. Where Rancher cannot be asked.
pub(in crate::controller::grant) async fn by_ids(
    connection: &Connection,
    spec: &AccessGrantSpec,
    may: impl Fn(&AccessGrantSpec) -> bool,
) -> Result<Option<AccessGrantSpec>> {
    let mut known = Known {
        connection,
        clusters: connection.rancher.clusters().await.map_err(unknown)?,
        projects: BTreeMap::new(),
    };
    let mut meant = spec.clone();
    for (index, access) in meant.access.iter_mut().enumerate() {
        let alone = access.clone();
        let may_with = |set: &dyn Fn(&mut Access)| {
            let mut alone = alone.clone();
            set(&mut alone);
            may(&AccessGrantSpec { access: vec![alone], ..spec.clone() })
        };
        let on_cluster = |id: &str| may_with(&|access| on(access, id));
        if let Some(on) = &mut access.cluster {
            on.name = known.cluster(index, &on.name, on_cluster)?;
        }
        if let Some(on) = &mut access.project {
            on.cluster = known.cluster(index, &on.cluster, on_cluster)?;
            let cluster = on.cluster.clone();
            let on_project = |id: &str| {
                may_with(&|access| {
                    if let Some(on) = &mut access.project {
                        (on.cluster, on.name) = (cluster.clone(), id.to_owned());
                    }
                })
            };
            on.name = known.project(index, &on.cluster, &on.name, on_project).await?;
        }
        if let Some(on) = &mut access.namespace {
            on.cluster = known.cluster(index, &on.cluster, on_cluster)?;
        }
    }
    Ok((meant != *spec).then_some(meant))
}

/// Puts that cluster into it.
fn on(access: &mut Access, cluster: &str) {
    let names = [
        access.cluster.as_mut().map(|on| &mut on.name),
        access.project.as_mut().map(|on| &mut on.cluster),
        access.namespace.as_mut().map(|on| &mut on.cluster),
    ];
    names.into_iter().flatten().for_each(|name| cluster.clone_into(name));
}

struct Known<'a> {
    connection: &'a Connection,
    clusters: Vec<Cluster>,
    /// Of the clusters that were asked for.
    projects: BTreeMap<String, Vec<Project>>,
}

impl Known<'_> {
    fn cluster(&self, index: usize, name: &str, may: impl Fn(&str) -> bool) -> Result<String> {
        let there = self.clusters.iter().filter(|cluster| !cluster.meta.is_terminating());
        let there = there.map(|cluster| (cluster.meta.name.as_str(), cluster.display_name.as_str()));
        one_of(index, "cluster", name, there, may)
    }

    async fn project(&mut self, index: usize, cluster: &str, name: &str, may: impl Fn(&str) -> bool) -> Result<String> {
        if !self.clusters.iter().any(|known| known.meta.name == cluster) {
            return Ok(name.to_owned());
        }
        if !self.projects.contains_key(cluster) {
            let found = self.connection.rancher.projects(cluster).await.map_err(unknown)?;
            self.projects.insert(cluster.to_owned(), found);
        }
        let there = self.projects.get(cluster).into_iter().flatten().filter(|project| !project.meta.is_terminating());
        let what = format!("project of cluster {cluster}");
        let there = there.map(|project| (project.meta.name.as_str(), project.display_name.as_str()));
        one_of(index, &what, name, there, may)
    }
}

/// The id of the one that has this id, or else this name; of none, or of several of which none may be asked for, the name itself.
fn one_of<'a>(
    index: usize,
    what: &str,
    name: &str,
    there: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    may: impl Fn(&str) -> bool,
) -> Result<String> {
    if there.clone().any(|(id, _)| id == name) {
        return Ok(name.to_owned());
    }
    let mut ids: Vec<_> = there.filter(|(_, display)| *display == name).map(|(id, _)| id).collect();
    ids.sort_unstable();
    match ids.as_slice() {
        [] => Ok(name.to_owned()),
        [id] => Ok((*id).to_owned()),
        several => {
            let allowed: Vec<_> = several.iter().copied().filter(|id| may(id)).collect();
            if allowed.is_empty() {
                return Ok(name.to_owned());
            }
            let told = allowed.iter().take(TOLD).copied().collect::<Vec<_>>().join(", ");
            let more = allowed.len().saturating_sub(TOLD);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            Err(wrong(
                "TargetAmbiguous",
                format!(
                    "spec.access[{index}]: more than one {what} is called {name}; those that may be asked for: {told}{more}. Create the grant anew with the id of the one that is meant."
                ),
            ))
        }
    }
}

/// The request as it was meant when it was recorded: with the ids in the record.
pub(in crate::controller::grant) fn as_recorded(spec: &AccessGrantSpec, bindings: &[BindingRecord]) -> AccessGrantSpec {
    let mut meant = spec.clone();
    // The first bindings are those of `spec.access`, one for each, in the same order.
    for (access, binding) in meant.access.iter_mut().zip(bindings) {
        if let Some(on) = &mut access.cluster {
            on.name.clone_from(&binding.cluster);
        }
        if let (Some(on), Some(project)) = (&mut access.project, &binding.project) {
            (on.cluster, on.name) = (binding.cluster.clone(), project.clone());
        }
        if let Some(on) = &mut access.namespace {
            on.cluster.clone_from(&binding.cluster);
        }
    }
    meant
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::grant::resolve::Unresolved;

    fn told(name: &str) -> std::result::Result<String, String> {
        let there = [
            ("c-1", "Prod"),
            ("c-2", "c-1"),
            ("c-3", "Twin"),
            ("c-4", "Twin"),
            ("c-5", ""),
            ("c-6", "prod"),
            ("c-7", "Half"),
            ("c-8", "Half"),
        ];
        match one_of(0, "cluster", name, there.into_iter(), |id| id != "c-8") {
            Ok(id) => Ok(id),
            Err(Unresolved::Wrong(because) | Unresolved::Unknown(because)) => Err(because.message),
        }
    }

    #[test]
    fn an_id_goes_before_a_name_and_a_name_that_several_have_is_none() {
        assert_eq!(told("Prod").as_deref(), Ok("c-1"), "exactly so: prod is another");
        assert_eq!(told("c-1").as_deref(), Ok("c-1"), "whatever another one is called");
        assert_eq!(told("nobody").as_deref(), Ok("nobody"));
        let why = told("Twin").unwrap_err();
        assert!(why.contains("more than one cluster is called Twin; those that may be asked for: c-3, c-4."), "{why}");
        let why = told("Half").unwrap_err();
        assert!(why.contains("asked for: c-7.") && !why.contains("c-8"), "{why}");
    }

    #[test]
    fn of_very_many_ten_are_told() {
        let ids: Vec<_> = (10..40).map(|number| format!("c-{number}")).collect();
        let there = ids.iter().map(|id| (id.as_str(), "Twin"));
        let Err(Unresolved::Wrong(because)) = one_of(3, "cluster", "Twin", there, |_| true) else {
            panic!("thirty have it")
        };
        assert!(
            because.message.contains("spec.access[3]") && because.message.contains("c-19 and 20 more"),
            "{}",
            because.message
        );
    }
}
