//! The connection table, listed: read straight from the shared memory, with the brain's own words for an entry.

use super::convert;
use crate::Result;
use crate::instance::Instance;
use crate::model::ConnectionView;
use rlvs_core::conn::entry::Word;
use rlvs_core::conn::tags::tag;
use rlvs_core::conn::{Entry, WAYS};
use rlvs_core::mem::Mem;
use rlvs_core::proto;
use rlvs_core::wire::Be32;

pub fn list(instance: &Instance) -> Result<Vec<ConnectionView>> {
    let now = instance.now()?;
    let mut list = Vec::new();
    for index in 0..instance.conns.len() {
        let set = instance.conns.words(index);
        for way in 1..=WAYS {
            if tag(set, way) == 0 {
                continue;
            }
            let entry = Entry::<Be32, _>::new(set, way, index);
            let word = entry.word();
            let held = word.has(Word::TEMPLATE) && entry.children() > 0;
            if word.is_live() && !word.has(Word::MAPPING) && (held || !entry.has_expired(now)) {
                list.push(view(entry, word, now, instance.hz));
            }
        }
    }
    Ok(list)
}

fn view<M: Mem>(entry: Entry<Be32, M>, word: Word, now: u32, hz: u32) -> ConnectionView {
    let addr = |a: Be32| convert::addr([a, Be32(0), Be32(0), Be32(0)], 4);
    ConnectionView {
        protocol: entry.proto(),
        client: addr(entry.client()),
        client_port: entry.client_port().get(),
        virtual_addr: addr(entry.virtual_addr()),
        virtual_port: entry.virtual_port().get(),
        destination: addr(entry.dest_addr()),
        destination_port: entry.dest_port().get(),
        state: proto::state_name(entry.proto(), word.state(), word.has(Word::TEMPLATE)),
        expires_secs: entry.expires_in(now) / hz,
        is_template: word.has(Word::TEMPLATE),
        from_sync: word.has(Word::FROM_SYNC),
        engine: None,
    }
}
