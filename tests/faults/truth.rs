//! What is true on all servers, kept up with every change as it is written, and what must always hold of it.
//!
//! The invariants are I1 to I7 of the specification, as the design amends them:
//!
//! - *I1 expiry*: a binding of ours that no unexpired grant holds is gone within 5 s; it may wait for Rancher's finalizers until
//!   30 s after its creation, and after a disturbance until 60 s from its end.
//! - *I2 no leak*: at rest there is a binding of ours for each that an active grant calls for, and no other; who has no binding
//!   has no access; and nothing is deleted before Rancher has put its finalizers on.
//! - *I3 ownership*: every delete of a binding names the UID of one that we made, and that no other grant is said to have for
//!   longer; every other write to somebody else's is the one annotation.
//! - *I4 authority*: at every create there is a grant that is to live on, with a finalizer, an unexpired recorded intent, and the
//!   approvals that it takes; and what somebody removed is not made again for who had it.
//! - *I5 monotone*: a terminal phase is never left, an end is never moved later, nothing recorded as ended un-ends.
//! - *I6 honest status*: what is said to be in force was there since the last word of it; what is said to be gone is gone, and
//!   Rancher said so after the last sight of it; what is said to have been removed by somebody was, and not by us.
//! - *I7 finalizer*: a grant never disappears while a binding exists that only it holds.
//! - *Users*: at rest a local user may log in, and has credentials, if and only if a grant calls for him; and nobody else's is
//!   ever written to.
//! - *The key*: while it is replaced, the Secret holds one that Rancher takes, at every moment; at rest there is no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rancher_access_operator::{
    api::{
        ANNOTATION_TOUCHED, AccessGrant,
        status::{BindingState, Phase},
    },
    grant::GrantView,
};
use serde_json::Value;
use testkit::apiserver::{ApiServer, Changed, EventType};
use tokio::sync::watch;

mod changes;
mod key;
mod users;

use crate::{call::Call, embedded::NAMESPACE, sky::Sky};

/// How soon what nobody holds is gone.
const PROMPT: SignedDuration = SignedDuration::from_secs(5);
/// How long after its creation a binding may wait for Rancher's finalizers.
const FINALIZERS: SignedDuration = SignedDuration::from_secs(31);
/// How long after its creation a binding without finalizers is left alone.
const LACKING: SignedDuration = SignedDuration::from_secs(29);
/// How soon it is gone after a disturbance has ended.
const RECOVERED: SignedDuration = SignedDuration::from_secs(60);
/// How old what a create relies on may be: a call's deadline.
const IN_FLIGHT: SignedDuration = SignedDuration::from_secs(11);

/// The kinds that give access.
const BINDINGS: [&str; 4] =
    ["clusterroletemplatebindings", "projectroletemplatebindings", "globalrolebindings", "rolebindings"];

/// Whether a binding of that name is ours. What Rancher makes of it is called after it, with more behind.
fn is_ours(name: &str) -> bool {
    name.strip_prefix("rao-").is_some_and(|rest| !rest.contains('-'))
}

/// One binding, as Rancher has it.
#[derive(Clone, Debug)]
struct Bound {
    name: String,
    made: Timestamp,
    finalizers: bool,
    /// Since when no unexpired grant holds it.
    unheld: Option<Timestamp>,
}

#[derive(Default)]
struct State {
    grants: BTreeMap<String, GrantView>,
    /// All of our kinds' objects as they were, revision by revision.
    history: Vec<(u64, BTreeMap<String, Arc<Value>>)>,
    approvals: Vec<(String, String)>,
    /// Bindings of ours by UID.
    ours: BTreeMap<String, Bound>,
    /// When those of ours that are gone went, by UID.
    went: BTreeMap<String, Timestamp>,
    /// The UIDs that we asked to be deleted.
    taken: BTreeSet<String>,
    /// When somebody else took one of ours, by its name.
    removed: BTreeMap<String, Timestamp>,
    /// When Rancher last said of a name that it is not there.
    absent: BTreeMap<String, Timestamp>,
    /// When something was last disturbed, or will be at the latest.
    disturbed: Option<Timestamp>,
    marked: bool,
    violations: Vec<String>,
    needs_approval: bool,
    /// The operator's keys.
    keys: key::Keys,
    /// The local users that it made.
    users: users::Users,
    /// Whether grants were put back to an earlier state: then nothing is monotone.
    restored: bool,
}

