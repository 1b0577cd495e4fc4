//! One pass over a grant, as the operator goes through it: decide, do the steps, decide again.

use jiff::SignedDuration;

use super::{Crashed, Life, Stored, terms};
use crate::{
    api::AccessGrantStatus,
    grant::{Because, Decision, GrantView, Judged, Limits, Observed, Step, Tried, Wake, decide, extension},
};

/// A pass over one grant, under way.
pub(super) struct Pass {
    pub(super) view: GrantView,
    world: Observed,
    version: u64,
    /// What stood in the API server when it was last read or written.
    stood: AccessGrantStatus,
}

impl Life {
    /// One round of a pass. Says when to look again; `None` where the pass goes on or there is nothing to look at.
    pub(super) fn work(&mut self, index: usize, durations: [i64; 2]) -> Option<Wake> {
        let stored = &self.stored[index];
        if stored.gone || !self.leads {
            self.memory.passes.remove(&index);
            return None;
        }
        let mut pass = self.memory.passes.remove(&index).unwrap_or_else(|| Pass {
            view: stored.view.clone(),
            world: Observed { extended: self.extended(index), ..Observed::nothing(false) },
            version: stored.version,
            stood: stored.view.status.clone(),
        });
        pass.world.may_create = self.leads;
        // Given up sooner than in life, so that it comes to rest.
        let limits = Limits { pending: SignedDuration::from_mins(30), ..Limits::default() };
        let Decision { steps, status, wake, .. } = decide(self.now(), &pass.view, &pass.world, &limits);
        pass.view.status = status;
        if steps.is_empty() {
            let changed = pass.view.status != pass.stood;
            if changed && self.write(index, &mut pass) {
                self.memory.passes.insert(index, pass);
                return None;
            }
            return (!changed).then_some(wake);
        }
        if steps.contains(&Step::RemoveFinalizer) && self.is_waited_for(index) {
            return Some(Wake::after(self.now(), SignedDuration::from_secs(1)));
        }
        for step in steps {
            match self.step(index, &mut pass, step, durations[index]) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(Crashed) => {
                    self.crash();
                    return None;
                }
            }
        }
        self.memory.passes.insert(index, pass);
        None
    }

    /// Whether the other has yet to see how this one ended.
    fn is_waited_for(&self, index: usize) -> bool {
        let (this, other) = (&self.stored[index].view, &self.stored[1 - index]);
        let follows = other.view.extends.as_ref() == Some(&this.key.name) && !other.gone;
        follows && extension::must_see(self.now(), this, &other.view)
    }

    /// One step. Says whether the pass goes on.
    fn step(&mut self, index: usize, pass: &mut Pass, step: Step, duration: i64) -> Result<bool, Crashed> {
        match step {
            Step::Judge => {
                let unknown = self.rancher.troubled && self.rancher.dice.roll(4) == 0;
                pass.world.request = match unknown {
                    true => Judged::Unknown(Because::new("RancherUnreachable", "It does not answer.")),
                    false => Judged::Allowed(Box::new(terms(index, duration))),
                };
            }
            Step::AddFinalizer => {
                pass.view.finalizer = true;
                return Ok(self.update(index, pass, |stored, _| stored.view.finalizer = true));
            }
            Step::Record => {
                let went = pass.view.status == pass.stood || self.write(index, pass);
                (pass.world.request, pass.world.tried) = (Judged::NotAsked, None);
                return Ok(went);
            }
            Step::Settle(goal) => {
                let mut all = Vec::new();
                for at in 0..pass.view.status.bindings.len() {
                    all.push(self.settle(index, pass, goal, at)?);
                }
                pass.world.tried = Some(Tried { goal, progress: all });
            }
            Step::Touch => {
                pass.view.status.bindings.iter_mut().for_each(|b| b.touch_pending = false);
                return Ok(pass.view.status == pass.stood || self.write(index, pass));
            }
            Step::RemoveFinalizer => {
                let ours: Vec<_> = self.stored[index].view.status.bindings.iter().filter(|b| !b.is_settled()).collect();
                assert!(ours.is_empty(), "let go with {ours:?}");
                self.update(index, pass, |stored, _| stored.gone = true);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn write(&mut self, index: usize, pass: &mut Pass) -> bool {
        let wrote = self.update(index, pass, |stored, pass| stored.view.status = pass.view.status.clone());
        pass.stood = pass.view.status.clone();
        wrote
    }

    /// A write to the API server, if nobody else wrote meanwhile. Says whether the pass may go on: an answer may get lost.
    fn update(&mut self, index: usize, pass: &mut Pass, change: impl FnOnce(&mut Stored, &Pass)) -> bool {
        let lost = if self.rancher.troubled { self.rancher.dice.roll(12) } else { u64::MAX };
        let stored = &mut self.stored[index];
        if stored.version != pass.version || stored.gone || lost == 0 {
            return false;
        }
        let before = stored.view.clone();
        change(stored, pass);
        stored.version += 1;
        pass.version = stored.version;
        let (was, is) = (&before.status, &stored.view.status);
        if was.end.is_some() {
            assert_eq!(was.end, is.end, "a recorded end moved");
        }
        if let (Some(was), Some(is)) = (&was.expires_time, &is.expires_time) {
            assert!(is <= was, "the end moved later");
        }
        assert!(!before.is_finished() || was.phase == is.phase, "a terminal phase was left");
        lost != 1
    }
}
