//! Decisions about a grant, with what can be found out about who made them.

use std::collections::BTreeSet;

use kube::{Api, ResourceExt, api::ListParams};
use tracing::debug;

use super::resolve::subject;
use crate::{
    api::{
        AccessDecision, AccessGrant, RancherIntegration, decision::Verdict, integration::IdentityMapping,
        reference::Caller,
    },
    controller::{Context, brief, proof::Proof, watch::Change},
    grant::{Ballot, Because, GrantView, votes},
    policy::{self, Person, SubjectFacts, Wanted},
    rancher::{Error, Rancher, wire::User},
};

/// For how many of those who decided it is asked in one pass who they are in Rancher: who makes many decisions at once
/// waits for others' turns.
const AT_ONCE: usize = 8;

/// The decisions that wait for an answer: those that revoke first, then those that deny, then the oldest.
pub(super) async fn look(ctx: &Context, grant: &AccessGrant, view: &GrantView) -> Vec<Ballot> {
    let mut ballots = waiting(ctx, grant);
    // What has ended is taken away first of all, and what is revoked by his name alone is: nobody is asked meanwhile.
    if ballots.is_empty() || view.is_finished() || view.ended(ctx.now()).is_some() || revokes(view, &ballots) {
        return ballots;
    }
    let name = &grant.spec.integration_ref.name;
    let connection = ctx.registry.get(name).and_then(|link| link.connection).filter(|c| c.breaker.may_try());
    let Some(connection) = connection else { return ballots };
    let integration = ctx.integrations.get(name);
    let mut people = People {
        rancher: &connection.rancher,
        mapping: integration.as_ref().and_then(|i| i.spec.identity_mapping.as_ref()),
        grant,
        others: None,
    };
    let open = |ballot: &&mut Ballot| {
        ballot.proven == Some(true) && votes::needs_relation(view, ballot.decision, &ballot.by, ballot.owner)
    };
    for ballot in ballots.iter_mut().filter(open).take(AT_ONCE) {
        match people.relation(&ballot.by).await {
            Ok((himself, rancher_user)) => (ballot.himself, ballot.rancher_user) = (Some(himself), rancher_user),
            Err(error) => {
                debug!(grant = %view.key, decision = ballot.name, %error, "Who decides cannot be looked up yet");
                break;
            }
        }
    }
    ballots
}

/// Whether all decisions about a grant are at hand, as the API server itself has them: a watch may be blind for a while, and
/// what is denied must not be given.
///
/// # Errors
/// Where one was missed, which is at hand from here on, or where it cannot be known.
pub(super) async fn all_known(ctx: &Context, grant: &AccessGrant) -> Result<(), Because> {
    let key = GrantView::from(grant).key;
    let api: Api<AccessDecision> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let about = ListParams::default().fields(&format!("spec.grantRef.name={}", key.name));
    let found = match api.list(&about).await {
        // Before Kubernetes 1.31 nothing is selected by a field of its own.
        Err(kube::Error::Api(status)) if status.code == 400 => api.list(&ListParams::default()).await,
        other => other,
    };
    let unknown = |message: String| Because::new("DecisionsChanging", message);
    let found = found.map_err(|error| {
        unknown(format!("What was decided about this cannot be read: {}. Tried again.", brief(&error)))
    })?;
    let at_hand: BTreeSet<_> = ctx.decisions.about(&key).iter().map(|decision| decision.uid()).collect();
    let waits = |decision: &AccessDecision| {
        decision.spec.grant_ref.name == key.name
            && decision.status.as_ref().is_none_or(|status| status.counted.is_none())
            && !at_hand.contains(&decision.uid())
    };
    let missed: Vec<_> = found.into_iter().filter(waits).collect();
    if missed.is_empty() {
        return Ok(());
    }
    for decision in missed {
        ctx.decisions.take(Change::Seen(Box::new(decision)));
    }
    ctx.queue.push(key);
    Err(unknown("Somebody has just decided about this; it is judged again in a moment.".to_owned()))
}

/// Whether somebody who may by his name alone revokes the grant.
pub fn revoke(ctx: &Context, grant: &AccessGrant, view: &GrantView) -> bool {
    revokes(view, &waiting(ctx, grant))
}

fn revokes(view: &GrantView, ballots: &[Ballot]) -> bool {
    let uid = |ballot: &Ballot| ballot.grant_uid.as_ref().is_none_or(|uid| *uid == view.uid);
    ballots.iter().any(|ballot| {
        ballot.decision == Verdict::Revoke
            && ballot.proven == Some(true)
            && uid(ballot)
            && ballot.created >= view.created
            && votes::may_revoke(view, &ballot.by, ballot.owner)
    })
}

