//! What happens, when nothing goes wrong but what belongs to the story.
//!
//! S1 to S14 are those of the specification; the others came with the design. A script waits for what should happen, and goes
//! on when it does not: what is wrong is found by the invariants.

mod disasters;
mod life;
mod sharing;
mod targets;
mod users;

use std::pin::Pin;

use testkit::rancher::{Model, Version};

use crate::{embedded::world::Given, stage::Stage};

type Script = for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A scenario.
pub struct Scenario {
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    pub given: Given,
    pub script: Script,
    /// What goes wrong in it as a part of the story.
    pub always: &'static [&'static str],
    /// How many requests about grants it may take.
    pub requests: usize,
}

impl Scenario {
    /// Whether its requests are broken: where dozens do the same, they are broken elsewhere.
    pub fn is_broken(&self) -> bool {
        self.name != "busy"
    }

    /// Whether how it ends depends on who comes first: then a fault may well make a difference to that.
    pub fn is_a_race(&self) -> bool {
        matches!(self.name, "joins" | "upgrade" | "user-goes-on")
    }

    /// Whether it is one of S1 to S14, replaces the key, or makes a user: these are broken in every way.
    pub fn is_specified(&self) -> bool {
        self.name == "rotation"
            || self.name.contains("user")
            || self.name.strip_prefix('s').is_some_and(|number| number.parse::<u32>().is_ok())
    }
}

const USUAL: Given = Given { version: Version::V2_15, model: Model::Legacy, keyless: false };

macro_rules! scenario {
    ($name:literal, $about:literal, $script:path $(, given: $given:expr)? $(, always: $always:expr)? $(, requests: $requests:expr)?) => {
        Scenario {
            name: $name,
            about: $about,
            given: { #[allow(unused_mut, unused_assignments)] let mut given = USUAL; $(given = $given;)? given },
            script: |stage| Box::pin($script(stage)),
            always: { #[allow(unused_mut, unused_assignments)] let mut always: &'static [&'static str] = &[]; $(always = $always;)? always },
            requests: { #[allow(unused_mut, unused_assignments)] let mut requests = 600; $(requests = $requests;)? requests },
        }
    };
}

/// All of them.
pub static ALL: &[Scenario] = &[
    scenario!("s1", "a cluster grant becomes active", life::cluster),
    scenario!("s2", "a project grant becomes active", life::project),
    scenario!("s3", "its time is over", life::expiry),
    scenario!("s4", "it is deleted while active", life::deletion),
    scenario!("s5", "it is approved, and becomes active", life::approval),
    scenario!("s6", "it is denied", life::denial),
    scenario!("s7", "its end is moved earlier", life::shortened),
    scenario!("s8", "two overlap on one binding, and end one after the other", sharing::overlap),
    scenario!("s9", "somebody else gave the same before", sharing::foreign),
    scenario!("s10", "the key is void at the end, and replaced", disasters::key_void),
    scenario!("s11", "the integration is deleted with two active grants", disasters::integration_deleted),
    scenario!("s12", "the namespace is deleted with two active grants", disasters::namespace_deleted),
    scenario!("s13", "a cold start among everything", disasters::cold_start),
    scenario!("s14", "Rancher is away at the end", disasters::rancher_away),
    scenario!("namespace", "access to one namespace", targets::namespace),
    scenario!("global", "a global role", targets::global),
    scenario!("keyless", "in Rancher's own cluster, without a key", life::whole, given: Given { keyless: true, ..USUAL }),
    scenario!("aggregated", "a Rancher with aggregated roles", life::whole, given: Given { model: Model::Aggregated, ..USUAL }),
    scenario!("old", "a Rancher 2.11", life::whole, given: Given { version: Version::V2_11, ..USUAL }),
    scenario!("extends", "a grant that goes on from another", sharing::extension),
    scenario!("removed", "somebody removes the binding in Rancher", disasters::removed),
    scenario!("stripped", "somebody takes Rancher's finalizers off the binding", disasters::stripped),
    scenario!("late", "the create lands after the end", life::short, always: &["late@R:create:clusterroletemplatebindings#1"]),
    scenario!("late-leader", "the create lands under another leader", life::short, always: &["ghost@R:create:clusterroletemplatebindings#1"]),
    scenario!("at-birth", "it is deleted in the moment that its binding is there", life::at_birth),
    scenario!("busy", "it ends while many begin on a slow Rancher", sharing::busy, requests: 3000),
    scenario!("joins", "another joins while the last one ends", sharing::joins),
    scenario!("at-once", "two end in the same moment", sharing::at_once),
    scenario!("survivor", "the user keeps another binding, which is touched", sharing::survivor),
    scenario!("lost-state", "the grant is lost, and its binding swept", disasters::lost_state),
    scenario!("restored", "the API server is put back to an older backup", disasters::restored),
    scenario!("abandon", "Rancher is gone for good, and the grant given up", disasters::abandoned),
    scenario!("api-away", "the API server is away at the end", disasters::api_away),
    scenario!("lease-lost", "somebody else takes the lease", disasters::lease_lost),
    scenario!("role-gone", "the role template is deleted in between", disasters::role_gone),
    scenario!("cluster-gone", "the cluster is removed in between", disasters::cluster_gone),
    scenario!("project-gone", "the project is deleted in between", disasters::project_gone),
    scenario!("upgrade", "Rancher 2.13 becomes 2.15, which deletes duplicates", disasters::upgrade, given: Given { version: Version::V2_13, ..USUAL }),
    scenario!("rotation", "the operator replaces its own key", disasters::rotation),
    scenario!("rotation-v3", "the same on a Rancher 2.12, with its v3 tokens", disasters::rotation, given: Given { version: Version::V2_12, ..USUAL }),
    scenario!("local-user", "a local user is made, used and disabled", users::made),
    scenario!("user-again", "he is used again, and stays in use", users::again),
    scenario!("user-goes-on", "another grant calls for him in the moment that the first ends", users::goes_on),
    scenario!("user-clean-up", "his time has come, and he is deleted", users::clean_up),
    scenario!("policy-gone", "its policy goes and revokes", life::policy_gone),
];
