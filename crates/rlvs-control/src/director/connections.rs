//! The connection tables, listed: read straight from the shared memory, with the brain's own words for an entry.

use super::convert;
use crate::instance::Instance;
use crate::model::ConnectionView;
use crate::shared::Shared;
use crate::{Result, object};
use rlvs_core::conn::entry::{self, Word};
use rlvs_core::conn::tags::{is_empty, tag};
use rlvs_core::conn::{Entry, SET_WORDS};
use rlvs_core::fwd::Method;
use rlvs_core::maps::{CALL_ID_LEN, call_key, global};
use rlvs_core::mem::Mem;
use rlvs_core::path::{HELD_SECS, data};
use rlvs_core::proto;
use rlvs_core::wire::{Addr, Be32, ip_proto};
use std::net::SocketAddr;

pub fn list(instance: &Instance) -> Result<Vec<ConnectionView>> {
    let now = instance.now()?;
    let mut list = Vec::new();
    // A table that holds nothing is not even mapped.
    if count::<Be32>(instance) != 0 {
        add_all::<Be32>(instance, instance.conns.mapped()?, now, &mut list);
    }
    if count::<[Be32; 4]>(instance) != 0 {
        add_all::<[Be32; 4]>(instance, instance.conns6.mapped()?, now, &mut list);
    }
    add_calls(instance, &mut list)?;
    Ok(list.into_iter().map(|listed| listed.view).collect())
}

/// A row of the list, and where in `CALLS` its Call-ID is, if it is for a call.
struct Listed {
    view: ConnectionView,
    call: Option<[u32; 2]>,
}

fn count<A: Addr>(instance: &Instance) -> u32 {
    instance.global.words(0).load(global::conns::<A>())
}

/// All that is to be shown of one family's table.
fn add_all<A: Addr>(instance: &Instance, table: &Shared<[u32; SET_WORDS]>, now: u32, list: &mut Vec<Listed>) {
    for index in 0..table.len() {
        let set = table.words(index);
        if is_empty(set) {
            continue;
        }
        for way in 1..=Entry::<A, crate::shared::Row<'_>>::WAYS {
            if tag(set, way) == 0 {
                continue;
            }
            let entry = Entry::<A, _>::new(set, way, index);
            let word = entry.word();
            let held = word.has(Word::TEMPLATE) && entry.children() > 0;
            if word.is_live() && !word.has(Word::MAPPING | Word::SHADOW) && (held || !entry.has_expired(now))
            {
                let of_call = word.has(Word::TEMPLATE) && entry.call() != 0;
                let call = of_call.then(|| call_key::<A>(entry::link(entry.id, word)));
                list.push(Listed { view: view(instance, entry, word, now), call });
            }
        }
    }
}

/// Adds the Call-IDs of templates.
fn add_calls(instance: &Instance, list: &mut [Listed]) -> Result<()> {
    if list.iter().all(|listed| listed.call.is_none()) {
        return Ok(());
    }
    let texts = object::open_hash::<[u32; 2], [u8; CALL_ID_LEN]>(&instance.dir, "CALLS")?;
    for Listed { view, call } in list {
        if let Some(call) = call {
            let text = texts.get(call, 0).unwrap_or([0; CALL_ID_LEN]);
            let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
            view.engine = Some(("sip".into(), String::from_utf8_lossy(&text[..end]).into_owned()));
        }
    }
    Ok(())
}

fn view<A: Addr, M: Mem>(instance: &Instance, entry: Entry<A, M>, word: Word, now: u32) -> ConnectionView {
    let addr = |a: A| {
        let words = std::array::from_fn(|i| if i < A::WORDS { a.word(i) } else { Be32(0) });
        convert::addr(words, A::FAMILY)
    };
    // Of the other family (tunnels): only its own record knows it.
    let dest = entry.dest();
    let config = (dest < instance.dest.len()).then(|| instance.dest.get(dest));
    let across = config.filter(|d| d.is_across::<A>()).map(|d| convert::addr(d.addr, d.family));
    // Listed though it is due: a template that its connections hold.
    let left = if entry.has_expired(now) {
        (HELD_SECS * instance.hz).saturating_sub(entry.overdue(now))
    } else {
        entry.expires_in(now)
    };
    let [client, virt, dest] = data::shown(entry);
    let protocol = if word.has(Word::EXPECTED) { ip_proto::TCP } else { entry.proto() };
    ConnectionView {
        protocol,
        client: addr(client.0),
        client_port: client.1.get(),
        virtual_addr: addr(virt.0),
        virtual_port: virt.1.get(),
        destination: across.unwrap_or_else(|| addr(dest.0)),
        destination_port: dest.1.get(),
        state: proto::state_name(protocol, word.state(), word.has(Word::TEMPLATE)),
        expires_secs: left / instance.hz,
        is_template: word.has(Word::TEMPLATE),
        from_sync: word.has(Word::FROM_SYNC),
        engine: None,
        source: (word.method() == Method::FullNat as u8 && entry.has_source())
            .then(|| SocketAddr::new(addr(entry.source()), entry.source_port().get())),
    }
}
