//! What Rancher does with what reaches it.

use crate::{
    laws::Law,
    model::Config,
    mutants::Mutant,
    state::{FOREIGN, Object, World},
    watches::{look_around, place_is_beside, wake_name},
};

/// A binding comes to be, if there is none of that name.
pub fn land(config: &Config, world: &mut World, name: usize, nobodys: bool, by: Option<usize>) {
    let place = &mut world.places[name];
    if place.object.is_some() || (place.foreign && config.refuses_equals) {
        return;
    }
    place.uids += 1;
    place.object = Some(Object { uid: place.uids, born: world.now, finalizers: false, going: false, nobodys });
    for grant in (0..2).filter(|grant| config.names[*grant] == name) {
        world.ended_by_hand[grant] = false;
    }
    let place = &mut world.places[name];
    // It makes what was left behind its own again.
    place.leftovers = false;
    if by.is_none() {
        wake_name(config, world, name, false);
    }
    if place_is_beside(world, name) {
        look_around(config, world, name);
    }
}

/// A delete arrives.
pub fn arrive(config: &Config, world: &mut World, name: usize, uid: u8) {
    if uid == FOREIGN && world.places[name].foreign {
        world.places[name].foreign = false;
        return world.breach(Law::Ownership);
    }
    let Some(object) = world.places[name].object else { return };
    if object.uid != uid && config.mutant != Some(Mutant::DeleteWithoutUid) {
        return;
    }
    if object.uid != uid {
        world.breach(Law::Ownership);
    }
    if object.finalizers {
        world.places[name].object = Some(Object { going: true, ..object });
    } else {
        // Its own clock and the record are all that tell how old a binding is (`look::age`): where that clock went back
        // between them, one that is young is taken for old, and its left-overs may come after they were looked for.
        let young = world.now == object.born && world.back == 0;
        (world.places[name].coming, world.places[name].leftovers) = (young, !young);
        world.places[name].object = None;
    }
    wake_name(config, world, name, true);
}
