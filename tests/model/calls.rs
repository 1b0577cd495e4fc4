//! One call of Rancher or of the API server: what it does there, and what of it is known afterwards.

use rancher_access_operator::{api::status::BindingState, grant::binding::Goal};

use crate::{
    laws,
    model::Config,
    mutants::Mutant,
    operator::{Case, Due, Progress, Role, Sight},
    rancher::{arrive, land},
    shell::{Call, Hand},
    state::{Bound, FOREIGN, Flight, Grant, LATE, Tick, World},
    watches::wake_grant,
};

/// What comes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// It is done, and answered.
    Clear,
    /// It is not done, and there is no answer.
    No,
    /// It is done, and there is no answer.
    Lost,
    /// There is no answer, and it arrives later.
    Late,
    /// It is done and answered, and arrives once more later.
    Twice,
    /// It is refused.
    Refused,
    /// A 404 that proves nothing: of a proxy, or of another Rancher.
    NotFound,
}

/// Whatever may come of that call, with faults to spare or not.
pub fn weathers(world: &World, config: &Config, op: usize, grant: usize, call: Call) -> &'static [Weather] {
    use Weather::{Clear, Late, Lost, No, NotFound, Refused, Twice};
    let place = &world.places[config.names[grant]];
    let rancher = matches!(call, Call::Look(_) | Call::Create | Call::Delete(_) | Call::Clear);
    let cut = !rancher && world.ops[op].role == Role::Lapsed;
    if (rancher && place.away) || (cut && !matches!(call, Call::End(_) | Call::Lock)) {
        return &[No];
    }
    if world.budget.trouble == 0 {
        return &[Clear];
    }
    match call {
        Call::End(_) | Call::Lock => &[Clear],
        Call::AddFinalizer | Call::RemoveFinalizer | Call::Write(_) => &[Clear, No, Lost],
        Call::Look(_) if place.object.is_some() => &[Clear, No, NotFound],
        Call::Ask | Call::Current | Call::Look(_) | Call::Clear => &[Clear, No],
        Call::Create => &[Clear, No, Lost, Late, Twice, Refused],
        Call::Delete(_) => &[Clear, No, Lost, Late],
    }
}

