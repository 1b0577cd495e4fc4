//! What this process sent to Rancher, and what of it may still land.

use std::time::Duration;

use tokio::time::Instant;

use super::Memory;

/// How long after it was sent a create or a delete may still land: Rancher's webhooks answer within 10 s each and its API server
/// within 60 s, and a proxy in between may hold a request as long.
pub const LANDS_WITHIN: Duration = Duration::from_secs(90);

/// How long a list of grants may be older than what stands: they are listed anew every five minutes.
const STALE_FOR: Duration = Duration::from_secs(900);

impl Memory {
    /// A create of that binding is about to be sent. Until it is answered it may land at any time; what is given back is
    /// to be handed to [`Memory::answered`].
    pub fn attempting(&self, binding: &str) -> Option<Instant> {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.attempts.retain(|_, sent| now.duration_since(*sent) < LANDS_WITHIN);
        inner.cleared.remove(binding);
        // What was found of an earlier binding of that name says nothing of this one.
        inner.clean_clusters.remove(binding);
        inner.clean_deletes.remove(binding);
        inner.second_looks.remove(binding);
        inner.to_clear.remove(binding);
        inner.sent.retain(|_, sent| now.duration_since(*sent) < LANDS_WITHIN);
        inner.sent.insert(binding.to_owned(), now);
        inner.attempts.insert(binding.to_owned(), now)
    }

    /// How long ago this process last sent a create of that binding, where that is not long ago. Unlike a difference of
    /// timestamps it bears a clock that jumps.
    pub fn since_sent(&self, binding: &str) -> Option<Duration> {
        self.inner().sent.get(binding).map(Instant::elapsed)
    }

    /// That create was answered: only an earlier one may still land.
    pub fn answered(&self, binding: &str, earlier: Option<Instant>) {
        let mut inner = self.inner();
        match earlier {
            Some(earlier) => inner.attempts.insert(binding.to_owned(), earlier),
            None => inner.attempts.remove(binding),
        };
    }

    /// Whether a create of that binding that this process sent has no answer and could still land.
    pub fn is_unanswered(&self, binding: &str) -> bool {
        self.inner().attempts.get(binding).is_some_and(|sent| sent.elapsed() < LANDS_WITHIN)
    }

    /// Whether a create of that binding could still land: sent by this process, or by one that led before `since`.
    pub fn may_land_late(&self, binding: &str, since: Option<Instant>) -> bool {
        let sent = self.inner().attempts.get(binding).copied();
        [sent, since].into_iter().flatten().max().is_none_or(|last| last.elapsed() < LANDS_WITHIN)
    }

    /// A delete of the binding with that UID is about to be sent.
    pub fn deleting(&self, uid: &str) {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.deleted.retain(|_, sent| now.duration_since(*sent) < STALE_FOR);
        inner.deleted.insert(uid.to_owned(), now);
    }

    /// Whether this process sent a delete of the binding with that UID. Whoever is said to have it did not know, or was not
    /// known: an API server may begin with an old list.
    pub fn has_deleted(&self, uid: &str) -> bool {
        self.inner().deleted.contains_key(uid)
    }

    /// A delete of that binding got no clear answer: it may land at any time.
    pub fn delete_is_unanswered(&self, binding: &str) {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.deletes.retain(|_, sent| now.duration_since(*sent) < LANDS_WITHIN);
        inner.deletes.insert(binding.to_owned(), now);
    }

    /// Whether a delete of that binding that this process sent has no answer and could still land.
    pub fn has_unanswered_delete(&self, binding: &str) -> bool {
        self.inner().deletes.get(binding).is_some_and(|sent| sent.elapsed() < LANDS_WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_create_may_land_late_after_the_last_attempt_or_the_lease() {
        let memory = Memory::default();
        let led_since = Instant::now();
        assert!(memory.may_land_late("rao-1", Some(led_since)), "an earlier leader may have sent one");
        assert!(memory.may_land_late("rao-1", None), "never led: nothing can be ruled out");
        tokio::time::advance(LANDS_WITHIN).await;
        assert!(!memory.may_land_late("rao-1", Some(led_since)));
        memory.attempting("rao-1");
        assert!(memory.may_land_late("rao-1", Some(led_since)));
        assert!(!memory.may_land_late("rao-2", Some(led_since)));
        tokio::time::advance(LANDS_WITHIN).await;
        assert!(!memory.may_land_late("rao-1", Some(led_since)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_deleted_is_remembered_for_as_long_as_a_list_may_be_old() {
        let memory = Memory::default();
        memory.deleting("uid-1");
        assert!(memory.has_deleted("uid-1") && !memory.has_deleted("uid-2"));
        tokio::time::advance(STALE_FOR).await;
        memory.deleting("uid-2");
        assert!(!memory.has_deleted("uid-1") && memory.has_deleted("uid-2"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delete_without_an_answer_may_land_for_as_long_as_a_create() {
        let memory = Memory::default();
        assert!(!memory.has_unanswered_delete("rao-1"));
        memory.delete_is_unanswered("rao-1");
        assert!(memory.has_unanswered_delete("rao-1"));
        assert!(!memory.has_unanswered_delete("rao-2"));
        tokio::time::advance(LANDS_WITHIN).await;
        assert!(!memory.has_unanswered_delete("rao-1"));
    }
}
