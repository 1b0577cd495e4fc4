//! What happened, in numbered lines.

use std::fmt::Write;

use stateright::Path;

use crate::{calls::Weather, calm, events::Event, model::Config, shell::Call, state::World};

pub fn tell(config: &Config, path: Path<World, Event>) -> String {
    let last = *path.last_state();
    let mut story = String::new();
    let events = path.into_actions();
    for (at, event) in events.iter().enumerate() {
        let _ = writeln!(story, "  {:3}. {}", at + 1, words(event));
    }
    let end = match calm::comes_to_rest(config, &last) {
        Err((wrong, calm)) if last.broken.is_none() => {
            for (at, event) in calm.iter().enumerate().take(60) {
                let _ = writeln!(story, "  {:3}. (calm) {}", events.len() + at + 1, words(event));
            }
            wrong
        }
        _ => last.broken.map_or_else(String::new, |law| format!("{} does not hold", law.name())),
    };
    let _ = writeln!(story, "       {end}.");
    story
}

fn words(event: &Event) -> String {
    let who = |op: usize| format!("Operator {}", op + 1);
    let grant = |grant: usize| ["A", "B"][grant];
    match *event {
        Event::Step { op, grant: of, call, weather } => {
            let come = match weather {
                Weather::Clear => "",
                Weather::No => ": it is not done, and there is no answer",
                Weather::Lost => ": it is done, but there is no answer",
                Weather::Late => ": there is no answer, and it is still on its way",
                Weather::Twice => ": it is done, and on its way once more",
                Weather::Refused => ": it is refused",
                Weather::NotFound => ": the answer is a 404 that proves nothing",
            };
            let what = asked(call);
            format!("{}, grant {}: {what}{come}", who(op), grant(of))
        }
        Event::Crash(op) => format!("{} crashes", who(op)),
        Event::Start(op) => format!("{} starts and takes the lease", who(op)),
        Event::Lapse(op) => format!("{} cannot reach the API server any more; its lease lapses", who(op)),
        Event::Regain(op) => format!("{} reaches the API server again and has its lease back", who(op)),
        Event::StepDown(op) => format!("{} sees that another one leads, and stops", who(op)),
        Event::Land(flight) => match flight.delete {
            None => "A create that was on its way arrives".into(),
            Some(uid) => format!("A delete of UID {uid} that was on its way arrives"),
        },
        Event::Finalizers(_) => "Rancher puts its finalizers on".into(),
        Event::Gone { leaves: false, .. } => "Rancher has cleaned up: the binding is gone".into(),
        Event::Gone { leaves: true, .. } => "The binding is gone, but Rancher leaves something behind".into(),
        Event::Leftovers(_) => "Rancher makes objects for the binding that is gone".into(),
        Event::Delete(of) => format!("The user deletes grant {}", grant(of)),
        Event::ByHand(_) => "Somebody removes the binding in Rancher".into(),
        Event::Foreign(_) => "Somebody else's equal binding comes, or goes".into(),
        Event::Away(name) => format!("Cluster {} does not answer any more", name + 1),
        Event::Back(name) => format!("Cluster {} answers again", name + 1),
        Event::ClockBack => "The clock is set back by 30 s".into(),
        Event::Tick { stall: false } => "30 s pass".into(),
        Event::Tick { stall: true } => "30 s pass in which somebody who could act does not".into(),
    }
}

fn asked(call: Call) -> String {
    match call {
        Call::End(due) => format!("ends its pass, to look again: {due:?}"),
        Call::Lock => "waits for the binding's lock".into(),
        Call::AddFinalizer => "puts the finalizer on".into(),
        Call::RemoveFinalizer => "takes the finalizer off".into(),
        Call::Write(_) => "writes the status".into(),
        Call::Ask => "asks whether the other grant holds the binding".into(),
        Call::Look(false) => "reads the binding".into(),
        Call::Look(true) => "reads the binding and its equals".into(),
        Call::Current => "reads the grant, before it creates".into(),
        Call::Create => "creates the binding".into(),
        Call::Delete(uid) => format!("deletes the binding with UID {uid}"),
        Call::Clear => "looks for left-overs and removes them".into(),
    }
}