/// What is true. Clones share it.
#[derive(Clone)]
pub struct Truth(Arc<Shared>);

struct Shared {
    sky: Sky,
    state: Mutex<State>,
    ticks: watch::Sender<u64>,
}

impl Truth {
    pub fn new(sky: Sky) -> Self {
        Self(Arc::new(Shared { sky, state: Mutex::default(), ticks: watch::Sender::new(0) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.0.sky.now()
    }

    /// Keeps up with that server.
    pub fn observe(&self, server: &ApiServer) {
        let truth = self.clone();
        server.observe(Arc::new(move |changed| truth.changed(changed)));
    }

    fn changed(&self, changed: &Changed<'_>) {
        let resource = changed.gvr.resource.as_str();
        match resource {
            "accessgrants" => self.grant_changed(changed),
            "accessdecisions" if changed.event == EventType::Added => {
                let spec = &changed.object["spec"];
                if spec["decision"] == "Approve" {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    let vote = (text(&spec["grantRef"]["name"]), text(&spec["decidedBy"]["username"]));
                    self.state().approvals.push(vote);
                }
            }
            "users" => self.user_changed(changed),
            "secrets" if changed.name.starts_with("rao-") => self.credentials_changed(changed),
            "secrets" | "tokens" => return self.key_changed(changed),
            // Who may read credentials is no access to Rancher.
            _ if changed.namespace == NAMESPACE => return,
            _ if BINDINGS.contains(&resource) && is_ours(changed.name) => self.binding_changed(changed),
            _ => return,
        }
        self.0.ticks.send_modify(|tick| *tick += 1);
    }

    fn binding_changed(&self, changed: &Changed<'_>) {
        let (now, meta) = (self.now(), &changed.object["metadata"]);
        let uid = meta["uid"].as_str().unwrap_or_default().to_owned();
        let finalizers = meta["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        let mut state = self.state();
        if changed.event == EventType::Deleted {
            let by_us = state.taken.contains(&uid);
            if let Some(bound) = state.ours.remove(&uid).filter(|_| !by_us) {
                state.removed.insert(bound.name, now);
            }
            state.went.insert(uid, now);
            return;
        }
        let name = changed.name.to_owned();
        if changed.event == EventType::Added && state.ours.values().any(|bound| bound.name == name) {
            state.violations.push(format!("I2 no leak: two bindings of the name {name}"));
        }
        let bound = Bound { name, made: now, finalizers, unheld: None };
        state.ours.entry(uid).or_insert(bound).finalizers |= finalizers;
    }

    fn grant_changed(&self, changed: &Changed<'_>) {
        let (now, wrong) = (self.now(), self.0.sky.is_wrong());
        let Ok(grant) = serde_json::from_value::<AccessGrant>(changed.object.clone()) else { return };
        let view = GrantView::from(&grant);
        let mut state = self.state();
        let name = changed.name.to_owned();
        let revision =
            changed.object["metadata"]["resourceVersion"].as_str().and_then(|rv| rv.parse().ok()).unwrap_or(0);
        let mut all = state.history.last().map(|(_, all)| all.clone()).unwrap_or_default();
        if changed.event == EventType::Deleted {
            all.remove(&name);
            state.grants.remove(&name);
            state.went_with_bindings(now, &view);
        } else {
            all.insert(name.clone(), Arc::new(changed.object.clone()));
            let before = state.grants.insert(name, view.clone());
            if let Some(before) = before.filter(|before| before.uid == view.uid && !state.restored) {
                state.is_monotone(&before, &view);
            }
            state.is_honest(&view, wrong);
        }
        state.history.push((revision, all));
    }

    /// Something broke that is honest to say so.
    pub fn violated(&self, invariant: &str, what: String) {
        let at = self.now();
        self.state().violations.push(format!("{invariant}: {what} ({at:.3})"));
    }

    /// What was found so far.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    pub fn mark(&self) {
        self.state().marked = true;
    }

    /// The scenario's grants take an approval.
    pub fn needs_approval(&self) {
        self.state().needs_approval = true;
    }

    /// Grants were, or will be, put back to an earlier state.
    pub fn restored(&self) {
        self.state().restored = true;
    }

    /// Whether they were.
    pub fn is_restored(&self) -> bool {
        self.state().restored
    }

    /// Something is disturbed from now until then.
    pub fn disturb(&self, for_: Duration) {
        let until = self.now() + for_;
        let mut state = self.state();
        state.disturbed = state.disturbed.max(Some(until));
    }

    /// The grants as they were before the last change but one, with their revision.
    pub fn grants_before(&self) -> Option<(u64, Vec<Value>)> {
        let state = self.state();
        let (revision, all) = state.history.iter().rev().nth(2)?;
        Some((*revision, all.values().map(|grant| grant.as_ref().clone()).collect()))
    }

    /// A grant as the API server has it.
    pub fn grant(&self, name: &str) -> Option<GrantView> {
        self.state().grants.get(name).cloned()
    }

    pub fn grants(&self) -> Vec<GrantView> {
        self.state().grants.values().cloned().collect()
    }

    /// Whether it is so of every grant.
    pub fn all(&self, is_so: impl Fn(&GrantView) -> bool) -> bool {
        self.state().grants.values().all(is_so)
    }

    pub fn phase(&self, name: &str) -> Option<Phase> {
        self.grant(name)?.status.phase
    }

    /// The names of our bindings.
    pub fn bindings(&self) -> Vec<String> {
        self.state().ours.values().map(|bound| bound.name.clone()).collect()
    }

    /// Waits until it holds, or so long.
    pub async fn until(&self, within: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let mut ticks = self.0.ticks.subscribe();
        let wait = async {
            while !holds(self) {
                // The sender lives as long as this.
                let _ = ticks.changed().await;
            }
        };
        tokio::time::timeout(within, wait).await.is_ok()
    }

    /// I1, at this moment.
    pub fn check(&self) {
        let now = self.now();
        if self.0.sky.is_behind() {
            return self.disturb(Duration::ZERO);
        }
        let mut state = self.state();
        let disturbed = state.disturbed.map_or(Timestamp::MIN, |until| until + RECOVERED);
        let mut found = Vec::new();
        let State { grants, ours, .. } = &mut *state;
        for bound in ours.values_mut() {
            if grants.values().any(|grant| grant.holds(&bound.name, now)) {
                bound.unheld = None;
                continue;
            }
            let since = *bound.unheld.get_or_insert(now);
            let finalizers = if bound.finalizers { Timestamp::MIN } else { bound.made + FINALIZERS };
            if now > (since + PROMPT).max(disturbed).max(finalizers) {
                found.push(format!(
                    "I1 expiry: {} is held by nobody since {since:.3} and is there ({now:.3})",
                    bound.name
                ));
                // Said once.
                bound.unheld = Some(Timestamp::MAX - SignedDuration::from_hours(1));
            }
        }
        state.violations.extend(found);
    }

    /// I3 and I4, of a request that was sent then and is about to arrive; a machine may sleep in between. Who does not hear the
    /// API server goes by what he knew.
    pub fn asked(&self, call: &Call, body: &[u8], sent: Timestamp, hears: bool) {
        if !BINDINGS.contains(&call.resource.as_str()) || call.address.contains(NAMESPACE) {
            return;
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match call.verb {
            "create" => self.has_authority(body["metadata"]["name"].as_str().unwrap_or_default(), sent),
            "delete" => {
                let uid = body["preconditions"]["uid"].as_str().unwrap_or_default();
                let (now, wrong) = (self.now(), self.0.sky.is_wrong());
                let mut state = self.state();
                let known = state.ours.contains_key(uid) || state.went.contains_key(uid);
                let other = state.in_force_beside(now, uid).filter(|_| hears && !wrong);
                let young = state.ours.get(uid).is_some_and(|bound| !bound.finalizers && bound.made + LACKING > now);
                state.taken.insert(uid.to_owned());
                drop(state);
                if let Some(other) = other {
                    self.violated("I3 ownership", format!("{} is deleted, by which {other} is in force", call.object));
                }
                // A RoleBinding gets none. By a wrong clock nobody tells how old is what another process made: what is left
                // behind is looked for, and found at the end if it is not.
                if young && !wrong && call.resource != "rolebindings" {
                    self.violated(
                        "I2 no leak",
                        format!("{} is deleted before Rancher could clean up after it", call.object),
                    );
                }
                // What Rancher made of a binding is of the same kinds as bindings are.
                if uid.is_empty() || (is_ours(&call.object) && !known) {
                    self.violated("I3 ownership", format!("{} deletes {} by UID {uid:?}", call.name, call.object));
                }
            }
            "patch" | "update" if !is_ours(&call.object) && call.resource != "rolebindings" => {
                let annotation = &body["metadata"]["annotations"][ANNOTATION_TOUCHED];
                let only = body.as_object().is_some_and(|map| map.len() == 1)
                    && body["metadata"].as_object().is_some_and(|map| map.len() == 1)
                    && body["metadata"]["annotations"].as_object().is_some_and(|map| map.len() == 1);
                if annotation.is_null() || !only {
                    self.violated("I3 ownership", format!("{} writes to {}: {body}", call.name, call.object));
                }
            }
            _ => {}
        }
    }

    fn has_authority(&self, name: &str, sent: Timestamp) {
        let wrong = self.0.sky.is_wrong();
        let state = self.state();
        let approved = |grant: &GrantView| {
            let mut votes = state.approvals.iter().filter(|(of, by)| *of == grant.key.name && *by != grant.requester);
            !state.needs_approval || votes.next().is_some()
        };
        // What somebody removed ends the grants that had it: only who came later, or was left it by one of us, makes it again.
        let removed = state.removed.get(name).copied().unwrap_or(Timestamp::MIN);
        let may = |grant: &GrantView| {
            let had = grant.status.granted_time.as_ref().is_some_and(|granted| granted.0 <= removed);
            let named = grant.status.bindings.iter().any(|b| b.name == name && !b.is_settled());
            let end = grant.recorded_end().unwrap_or(Timestamp::MIN);
            let ends = grant.deleted.unwrap_or(end).min(end);
            named
                && !had
                && grant.finalizer
                && grant.status.end.is_none()
                && approved(grant)
                && (wrong || ends + IN_FLIGHT > sent)
        };
        let held = state.grants.values().any(may);
        drop(state);
        if !held && !name.is_empty() {
            self.violated("I4 authority", format!("a create of {name} that no grant calls for"));
        }
    }

    /// Rancher said that this object is not there.
    pub fn proved_absent(&self, call: &Call) {
        let now = self.now();
        self.state().absent.insert(call.object.clone(), now);
    }

    /// I2 at rest: bindings are there for active grants, and for nothing else.
    pub fn rests(&self) {
        let now = self.now();
        let state = self.state();
        let mut found = Vec::new();
        for bound in state.ours.values() {
            if !state.grants.values().any(|grant| grant.holds(&bound.name, now)) {
                found.push(format!("I2 no leak: {} is there, and no grant holds it", bound.name));
            }
        }
        for grant in state.grants.values().filter(|grant| grant.status.phase == Some(Phase::Active)) {
            for record in grant.status.bindings.iter().filter(|b| b.state == BindingState::Present) {
                if !state.ours.values().any(|bound| bound.name == record.name) {
                    found.push(format!("I2 no leak: {} is active, and {} is not there", grant.key, record.name));
                }
            }
        }
        found.extend(state.wrong_users(now));
        drop(state);
        self.state().violations.extend(found);
    }
}