impl Hand<'_> {
    /// Makes the call.
    pub fn make(&mut self, call: Call, weather: Weather) {
        let away = self.world.places[self.name()].away;
        let lapsed = self.world.ops[self.op].role == Role::Lapsed;
        if weather != Weather::Clear && !(weather == Weather::No && (away || lapsed)) {
            self.world.budget.trouble = self.world.budget.trouble.saturating_sub(1);
        }
        let rancher = matches!(call, Call::Look(_) | Call::Create | Call::Delete(_) | Call::Clear);
        let silent = matches!(weather, Weather::No | Weather::Lost | Weather::Late);
        match call {
            Call::End(due) => self.end(due),
            Call::Lock => {}
            Call::AddFinalizer => self.write(call, weather, None, |grant, _| grant.finalizer = true),
            Call::RemoveFinalizer => self.write(call, weather, Some(Due::Change), |grant, _| grant.gone = true),
            Call::Write(then) => self.write(call, weather, then, |grant, view| grant.record = view.record),
            Call::Ask => {
                let holders = self.holders(weather == Weather::Clear);
                self.case(|case| case.holders = holders);
            }
            Call::Current => self.current(weather),
            Call::Look(around) => self.look(around, weather),
            Call::Create => self.create(weather),
            Call::Delete(uid) => self.delete(uid, weather),
            Call::Clear => self.clear(weather),
        }
        if rancher && silent && self.config.mutant == Some(Mutant::RetryWithoutDeadline) {
            self.run().hung = true;
        }
    }

    fn case(&mut self, change: impl FnOnce(&mut Case)) {
        if let Some(case) = &mut self.run().case {
            change(case);
        }
    }

    /// A write to the API server, if the grant is as it was read.
    fn write(&mut self, call: Call, weather: Weather, then: Option<Due>, change: impl FnOnce(&mut Grant, &Grant)) {
        let (grant, op, name) = (self.grant, self.op, self.name());
        let run = *self.run();
        let was = self.world.grants[grant];
        if was != run.stood || was.gone || weather == Weather::No {
            return self.fail();
        }
        change(&mut self.world.grants[grant], &run.view);
        laws::on_write(self.config, self.world, grant, &was);
        // Whoever else works on it sees that it changed.
        wake_grant(self.world, grant, Some(op));
        if weather != Weather::Clear {
            return self.fail();
        }
        let is = self.world.grants[grant];
        if is.record.bound.is_some_and(|bound| bound.is_settled()) {
            let memory = &mut self.world.ops[op].memory;
            (memory.released[grant], memory.cleared[name]) = (false, false);
        }
        if is.gone {
            // Nothing about it is kept.
            let memory = &mut self.world.ops[op].memory;
            (memory.released[grant], memory.suspect[grant], memory.beside[grant]) = (false, false, false);
        }
        let run = self.run();
        run.written |= matches!(call, Call::Write(_));
        run.stood = is;
        run.view.finalizer = is.finalizer;
        if let Some(due) = then {
            self.end(due);
        }
    }

    /// Whether the grant still is as this pass sees it: `current::look`.
    fn current(&mut self, weather: Weather) {
        let (stood, is) = (self.run().stood, self.world.grants[self.grant]);
        if weather != Weather::Clear {
            self.wait(self.world.leads(self.op));
        } else if stood == is {
            self.run().current = true;
        } else {
            self.changed();
        }
    }

    fn look(&mut self, around: bool, weather: Weather) {
        let (name, told) = (self.name(), self.told());
        let bound = self.run().view.record.bound.expect("it is being settled");
        let place = self.world.places[name];
        let believes = self.config.mutant == Some(Mutant::AnyNotFoundBelieved);
        let (sight, unclean) = match weather {
            Weather::Clear => seen(self.world, bound, name, told),
            Weather::NotFound if believes => (Sight::None(None), false),
            _ => (Sight::Unknown, false),
        };
        if matches!(sight, Sight::There { .. }) {
            self.world.ops[self.op].memory.cleared[name] = false;
        }
        self.case(|case| {
            case.sight = match sight {
                Sight::None(_) if around => Sight::None(Some(place.foreign)),
                sight => sight,
            };
            case.beside = around && place.foreign && weather == Weather::Clear;
            if matches!(sight, Sight::There { going: false, .. }) {
                case.unclean = unclean;
            }
        });
    }

    fn create(&mut self, weather: Weather) {
        let (name, op, now) = (self.name(), self.op, self.world.now);
        laws::before_a_create(self.config, self.world, op, self.grant);
        let memory = &mut self.world.ops[op].memory;
        (memory.cleared[name], memory.clean[name], memory.second[name]) = (false, false, false);
        self.case(|case| case.created = true);
        let place = &self.world.places[name];
        let conflict = place.object.is_some() || (place.foreign && self.config.refuses_equals);
        let flight = |nobodys| Flight {
            name: u8::try_from(name).unwrap_or_default(),
            delete: None,
            until: now + LATE,
            by: u8::try_from(op).ok(),
            nobodys,
        };
        match weather {
            Weather::Refused => return self.close(Progress::Refused),
            Weather::Clear | Weather::Twice if conflict => {
                if self.config.mutant == Some(Mutant::AdoptOnConflict) && place.foreign && place.object.is_none() {
                    return self.become_state(BindingState::Present, Some(FOREIGN));
                }
                return self.case(|case| case.sight = Sight::NotLooked);
            }
            Weather::Clear | Weather::Twice => {
                land(self.config, self.world, name, false, Some(op));
                let uid = self.world.places[name].uids;
                self.case(|case| {
                    case.sight = Sight::There { uid, going: false, deletable: false };
                    case.unclean = true;
                });
                if weather == Weather::Twice {
                    // It has its answer, so no one looks for the echo.
                    self.world.send(flight(true));
                }
                return;
            }
            Weather::Lost if !conflict => land(self.config, self.world, name, false, Some(op)),
            Weather::Late => {
                self.world.send(flight(false));
            }
            Weather::No | Weather::Lost | Weather::NotFound => {}
        }
        self.world.ops[op].memory.sent[name] = Some(now);
        self.case(|case| case.sight = Sight::Unknown);
    }

    fn delete(&mut self, uid: u8, weather: Weather) {
        let (name, op, grant, now) = (self.name(), self.op, self.grant, self.world.now);
        laws::before_a_delete(self.config, self.world, op, grant, uid);
        let unclean = self.run().case.is_some_and(|case| case.unclean);
        let memory = &mut self.world.ops[op].memory;
        (memory.cleared[name], memory.clean[name]) = (false, !unclean);
        if let Some(bound) = &mut self.run().view.record.bound {
            bound.uid = Some(uid);
        }
        if matches!(weather, Weather::Clear | Weather::Lost) {
            arrive(self.config, self.world, name, uid);
        } else if weather == Weather::Late {
            let name = u8::try_from(name).unwrap_or_default();
            let by = u8::try_from(op).ok();
            self.world.send(Flight { name, delete: Some(uid), until: now + LATE, by, nobodys: false });
        }
        if weather != Weather::Clear {
            self.world.ops[op].memory.deleted[name] = Some(now);
        }
        let hasty = self.config.mutant == Some(Mutant::NoGetAfterDelete);
        self.case(|case| {
            case.sight = match weather {
                Weather::Clear if hasty => Sight::None(None),
                Weather::Clear => Sight::NotLooked,
                _ => Sight::Unknown,
            }
        });
    }

    /// Looks for left-overs and removes them; twice, where the first look found some or there may be more.
    fn clear(&mut self, weather: Weather) {
        let (name, op) = (self.name(), self.op);
        if weather != Weather::Clear {
            return self.wait(!self.world.places[name].away);
        }
        let goal = self.run().case.map_or(Goal::Take, |case| case.goal);
        let seen = self.run().view.record.bound.is_some_and(|bound| bound.uid.is_some());
        let found = std::mem::take(&mut self.world.places[name].leftovers);
        let memory = &mut self.world.ops[op].memory;
        let clean = std::mem::take(&mut memory.clean[name]) || !seen;
        if found || (!memory.second[name] && !clean) {
            memory.second[name] = true;
            return self.wait(true);
        }
        memory.second[name] = false;
        memory.cleared[name] = true;
        self.removed(goal);
    }
}

/// What a binding that was just seen says.
fn seen(world: &World, bound: Bound, name: usize, told: Tick) -> (Sight, bool) {
    if bound.uid == Some(FOREIGN) && world.places[name].foreign {
        // Only where a mutant has adopted it.
        return (Sight::There { uid: FOREIGN, going: false, deletable: true }, false);
    }
    let Some(object) = world.places[name].object else { return (Sight::None(None), false) };
    // Rancher's clock and our own record both say how old it is.
    let recorded = told.saturating_sub(bound.since);
    let old = told.checked_sub(object.born).map_or(recorded, |age| age.min(recorded)) >= 1;
    let sight = Sight::There { uid: object.uid, going: object.going, deletable: object.finalizers || old };
    (sight, !object.finalizers && !object.going)
}
