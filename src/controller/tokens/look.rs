//! One look: whose tokens are asked for, what is known of these people, and what follows for each token.

use std::{collections::BTreeSet, time::Duration};

use kube::ResourceExt;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{
    decide::{self, Person},
    error::{TokenError, failed},
    window::{Window, user_of},
};
use crate::{
    api::{RancherIntegration, user::LeftoverToken, user::TokenAction},
    controller::{Context, connection::Connection},
    grant::name::SubjectKey,
    rancher::{
        Issued,
        token::kind_for,
        wire::{Binding, BindingKind},
    },
};

/// How long bindings that were listed count for the next user too.
const LISTED_FOR: Duration = Duration::from_secs(30);

/// Everything that one look needs.
pub(super) struct Look<'a> {
    pub ctx: &'a Context,
    pub integration: &'a RancherIntegration,
    pub connection: &'a Connection,
    /// The windows that count.
    pub windows: &'a [Window],
    /// What was left over before.
    pub listed: &'a [LeftoverToken],
    /// All bindings in Rancher, and when they were listed.
    pub bindings: Option<(Instant, Vec<Binding>)>,
}

/// What a look showed.
pub(super) struct Looked {
    /// What is left over by now.
    pub tokens: Vec<LeftoverToken>,
    /// Users who made nothing while they had access: they are not asked for again.
    pub clean: BTreeSet<String>,
    /// Whether all could be found out and done.
    pub whole: bool,
}

