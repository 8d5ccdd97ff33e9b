//! The sets of addresses that concern us at all, and the counts of kinds of services, for the programs' first look.

use super::{convert, services};
use crate::instance::Instance;
use rlvs_core::fwd::translates;
use rlvs_core::maps::{DestConfig, Filter, ServiceKey, dest_flag, filter_bit};
use rlvs_core::mem::Mem;
use rlvs_core::wire::{Addr, Be16, Be32};
use std::net::IpAddr;

const FTP: Be16 = Be16::new(21);

/// A new service: its address, and its kind.
pub fn add_service(instance: &Instance, key: &ServiceKey) {
    if key.protocol == 0 {
        rebuild(instance); // a mark concerns every address
        return;
    }
    add(instance, VIRTUAL_ADDRS, fold(key.addr, key.family));
    instance.settings.edit(0, |s| {
        s.port_zero_services += (key.port == Be16(0)) as u32;
        s.ftp_services += (key.port == FTP) as u32;
        s.services[(key.family == 6) as usize] += 1;
    });
}

/// A new destination, or one with another method.
pub fn add_destination(instance: &Instance, dest: &DestConfig) {
    if translates(dest.method) {
        add(instance, REAL_ADDRS, fold(dest.addr, dest.family));
    }
}

/// False: no service has this address.
pub fn may_be_virtual(instance: &Instance, addr: IpAddr) -> bool {
    let (word, bit) = filter_bit(fold(convert::words(addr), if addr.is_ipv4() { 4 } else { 6 }));
    instance.filter.words(0).load(VIRTUAL_ADDRS + word) & bit != 0
}

/// Builds both sets anew from the rules, and from destinations kept aside, whose connections go on.
pub fn rebuild(instance: &Instance) {
    let mut filter = Filter { virtual_addrs: [0; 2048], real_addrs: [0; 2048] };
    let (mut port_zero, mut ftp, mut marks, mut count) = (0, 0, 0, [0; 2]);
    let mut everywhere = false;
    for id in services::ids(instance) {
        let key = instance.service.get(id).key;
        count[(key.family == 6) as usize] += 1;
        if key.protocol == 0 {
            marks += 1;
        } else {
            port_zero += (key.port == Be16(0)) as u32;
            ftp += (key.port == FTP) as u32;
            set(&mut filter.virtual_addrs, fold(key.addr, key.family));
        }
    }
    for id in instance.dest_slots() {
        let dest = instance.dest.get(id);
        if dest.flags & dest_flag::IN_USE == 0 {
            continue;
        }
        everywhere |= dest.service_key.protocol == 0;
        set(&mut filter.virtual_addrs, fold(dest.service_key.addr, dest.service_key.family));
        if translates(dest.method) {
            set(&mut filter.real_addrs, fold(dest.addr, dest.family));
        }
    }
    if marks > 0 || everywhere {
        filter.virtual_addrs = [u32::MAX; 2048];
    }
    instance.filter.set(0, &filter);
    instance.settings.edit(0, |s| {
        s.port_zero_services = port_zero;
        s.ftp_services = ftp;
        s.mark_services = marks;
        s.services = count;
    });
}

fn fold(addr: [Be32; 4], family: u8) -> u32 {
    if family == 6 { addr.fold() } else { addr[0].fold() }
}

/// Where the two sets begin, in words.
const VIRTUAL_ADDRS: usize = std::mem::offset_of!(Filter, virtual_addrs) / 4;
const REAL_ADDRS: usize = std::mem::offset_of!(Filter, real_addrs) / 4;

/// Adds an address to one of the sets in place.
fn add(instance: &Instance, set: usize, folded: u32) {
    let (word, bit) = filter_bit(folded);
    let words = instance.filter.words(0);
    words.store(set + word, words.load(set + word) | bit);
}

fn set(bits: &mut [u32; 2048], folded: u32) {
    let (word, bit) = filter_bit(folded);
    bits[word] |= bit;
}
