//! Which users grants call for, as the API server says it now.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::Value;

use super::super::{Context, brief};
use crate::{
    api::{AccessGrant, status::BindingState},
    grant::GrantView,
};

/// The subjects of all grants, as their records name them: `user:<id>` and `principal:<principal>`.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Of grants that are under way.
    called: BTreeSet<String>,
    /// Of grants that are not settled.
    unsettled: BTreeSet<String>,
    /// The principals that were bound because Rancher knew nobody by them, and since when.
    pub bound: Vec<Bound>,
}

/// A principal that a grant bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// The principal.
    pub principal: String,
    /// When that was intended.
    pub since: Timestamp,
    /// install-uuid of the Rancher.
    pub rancher: Option<String>,
}

impl Wanted {
    /// Reads all grants. One that cannot be read calls for whatever its record names.
    ///
    /// # Errors
    /// Why they cannot be listed.
    pub(super) async fn read(ctx: &Context) -> Result<Self, String> {
        let kind = ApiResource::erase::<AccessGrant>(&());
        let api: Api<DynamicObject> = Api::all_with(ctx.client.clone(), &kind);
        let listed = api.list(&ListParams::default()).await.map_err(|error| brief(&error))?;
        let mut wanted = Self::default();
        for grant in listed {
            let bindings = grant.data.pointer("/status/bindings").and_then(Value::as_array).cloned();
            let named = bindings.into_iter().flatten();
            let subjects: Vec<_> =
                named.filter_map(|b| b.get("subject").and_then(Value::as_str).map(str::to_owned)).collect();
            if subjects.is_empty() {
                continue;
            }
            let name = format!("{}/{}", grant.namespace().unwrap_or_default(), grant.name_any());
            match grant.try_parse::<AccessGrant>() {
                Ok(grant) => wanted.add(ctx.now(), &GrantView::from(&grant)),
                Err(_) => {
                    tracing::warn!(
                        grant = name,
                        "This grant cannot be read, so the users that it names are kept: mend or delete it"
                    );
                    wanted.called.extend(subjects.iter().cloned());
                    wanted.unsettled.extend(subjects);
                }
            }
        }
        Ok(wanted)
    }

    fn add(&mut self, now: Timestamp, grant: &GrantView) {
        let under_way = !grant.is_finished() && grant.ended(now).is_none();
        let rancher = grant.status.rancher.as_ref().and_then(|rancher| rancher.install_uuid.clone());
        for binding in &grant.status.bindings {
            if under_way {
                self.called.insert(binding.subject.clone());
            }
            if !binding.is_settled() || binding.state == BindingState::Abandoned {
                self.unsettled.insert(binding.subject.clone());
            }
            if let Some(principal) = binding.subject.strip_prefix("principal:") {
                let (principal, since) = (principal.to_owned(), binding.since.0);
                self.bound.push(Bound { principal, since, rancher: rancher.clone() });
            }
        }
    }

    /// Whether a grant that is under way calls for a user of that id, or of one of these principals.
    pub(super) fn calls_for(&self, id: &str, principals: &[String]) -> bool {
        Self::names(&self.called, id, principals)
    }

    /// Whether a grant still has something of his to take away.
    pub(super) fn is_unsettled(&self, id: &str, principals: &[String]) -> bool {
        Self::names(&self.unsettled, id, principals)
    }

    fn names(subjects: &BTreeSet<String>, id: &str, principals: &[String]) -> bool {
        subjects.contains(&format!("user:{id}"))
            || principals.iter().any(|p| subjects.contains(&format!("principal:{p}")))
    }
}
