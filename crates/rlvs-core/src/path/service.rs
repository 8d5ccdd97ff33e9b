//! Which service a packet is for: its mark, then its exact address, then port 21 for FTP's data, then port 0.

use super::Tables;
use crate::conn::Step;
use crate::maps::{ServiceKey, Settings};
use crate::wire::{Addr, Be16, Be32, Packet, ip_proto};

pub(super) use crate::proto::ftp::{CONTROL as FTP, DATA as FTP_DATA};

/// The service, or none. The order is the one of IPVS (Linux 6.1, `ip_vs_service_find`).
#[inline(always)]
pub fn find_service<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    mark: u32,
    tables: &T,
    settings: &Settings,
) -> Option<u32> {
    if mark != 0 && settings.mark_services != 0 {
        let id = tables.service_id(&mark_key::<A>(mark));
        if id.is_some() {
            return id;
        }
    }
    let mut key = address_key(packet.proto, packet.dst, packet.dport);
    let mut id = tables.service_id(&key);
    if id.is_none() && packet.proto == ip_proto::TCP && settings.ftp_services != 0 {
        let passive = packet.dport.get() as u32 >= settings.unprivileged_port;
        if packet.dport == FTP_DATA || passive {
            key.port = FTP;
            id = tables.service_id(&key);
        }
    }
    if id.is_none() && settings.port_zero_services != 0 {
        key.port = Be16(0);
        id = tables.service_id(&key);
    }
    id
}

#[inline(always)]
pub fn address_key<A: Addr>(proto: u8, addr: A, port: Be16) -> ServiceKey {
    let mut words = [Be32(0); 4];
    let mut i = 0;
    while i < A::WORDS {
        words[i & 3] = addr.word(i);
        i += 1;
    }
    ServiceKey { addr: words, port, protocol: proto, family: A::FAMILY }
}

#[inline(always)]
pub fn mark_key<A: Addr>(mark: u32) -> ServiceKey {
    let addr = [Be32(mark), Be32(0), Be32(0), Be32(0)];
    ServiceKey { addr, port: Be16(0), protocol: 0, family: A::FAMILY }
}

/// The packet's firewall mark by the rules of `rlvs mark`: the last rule that fits decides; 0 for none.
#[inline(always)]
pub fn mark_of<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T) -> u32 {
    let Some(settings) = tables.settings() else {
        return packet.mark;
    };
    let mut classify = Classify {
        packet,
        tables,
        left: tables.unknown(settings.mark_rules),
        mark: tables.unknown(packet.mark),
    };
    tables.repeat(settings.mark_rules, &mut classify);
    classify.mark
}

/// From the last rule to the first.
struct Classify<'p, A, T> {
    packet: &'p Packet<A>,
    tables: &'p T,
    left: u32,
    mark: u32,
}

impl<A: Addr, T: Tables<A>> Step for Classify<'_, A, T> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        self.left = self.left.wrapping_sub(1);
        match self.tables.mark_rule(self.left) {
            Some(rule) if rule.fits(self.packet) => {
                self.mark = rule.mark;
                true
            }
            Some(_) => false,
            None => true,
        }
    }
}
