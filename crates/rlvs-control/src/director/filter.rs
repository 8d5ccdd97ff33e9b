//! The sets of addresses that concern us at all, and the counts of kinds of services, for the programs' first look.

use super::services;
use crate::instance::Instance;
use rlvs_core::fwd::Method;
use rlvs_core::maps::{Filter, dest_flag, filter_bit};
use rlvs_core::wire::{Addr, Be16, Be32};

/// Builds both sets anew from the rules, and from destinations kept aside, whose connections go on.
pub fn rebuild(instance: &Instance) {
    let mut filter = Filter { virtual_addrs: [0; 2048], real_addrs: [0; 2048] };
    let (mut port_zero, mut ftp, mut marks, mut count) = (0, 0, 0, 0);
    for id in services::ids(instance) {
        let key = instance.service.get(id).key;
        count += 1;
        if key.protocol == 0 {
            marks += 1;
        } else {
            port_zero += (key.port == Be16(0)) as u32;
            ftp += (key.port == Be16::new(21)) as u32;
            set(&mut filter.virtual_addrs, fold(key.addr, key.family));
        }
    }
    let mut kept_aside = false;
    for id in 0..instance.dest.len() {
        let dest = instance.dest.get(id);
        if dest.flags & dest_flag::IN_USE == 0 {
            continue;
        }
        kept_aside |= !dest.is_available();
        set(&mut filter.virtual_addrs, fold(dest.service_key.addr, dest.service_key.family));
        if dest.method == Method::Masquerade as u8 {
            set(&mut filter.real_addrs, fold(dest.addr, dest.family));
        }
    }
    if marks > 0 {
        filter.virtual_addrs = [u32::MAX; 2048];
    }
    instance.filter.set(0, &filter);
    instance.settings.edit(0, |s| {
        s.port_zero_services = port_zero;
        s.ftp_services = ftp;
        s.mark_services = marks;
        s.services = if kept_aside { count.max(1) } else { count };
    });
}

fn fold(addr: [Be32; 4], family: u8) -> u32 {
    if family == 6 { addr.fold() } else { addr[0].fold() }
}

fn set(bits: &mut [u32; 2048], folded: u32) {
    let (word, bit) = filter_bit(folded);
    bits[word] |= bit;
}
