//! Random plans: any number of faults of any kind, in any scenario. The same seed gives the same plans.

use crate::{
    families::{Reference, changes},
    fault::{Fault, Kind, ON_CLOCKS},
    run::Plan,
};

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let sides = u64::try_from(sides.max(1)).unwrap_or(1);
        usize::try_from((z ^ (z >> 31)) % sides).unwrap_or(0)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let at = self.roll(all.len());
        all.get(at)
    }
}

/// So many plans.
pub fn plans(references: &[Reference], count: usize, seed: u64) -> impl Iterator<Item = Plan> {
    let mut dice = Dice(seed);
    (0..count).filter_map(move |_| {
        let reference = dice.of(references)?;
        let faults = (0..=dice.roll(5)).filter_map(|_| fault(reference, &mut dice)).collect();
        Some(Plan { scenario: reference.scenario, faults })
    })
}

fn fault(reference: &Reference, dice: &mut Dice) -> Option<Fault> {
    let (name, nth) = dice.of(&reference.calls)?.clone();
    // What is tried again has a number that the reference does not know.
    let nth = nth + u32::try_from(dice.roll(3)).unwrap_or(0);
    let more = [Kind::CrashAway, Kind::Deposed, Kind::Ghost, Kind::TimeTravel];
    let kind = match dice.roll(8) {
        0 if changes(&name) => *dice.of(&more)?,
        1 => *dice.of(&ON_CLOCKS)?,
        _ => *dice.of(Kind::of(&name))?,
    };
    Some(Fault::new(kind, &name, nth))
}
