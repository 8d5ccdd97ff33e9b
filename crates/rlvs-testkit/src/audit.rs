//! What must be true of every [`World`] in which nobody is at work at the moment.

use crate::world::World;
use rlvs_core::conn::OVERFLOWED;
use rlvs_core::conn::entry::Word;
use rlvs_core::conn::hash::place;
use rlvs_core::mem::Mem;
use std::collections::HashMap;

/// All that does not add up: counts that are not the number of entries they count, an entry that is in the table
/// twice or in a place where nobody looks, a way that is taken by nothing.
pub fn audit(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut flows = HashMap::new();
    let mut loads: HashMap<u32, (u32, u32)> = HashMap::new();
    let mut away: HashMap<u32, u32> = HashMap::new();
    let mask = world.sets() as u32 - 1;
    for e in world.entries() {
        if !e.word().is_live() {
            wrong.push(format!("entry {:#x} has a tag and is not live", e.id));
            continue;
        }
        let flow = (
            e.proto(),
            e.client().bytes(),
            e.client_port().get(),
            e.virtual_addr().bytes(),
            e.virtual_port().get(),
        );
        if let Some(other) = flows.insert(flow, e.id) {
            wrong.push(format!("{flow:?} is live twice: {other:#x} and {:#x}", e.id));
        }
        let load = loads.entry(e.dest()).or_default();
        *(if e.word().has(Word::INACTIVE) { &mut load.1 } else { &mut load.0 }) += 1;
        let p = place(e.proto(), e.client(), e.client_port(), world.seed);
        let (home, second) = (p.home & mask, p.second & mask);
        if e.id >> 4 == second && home != second {
            *away.entry(home).or_default() += 1;
        } else if e.id >> 4 != home {
            wrong.push(format!(
                "entry {:#x} is neither at home ({home}) nor in its second set ({second})",
                e.id
            ));
        }
    }
    if flows.len() as u32 != world.connection_count() {
        wrong.push(format!("{} entries, {} counted", flows.len(), world.connection_count()));
    }
    for (index, set) in (0..world.sets()).filter_map(|i| world.set_words(i).map(|set| (i, set))) {
        let expected = away.get(&(index as u32)).copied().unwrap_or(0);
        if set.load(OVERFLOWED) != expected {
            wrong.push(format!("set {index}: {expected} went away, {} counted", set.load(OVERFLOWED)));
        }
    }
    for id in 0..world.dest.len() as u32 {
        let (active, inactive) = loads.get(&id).copied().unwrap_or_default();
        let counted = world.loads(id);
        if (counted.active, counted.inactive, counted.total) != (active, inactive, active + inactive) {
            wrong.push(format!("dest {id}: {active} active, {inactive} inactive, counted {counted:?}"));
        }
    }
    wrong
}
