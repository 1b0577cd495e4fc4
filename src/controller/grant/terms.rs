//! The terms on which a request is allowed, with everything resolved: what is approved, by whom, and what it would give.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::resolve::{Resolved, Unresolved, owner};
use crate::{
    api::{
        AccessGrant, RancherIntegration,
        approval::ApproverSet,
        condition::one_line,
        grant::Access,
        integration::{RancherIntegrationSpec, RancherStatus},
        reference::IdentityKind,
        status::{AccessDetails, BindingRecord, BindingState, CredentialsDetails, TargetDetails},
    },
    controller::{Context, connection::Connection, users, words},
    grant::{Approval, Extended, Terms, name::membership_role, view::Summary},
    policy::{self, Allowed, Approved, Continuous, TargetFacts},
};

/// The most sets of approvers that status holds.
const SETS: usize = 64;

/// Longest line that says what would be given, in bytes.
const LINE: usize = 1024;

/// What is judged, and what it was judged by.
pub(super) struct Case<'a> {
    pub ctx: &'a Context,
    pub grant: &'a AccessGrant,
    pub integration: &'a RancherIntegration,
    pub connection: &'a Connection,
    pub extended: &'a Extended,
    pub now: Timestamp,
}

impl Case<'_> {
    /// The terms.
    pub(super) async fn terms(&self, allowed: Allowed, resolved: Resolved) -> Result<Terms, Unresolved> {
        let owners = if policy::asks_owners(&allowed.demands) {
            owner::owners(self.connection, self.integration, &resolved.facts.targets, self.now).await?
        } else {
            Vec::new()
        };
        let mut sets = policy::approver_sets(&allowed.demands, &owners);
        if sets.len() > SETS {
            return Err(super::resolve::wrong(
                "TooManyApprovers",
                format!(
                    "So many targets with owners of their own take {} sets of approvers, and at most {SETS} are kept: create several grants.",
                    sets.len()
                ),
            ));
        }
        self.call_by_name(&mut sets).await;
        let install_uuid = &self.connection.install_uuid;
        let rancher =
            RancherStatus { install_uuid: Some(install_uuid.clone()), ..words::rancher(&self.connection.release) };
        let targets =
            resolved.facts.targets.iter().map(|t| (uid(t, install_uuid), t.role.fingerprint.as_str())).collect();
        let digest = Approved {
            rancher: install_uuid,
            bindings: &resolved.bindings,
            targets,
            window: self.window(&allowed),
            sets: &sets,
            self_approval: allowed.self_approval,
            policies: std::iter::once(&allowed.policy).chain(&allowed.required_by).collect(),
        }
        .digest();
        let contact = (!allowed.contacts.is_empty()).then(|| one_line(&allowed.contacts.join(", "), 600));
        let lines = self.lines(&resolved);
        Ok(Terms {
            policy: allowed.policy,
            required_by: allowed.required_by,
            approval: Approval {
                sets,
                timeout: allowed.approval_timeout,
                self_approval: allowed.self_approval,
                contact,
            },
            digest,
            resolved: lines,
            continuous_since: resolved.facts.continuous.map(|continuous| continuous.since),
            duration: allowed.duration,
            rancher,
            details: AccessDetails {
                credentials: self.credentials(&resolved),
                ..details(self.ctx, &self.integration.spec, &resolved.bindings)
            },
            bindings: resolved.bindings,
        })
    }

    /// Who is named by his Rancher id is called by the name that Rancher shows as well. Nothing hangs on it.
    async fn call_by_name(&self, sets: &mut [ApproverSet]) {
        let mut known = BTreeMap::new();
        let candidates = sets.iter_mut().flat_map(|set| &mut set.candidates);
        for candidate in candidates.filter(|c| c.kind == IdentityKind::User && c.display_name.is_none()) {
            let mapping = self.integration.spec.identity_mapping.as_ref();
            if let Ok(policy::Wanted::User(id)) = policy::rancher_user(&candidate.name, mapping) {
                if !known.contains_key(&id) {
                    let user = self.connection.rancher.user(&id).await.ok().flatten();
                    let name = user.and_then(|user| user.display_name).map(|name| one_line(&name, 253));
                    known.insert(id.clone(), name);
                }
                candidate.display_name = known.get(&id).cloned().flatten();
            }
        }
    }

    /// When the access begins and ends, as far as that is asked for.
    fn window(&self, allowed: &Allowed) -> [Option<String>; 5] {
        let spec = &self.grant.spec;
        let time = |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| time.0.to_string();
        let extended = match self.extended {
            Extended::Seen(seen) => {
                Some((seen.grant.uid.clone(), seen.grant.recorded_end().map(|end| end.to_string()).unwrap_or_default()))
            }
            _ => None,
        };
        let (uid, end) = extended.unzip();
        let lasts = spec.end_time.is_none().then(|| allowed.duration.as_secs().to_string());
        [spec.start_time.as_ref().map(time), spec.end_time.as_ref().map(time), lasts, uid, end]
    }

    /// Where the requester finds the credentials of a local user.
    fn credentials(&self, resolved: &Resolved) -> Option<CredentialsDetails> {
        let local = self.grant.spec.subject.as_ref()?.local_user.as_ref()?;
        let whose = users::whose(self.grant.metadata.namespace.as_deref()?, &self.grant.spec, local);
        let (namespace, secret) = (&self.ctx.settings.namespace, resolved.facts.subject.user_id.as_ref()?);
        Some(CredentialsDetails {
            username: whose.login(&self.ctx.installation.key, &self.connection.install_uuid),
            secret: format!("{namespace}/{secret}"),
            command: format!("kubectl -n {namespace} get secret {secret} -o jsonpath='{{.data.password}}' | base64 -d"),
        })
    }

    /// What would be given, a line for each role on a target.
    fn lines(&self, resolved: &Resolved) -> Vec<String> {
        let subject = Summary::from(&self.grant.spec).subject;
        let pairs = self.grant.spec.access.iter().zip(&resolved.facts.targets);
        pairs.map(|(access, facts)| one_line(&format!("{} for {subject}", line(access, facts)), LINE)).collect()
    }
}

