//! The host's hands for what is said on a control connection of FTP (`rlvs_core::path::data`).

use crate::brain::{Brain, Where};
use crate::world::World;
use rlvs_core::path::data::expect;
use rlvs_core::path::{DropReason, Located, Plan};
use rlvs_core::proto::ftp::{self, Said, WINDOW, Writer};
use rlvs_core::wire::checksum::{change, sum_bytes, update};
use rlvs_core::wire::{Be16, Be32, Packet, eth};

/// What is said on a control connection of FTP, and what follows.
pub fn hear<L: Where>(
    world: &World,
    brain: &Brain<L>,
    packet: &Packet<Be32>,
    located: Located,
    plan: &Plan<Be32>,
    out: &mut [u8],
) {
    let l4 = packet.l4_at as usize;
    let at = l4 + usize::from(out[l4 + 12] >> 4) * 4;
    let end = eth::HEADER_LEN + packet.total_len as usize;
    if at < l4 + 20 || at >= end {
        return;
    }
    let (said, reader) = ftp::said(&out[at..end], matches!(located, Located::Reply(_)));
    if said == Said::Nothing {
        return;
    }
    expect(packet, located, said, reader.port(), brain, world.now());
    if said != Said::Passive {
        return;
    }
    let parenthesis = out[at + reader.before() as usize] == b'(';
    let Some(mut writer) = Writer::new(&reader, plan.edit.rewrite.src, parenthesis) else {
        return world.count_drop(DropReason::FtpNoRoom);
    };
    let before = sum_bytes(&out[l4..end]);
    let end_of_numbers = at + reader.end as usize;
    for place in out[end_of_numbers - WINDOW as usize..end_of_numbers].iter_mut().rev() {
        *place = writer.write(*place);
    }
    let check = Be16::from_bytes([out[l4 + 16], out[l4 + 17]]);
    let check = update(check, change(before, sum_bytes(&out[l4..end])));
    out[l4 + 16..l4 + 18].copy_from_slice(&check.bytes());
}