/// The decisions that wait, with what they say by themselves.
fn waiting(ctx: &Context, grant: &AccessGrant) -> Vec<Ballot> {
    let decisions = ctx.decisions.about(&GrantView::from(grant).key);
    if decisions.is_empty() {
        return Vec::new();
    }
    let integration = ctx.integrations.get(&grant.spec.integration_ref.name);
    let proof = ctx.proof.borrow().clone();
    let mut ballots: Vec<_> =
        decisions.iter().map(|decision| ballot(decision, &proof, integration.as_deref())).collect();
    let rank = |ballot: &Ballot| match ballot.decision {
        Verdict::Revoke => 0,
        Verdict::Deny => 1,
        Verdict::Approve => 2,
    };
    ballots.sort_by(|a, b| (rank(a), a.created, &a.name).cmp(&(rank(b), b.created, &b.name)));
    ballots
}

fn ballot(decision: &AccessDecision, proof: &Proof, integration: Option<&RancherIntegration>) -> Ballot {
    let spec = &decision.spec;
    // Without a creation time it was never stored: it is older than anything.
    let created = decision.metadata.creation_timestamp.as_ref().map_or(jiff::Timestamp::UNIX_EPOCH, |t| t.0);
    let owner = |integration: &RancherIntegration| {
        integration.spec.integration_owner.iter().any(|owner| owner.names(&spec.decided_by, false))
    };
    Ballot {
        name: decision.name_any(),
        uid: decision.uid().unwrap_or_default(),
        decision: spec.decision,
        by: spec.decided_by.clone(),
        grant_uid: spec.grant_ref.uid.clone(),
        digest: spec.digest.clone(),
        created,
        proven: proof.as_ref().ok().map(|since| created >= *since),
        himself: None,
        rancher_user: None,
        owner: integration.is_some_and(owner),
    }
}

type Relation = (Result<bool, String>, Option<String>);

/// Who is who in Rancher, for one grant.
struct People<'a> {
    rancher: &'a Rancher,
    mapping: Option<&'a IdentityMapping>,
    grant: &'a AccessGrant,
    /// The requester, and what is known of the subject: the same for all who decide.
    others: Option<(Person, SubjectFacts)>,
}

impl People<'_> {
    /// Whether he is the requester or the subject; and who he is in Rancher.
    async fn relation(&mut self, by: &Caller) -> Result<Relation, Error> {
        let Ok(wanted) = policy::wanted_subject(&self.grant.spec, self.mapping) else {
            return Ok((Err("the grant's subject leads nowhere in Rancher".to_owned()), None));
        };
        let (rancher, mapping) = (self.rancher, self.mapping);
        if self.others.is_none() {
            let requester = person(rancher, &self.grant.spec.requested_by, mapping, false).await?;
            self.others = Some((requester, subject::facts(rancher, &wanted).await?));
        }
        let decider = person(rancher, by, mapping, matches!(wanted, Wanted::Group(_))).await?;
        let (requester, facts) = self.others.clone().unwrap_or_default();
        Ok((policy::is_himself(&decider, &requester, &facts, &wanted), decider.rancher_user()))
    }
}

async fn person(
    rancher: &Rancher,
    caller: &Caller,
    mapping: Option<&IdentityMapping>,
    with_groups: bool,
) -> Result<Person, Error> {
    let wanted = policy::rancher_user(&caller.username, mapping).ok();
    let user = match &wanted {
        Some(wanted) => user_of(rancher, wanted).await?,
        None => None,
    };
    let groups = match (&user, with_groups) {
        (Some(user), true) => rancher.user_groups(&user.meta.name).await?,
        _ => None,
    };
    let named = caller.groups.iter().filter_map(|group| policy::rancher_group(group, mapping).ok());
    Ok(Person {
        caller: Some(caller.clone()),
        wanted,
        user_id: user.as_ref().map(|user| user.meta.name.clone()),
        principals: user.map(|user| user.principal_ids).unwrap_or_default(),
        groups,
        named_groups: named.collect(),
    })
}

async fn user_of(rancher: &Rancher, wanted: &Wanted) -> Result<Option<User>, Error> {
    match wanted {
        Wanted::User(id) => rancher.user(id).await,
        Wanted::Principal(principal) => Ok(rancher.users_with_principal(principal).await?.pop()),
        Wanted::Group(_) | Wanted::LocalUser(_) => Ok(None),
    }
}
