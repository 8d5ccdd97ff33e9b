//! What must be true of every [`World`] in which nobody is at work at the moment.

use crate::brain::{Brain, Stack};
use crate::world::{Loads, World};
use rlvs_core::conn::entry::Word;
use rlvs_core::conn::hash::PROBES;
use rlvs_core::conn::{Entry, OVERFLOWED};
use rlvs_core::fwd::Method;
use rlvs_core::mem::Mem;
use std::collections::HashMap;

/// All that does not add up: counts that are not the number of entries they count, an entry that is in the table
/// twice or in a place where nobody looks, a way that is taken by nothing.
pub fn audit(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut flows = HashMap::new();
    let (mut seen, mut expected) = (0, 0);
    let mut loads: HashMap<u32, Loads> = HashMap::new();
    let mut children: HashMap<u32, u32> = HashMap::new();
    let mut passed: HashMap<u32, u32> = HashMap::new();
    let mask = world.sets() as u32 - 1;
    let sets = Brain::<Stack>::new(world, 0);
    for e in world.entries() {
        let word = e.word();
        if !word.is_live() {
            wrong.push(format!("entry {:#x} has a tag and is not live", e.id));
            continue;
        }
        seen += 1;
        expected += u32::from(word.has(Word::EXPECTED));
        let load = loads.entry(e.dest()).or_default();
        match () {
            () if word.has(Word::SHADOW) => {}
            () if word.has(Word::MAPPING) => load.mappings += 1,
            () if word.has(Word::TEMPLATE) => load.persistent += 1,
            () if word.has(Word::INACTIVE) => load.inactive += 1,
            () => load.active += 1,
        }
        if !word.is_kept()
            && !word.is_of_ftp()
            && let Some(template) = Entry::linked(&sets, e.control())
        {
            *children.entry(template.id).or_default() += 1;
        }
        if word.has(Word::SHADOW) {
            let owner = e.owner(&sets).and_then(|owner| owner.shadow(&sets));
            if owner.is_none_or(|shadow| shadow.id != e.id) {
                wrong.push(format!("shadow {:#x} is nobody's", e.id));
            }
        } else if word.method() == Method::FullNat as u8 && e.has_source() && e.shadow(&sets).is_none() {
            wrong.push(format!("connection {:#x} has a source and no shadow", e.id));
        }
        let flow = (
            word.is_kept(),
            e.proto(),
            e.client().bytes(),
            e.client_port().get(),
            e.virtual_addr().bytes(),
            e.virtual_port().get(),
        );
        // Of one address there may be several mappings (lblcr); templates that were set aside are nobody's.
        let may_be_twice = word.has(Word::MAPPING) || word.has(Word::TEMPLATE) && flow.5 == 0xffff;
        if let Some(other) = flows.insert(flow, e.id)
            && !may_be_twice
        {
            wrong.push(format!("{flow:?} is live twice: {other:#x} and {:#x}", e.id));
        }
        let p = e.place(world.seed);
        match (0..PROBES.min(mask + 1)).find(|k| p.set(*k, mask) == e.id >> 4) {
            Some(number) => (0..number).for_each(|k| *passed.entry(p.set(k, mask)).or_default() += 1),
            None => wrong.push(format!("entry {:#x} is in no set of its row", e.id)),
        }
    }
    for e in world.connections().into_iter().filter(|e| e.word().has(Word::TEMPLATE)) {
        let expected = children.get(&e.id).copied().unwrap_or(0);
        if e.children() != expected {
            wrong.push(format!("template {:#x} has {expected} connections, {} counted", e.id, e.children()));
        }
    }
    if seen != world.connection_count() {
        wrong.push(format!("{seen} entries, {} counted", world.connection_count()));
    }
    if expected != world.expected_count() {
        wrong.push(format!("{expected} are expected, {} counted", world.expected_count()));
    }
    for (index, set) in (0..world.sets()).filter_map(|i| world.set_words(i).map(|set| (i, set))) {
        let expected = passed.get(&(index as u32)).copied().unwrap_or(0);
        if set.load(OVERFLOWED) != expected {
            wrong.push(format!("set {index}: {expected} passed by, {} counted", set.load(OVERFLOWED)));
        }
    }
    for id in 0..world.dest.len() as u32 {
        let load = loads.get(&id).copied().unwrap_or_default();
        let counted = world.loads(id);
        let expected = Loads { total: load.active + load.inactive, overloaded: counted.overloaded, ..load };
        if counted != expected {
            wrong.push(format!("dest {id}: expected {expected:?}, counted {counted:?}"));
        }
    }
    wrong
}
