//! Who else calls for the same binding: `controller::grant::holders`.

use rancher_access_operator::{api::status::BindingState, grant::binding::Holders};

use crate::{
    laws::co_holder,
    shell::Hand,
    state::{LATE, Tick},
};

impl Hand<'_> {
    /// Whether a co-holder's end has come since the binding was seen: `holders::taken_by_co_holder`.
    pub fn taken_by_co_holder(&self, since: Tick) -> bool {
        let memory = &self.world.ops[self.op].memory;
        if memory.deleted[self.name()].is_some() {
            return true;
        }
        let Some(other) = co_holder(self.config, self.grant) else { return false };
        let other = self.world.seen(self.op, other);
        let Some(bound) = other.record.bound.filter(|_| !other.gone) else { return false };
        let told = self.told();
        let Some(end) = other.ended(told) else { return false };
        let took_since = other.record.revoked.map_or(end, |gone| gone.max(end)) >= since;
        let led_lately = memory.since.is_some();
        match bound.state {
            BindingState::AlreadyHeld | BindingState::Abandoned => false,
            BindingState::HandedOver => led_lately && told.abs_diff(bound.since) < LATE,
            BindingState::Removed => took_since,
            BindingState::Intended | BindingState::Present | BindingState::Yielding => took_since || led_lately,
        }
    }

    /// What is known of whether the co-holder needs it for longer: `holders::ask`.
    pub fn holders(&self, answered: bool) -> Holders {
        let Some(other) = co_holder(self.config, self.grant) else { return Holders::Nobody };
        let (told, memory) = (self.told(), &self.world.ops[self.op].memory);
        let known = self.world.seen(self.op, other);
        if memory.released[other] || !(known.is_concerned() || memory.held[other]) {
            return Holders::Nobody;
        }
        let remembered = memory.held[other] && known.record.expires.is_some_and(|until| until > told);
        let holds = if answered {
            let live = self.world.grants[other];
            !live.gone && ((remembered && live.ended(told).is_none()) || live.holds(told))
        } else {
            known.holds(told) || remembered
        };
        if holds { Holders::Another } else { Holders::Nobody }
    }
}
