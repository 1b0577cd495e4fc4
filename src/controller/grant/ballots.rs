//! Decisions about a grant, with what can be found out about who made them.

use kube::ResourceExt;
use tracing::debug;

use super::resolve::subject;
use crate::{
    api::{AccessDecision, AccessGrant, RancherIntegration, integration::IdentityMapping, reference::Caller},
    controller::{Context, connection::Connection, proof::Proof},
    grant::{Ballot, GrantView},
    policy::{self, Person, Wanted},
    rancher::{Error, Rancher, wire::User},
};

/// How many decisions are looked at in one pass: who makes many at once waits for others' turns.
const AT_ONCE: usize = 8;

/// The decisions that wait for an answer, the oldest first.
pub(super) async fn look(ctx: &Context, grant: &AccessGrant, view: &GrantView) -> Vec<Ballot> {
    let mut decisions = ctx.decisions.about(&view.key);
    if decisions.is_empty() {
        return Vec::new();
    }
    decisions.sort_by_key(|decision| decision.metadata.creation_timestamp.as_ref().map(|time| time.0));
    // What has ended is taken away first of all: nobody is asked anything meanwhile.
    let over = view.is_finished() || view.ended(ctx.now()).is_some();
    let name = &grant.spec.integration_ref.name;
    let integration = ctx.integrations.get(name);
    let connection = ctx.registry.get(name).and_then(|link| link.connection).filter(|c| c.breaker.may_try());
    let proof = ctx.proof.borrow().clone();
    let mut ballots = Vec::new();
    for decision in decisions.into_iter().take(AT_ONCE) {
        let mut ballot = ballot(&decision, &proof, integration.as_deref());
        // Who is late, or not proven, is told so without asking Rancher who he is.
        if let (Some(connection), false, Some(true)) = (&connection, over, ballot.proven) {
            let mapping = integration.as_ref().and_then(|i| i.spec.identity_mapping.as_ref());
            match relation(connection, grant, mapping, &decision.spec.decided_by).await {
                Ok((himself, rancher_user)) => {
                    (ballot.himself, ballot.rancher_user) = (Some(himself), rancher_user);
                }
                Err(error) => {
                    debug!(grant = %view.key, decision = ballot.name, %error, "Who decides cannot be looked up yet");
                }
            }
        }
        ballots.push(ballot);
    }
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

/// Whether he is the requester or the subject; and who he is in Rancher.
async fn relation(
    connection: &Connection,
    grant: &AccessGrant,
    mapping: Option<&IdentityMapping>,
    by: &Caller,
) -> Result<Relation, Error> {
    let rancher = &connection.rancher;
    let Ok(wanted) = policy::wanted_subject(&grant.spec, mapping) else {
        return Ok((Err("the grant's subject leads nowhere in Rancher".to_owned()), None));
    };
    let decider = person(rancher, by, mapping, matches!(wanted, Wanted::Group(_))).await?;
    let requester = person(rancher, &grant.spec.requested_by, mapping, false).await?;
    let facts = subject::facts(rancher, &wanted).await?;
    Ok((policy::is_himself(&decider, &requester, &facts, &wanted), decider.rancher_user()))
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
        Wanted::Group(_) => Ok(None),
    }
}
