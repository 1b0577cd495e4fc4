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
/// Where several have a name: they are told. Where Rancher cannot be asked.
pub(in crate::controller::grant) async fn by_ids(
    connection: &Connection,
    spec: &AccessGrantSpec,
) -> Result<Option<AccessGrantSpec>> {
    let mut known = Known {
        connection,
        clusters: connection.rancher.clusters().await.map_err(unknown)?,
        projects: BTreeMap::new(),
    };
    let mut meant = spec.clone();
    for (index, access) in meant.access.iter_mut().enumerate() {
        if let Some(on) = &mut access.cluster {
            on.name = known.cluster(index, &on.name)?;
        }
        if let Some(on) = &mut access.project {
            on.cluster = known.cluster(index, &on.cluster)?;
            on.name = known.project(index, &on.cluster, &on.name).await?;
        }
        if let Some(on) = &mut access.namespace {
            on.cluster = known.cluster(index, &on.cluster)?;
        }
    }
    Ok((meant != *spec).then_some(meant))
}

struct Known<'a> {
    connection: &'a Connection,
    clusters: Vec<Cluster>,
    /// Of the clusters that were asked for.
    projects: BTreeMap<String, Vec<Project>>,
}

impl Known<'_> {
    fn cluster(&self, index: usize, name: &str) -> Result<String> {
        let there = self.clusters.iter().filter(|cluster| !cluster.meta.is_terminating());
        one_of(index, "cluster", name, there.map(|cluster| (cluster.meta.name.as_str(), cluster.display_name.as_str())))
    }

    async fn project(&mut self, index: usize, cluster: &str, name: &str) -> Result<String> {
        if !self.clusters.iter().any(|known| known.meta.name == cluster) {
            return Ok(name.to_owned());
        }
        if !self.projects.contains_key(cluster) {
            let found = self.connection.rancher.projects(cluster).await.map_err(unknown)?;
            self.projects.insert(cluster.to_owned(), found);
        }
        let there = self.projects.get(cluster).into_iter().flatten().filter(|project| !project.meta.is_terminating());
        let what = format!("project of cluster {cluster}");
        one_of(index, &what, name, there.map(|project| (project.meta.name.as_str(), project.display_name.as_str())))
    }
}

/// The id of the one that has this id, or else this name; of none, the name itself.
fn one_of<'a>(
    index: usize,
    what: &str,
    name: &str,
    there: impl Iterator<Item = (&'a str, &'a str)> + Clone,
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
            let told = several.iter().take(TOLD).copied().collect::<Vec<_>>().join(", ");
            let more = several.len().saturating_sub(TOLD);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            Err(wrong(
                "TargetAmbiguous",
                format!(
                    "spec.access[{index}]: more than one {what} is called {name}: {told}{more}. Create the grant anew with the id of the one that is meant."
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
        let there = [("c-1", "Prod"), ("c-2", "c-1"), ("c-3", "Twin"), ("c-4", "Twin"), ("c-5", ""), ("c-6", "prod")];
        match one_of(0, "cluster", name, there.into_iter()) {
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
        assert!(why.contains("more than one cluster is called Twin: c-3, c-4."), "{why}");
    }

    #[test]
    fn of_very_many_ten_are_told() {
        let ids: Vec<_> = (10..40).map(|number| format!("c-{number}")).collect();
        let there = ids.iter().map(|id| (id.as_str(), "Twin"));
        let Err(Unresolved::Wrong(because)) = one_of(3, "cluster", "Twin", there) else { panic!("thirty have it") };
        assert!(
            because.message.contains("spec.access[3]") && because.message.contains("c-19 and 20 more"),
            "{}",
            because.message
        );
    }
}