impl Look<'_> {
    /// Looks at every user who may have left something, one after the other.
    pub(super) async fn all(mut self, clean: &BTreeSet<String>) -> Looked {
        let now = self.ctx.now();
        let listed = self.listed.iter().filter(|entry| entry.action != TokenAction::Deleted).map(|entry| &entry.user);
        let fresh = self.windows.iter().map(|window| &window.user).filter(|user| !clean.contains(*user));
        let users: BTreeSet<String> = listed.chain(fresh).cloned().collect();
        let told = self.listed.iter().filter(|entry| decide::is_told(entry, now)).cloned().collect();
        let mut looked = Looked { tokens: told, clean: BTreeSet::new(), whole: true };
        for user in users {
            match self.one(&user).await {
                Ok(One::Clean) => {
                    looked.clean.insert(user);
                }
                Ok(One::Left(tokens, whole)) => {
                    looked.tokens.extend(tokens);
                    looked.whole &= whole;
                }
                Err(error) => {
                    let integration = self.integration.name_any();
                    warn!(integration, user, %error, "Whether tokens are left over is not known: none is touched, and it is tried again");
                    let before = |entry: &&LeftoverToken| entry.user == user && entry.action != TokenAction::Deleted;
                    looked.tokens.extend(self.listed.iter().filter(before).cloned());
                    looked.whole = false;
                }
            }
        }
        looked.tokens.sort_by(|a, b| (a.created_time.0, &a.name).cmp(&(b.created_time.0, &b.name)));
        looked
    }

    async fn one(&mut self, user: &str) -> Result<One, TokenError> {
        if !super::may_act(self.ctx, self.integration) {
            return Err(TokenError::NotNow);
        }
        // The users whose keys operators work with are never touched.
        let is_key = |other: &RancherIntegration| {
            other.status.as_ref().and_then(|s| s.key.as_ref()).is_some_and(|key| key.user.as_deref() == Some(user))
        };
        if self.ctx.integrations.all().iter().any(|other| is_key(other)) {
            return Ok(One::Clean);
        }
        let rancher = &self.connection.rancher;
        let kind = kind_for(self.connection.release.minor());
        let tokens = rancher.tokens_of(kind, user).await.map_err(failed("his tokens cannot be listed"))?;
        let windows: Vec<&Window> = self.windows.iter().filter(|window| window.user == user).collect();
        let listed: Vec<&LeftoverToken> = self.listed.iter().filter(|entry| entry.user == user).collect();
        let candidates = decide::candidates(tokens, &windows, &listed);
        if candidates.is_empty() {
            return Ok(One::Clean);
        }
        if !self.has_nothing(user).await? {
            debug!(user, "Tokens were made during a grant, and the user has access still");
            return Ok(One::Left(Vec::new(), true));
        }
        let (mut left, mut news, mut whole) = (Vec::new(), Vec::new(), true);
        // All are read before anything is done: what was done is in the list then, whatever fails.
        let (wanted, now) = (self.integration.spec.leftover_tokens, self.ctx.now());
        let mut findings = Vec::new();
        for token in candidates {
            let detail = rancher.token_detail(&token).await.map_err(failed("a token of his cannot be read"))?;
            let token = Issued { detail, ..token };
            findings.extend(decide::finding(token, user, &windows, &listed, wanted, now));
        }
        for finding in findings {
            let done = self.act(finding, user).await;
            whole &= done.is_whole;
            news.extend(done.entry.clone().filter(|_| done.is_news));
            left.extend(done.entry);
        }
        self.tell(&news);
        Ok(One::Left(left, whole))
    }

    /// Whether it is certain that a person has no access left in Rancher, and is none of those who are never touched.
    async fn has_nothing(&mut self, user: &str) -> Result<bool, TokenError> {
        let rancher = &self.connection.rancher;
        let own = rancher.whoami().await.map_err(failed("whose the operator's own key is cannot be found out"))?;
        if own.user_id == user {
            return Ok(false);
        }
        let found = rancher.user(user).await.map_err(failed("he cannot be looked at"))?;
        // One who is gone takes his tokens along.
        let Some(found) = found.filter(|found| !found.is_system()) else { return Ok(false) };
        let groups = rancher.user_groups(user).await.map_err(failed("his groups cannot be read"))?;
        let Some(groups) = groups else { return Err(TokenError::Groups(user.to_owned())) };
        let person = Person { id: user.to_owned(), principals: found.principal_ids, groups };
        if self.holds(&person.id, &person.groups) {
            return Ok(false);
        }
        self.list_bindings().await?;
        let bindings = self.bindings.as_ref().map(|(_, bindings)| bindings.as_slice()).unwrap_or_default();
        let his = bindings.iter().filter(|b| b.kind == BindingKind::Global && person.is_bound_by(b));
        let mut everybodys = BTreeSet::new();
        for role in his.map(|binding| binding.role.clone()).collect::<BTreeSet<_>>() {
            let found = rancher.global_role(&role).await.map_err(failed("a global role of his cannot be read"))?;
            if found.as_ref().is_some_and(decide::is_everybodys) {
                everybodys.insert(role);
            }
        }
        Ok(!person.has_access(bindings, &everybodys))
    }

    async fn list_bindings(&mut self) -> Result<(), TokenError> {
        if self.bindings.as_ref().is_some_and(|(listed, _)| listed.elapsed() < LISTED_FOR) {
            return Ok(());
        }
        let (began, mut all) = (Instant::now(), Vec::new());
        for kind in BindingKind::OF_RANCHER {
            let listed = self.connection.rancher.bindings(kind, None).await;
            all.extend(listed.map_err(failed("the bindings cannot be listed"))?);
        }
        self.bindings = Some((began, all));
        Ok(())
    }

    /// Whether a grant of ours gives or may give that user something at present, whichever Rancher that is on. A subject that
    /// cannot be read may be he.
    pub(super) fn holds(&self, user: &str, groups: &[String]) -> bool {
        let is_he = |subject: &str| match subject.parse::<SubjectKey>() {
            Ok(SubjectKey::Group(group)) => groups.contains(&group),
            Ok(_) => user_of(subject).as_deref() == Some(user),
            Err(_) => true,
        };
        self.ctx.grants.all().iter().any(|grant| {
            let mut unsettled = grant.status.iter().flat_map(|status| &status.bindings).filter(|b| !b.is_settled());
            unsettled.any(|binding| is_he(&binding.subject))
        })
    }
}

/// What one user left.
enum One {
    /// Nothing was made while he had access.
    Clean,
    /// This, and whether all could be done about it.
    Left(Vec<LeftoverToken>, bool),
}