/// What stands for the target itself: another one of that name is another.
fn uid<'a>(facts: &'a TargetFacts, install_uuid: &'a str) -> &'a str {
    let project = facts.project.as_ref().map(|project| project.uid.as_str());
    let namespace = facts.namespace.as_ref().map(|namespace| namespace.uid.as_str());
    let cluster = facts.cluster.as_ref().map(|cluster| cluster.uid.as_str());
    project.or(namespace).or(cluster).unwrap_or(install_uuid)
}

fn line(access: &Access, facts: &TargetFacts) -> String {
    let shown = |name: &str, id: &str| match name {
        "" => id.to_owned(),
        name => format!("{name} ({id})"),
    };
    let role = format!("role {}", shown(&facts.role.display_name, &facts.role.id));
    let cluster = facts.cluster.as_ref().map(|cluster| shown(&cluster.display_name, &cluster.id)).unwrap_or_default();
    let project = facts.project.as_ref().map(|project| shown(&project.display_name, &project.id));
    match (project, &access.namespace) {
        (Some(project), _) => format!("{role} on project {project} of cluster {cluster}"),
        (None, Some(on)) => format!("{role} in namespace {} of cluster {cluster}", on.name),
        (None, None) if cluster.is_empty() => format!("global {role} in Rancher as a whole"),
        (None, None) => format!("{role} on cluster {cluster}"),
    }
}

/// How long the same access has lasted when it would begin then, through other grants.
pub(super) fn continuous(
    ctx: &Context,
    grant: &AccessGrant,
    bindings: &[BindingRecord],
    begin: Timestamp,
) -> Continuous {
    let membership = membership_role(&ctx.installation.id);
    let windows = bindings.iter().filter(|b| b.role != membership).flat_map(|binding| {
        let others = ctx.grants.naming(&binding.name);
        let known: Vec<_> = others
            .iter()
            .filter(|other| other.metadata.uid != grant.metadata.uid)
            .filter_map(|other| lasted(other, &binding.name))
            .collect();
        known.into_iter().chain(ctx.memory.lasted_by(&binding.name))
    });
    Continuous::of(begin, windows)
}

/// Since when and until when a grant's access by that binding lasted, or is to last.
pub(in crate::controller) fn lasted(grant: &AccessGrant, binding: &str) -> Option<(Timestamp, Timestamp)> {
    let status = grant.status.as_ref()?;
    let record = status.bindings.iter().find(|b| b.name == binding && b.state != BindingState::AlreadyHeld)?;
    let since = status.continuous_since.as_ref().map_or(record.since.0, |since| since.0);
    let ends = status.end.as_ref().map(|end| end.time.0).into_iter().chain(status.expires_time.as_ref().map(|t| t.0));
    Some((since, ends.min()?))
}

/// What to tell the user about using the access. What only lets him in is nothing to go to.
fn details(ctx: &Context, spec: &RancherIntegrationSpec, bindings: &[BindingRecord]) -> AccessDetails {
    let ui = words::ui_url(spec);
    let membership = membership_role(&ctx.installation.id);
    let targets = bindings
        .iter()
        .filter(|record| record.role != membership)
        .map(|record| {
            let target = words::access(record).target.to_string();
            let page = |path: String| if ui.is_empty() { String::new() } else { format!("{ui}/dashboard/{path}") };
            match record.cluster.as_str() {
                "" => TargetDetails { target, url: page("home".to_owned()), kubeconfig_command: String::new() },
                cluster => TargetDetails {
                    target,
                    url: page(format!("c/{cluster}/explorer")),
                    kubeconfig_command: format!("rancher clusters kubeconfig {cluster}"),
                },
            }
        })
        .collect();
    AccessDetails { instructions: spec.custom_access_details.clone(), targets, credentials: None }
}
