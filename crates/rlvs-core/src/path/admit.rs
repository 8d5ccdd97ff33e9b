//! Who may open a connection, and which packet on an old connection opens a new one.

use super::Tables;
use crate::conn::Entry;
use crate::conn::entry::Word;
use crate::maps::Settings;
use crate::maps::sysctl::Setting;
use crate::proto::{sctp, tcp};
use crate::wire::tcp_flags::{RST, SYN};
use crate::wire::{Addr, Packet, ip_proto};

/// May this packet open a connection? TCP needs a SYN and no RST (a SYN with ACK is taken: active FTP), or with
/// `sloppy_tcp` only no RST; SCTP an INIT, or with `sloppy_sctp` anything but ABORT (Linux 6.1, `tcp_conn_schedule`,
/// `sctp_conn_schedule`).
#[inline(always)]
pub fn admit<A>(packet: &Packet<A>, settings: &Settings) -> bool {
    match packet.proto {
        ip_proto::TCP => {
            let opens = packet.tcp_flags & SYN != 0 || settings.sysctl(Setting::SloppyTcp) != 0;
            opens && packet.tcp_flags & RST == 0
        }
        ip_proto::SCTP => {
            packet.chunk == sctp::INIT_CHUNK
                || settings.sysctl(Setting::SloppySctp) != 0 && packet.chunk != sctp::ABORT_CHUNK
        }
        _ => true,
    }
}

/// Is this the first packet of a new connection?
#[inline(always)]
fn is_new<A>(packet: &Packet<A>) -> bool {
    match packet.proto {
        ip_proto::TCP => packet.tcp_flags & SYN != 0,
        ip_proto::SCTP => packet.chunk == sctp::INIT_CHUNK,
        _ => false,
    }
}

/// Does a first packet on this old connection open a new one? It does when the old one is over (`conn_reuse_mode`) and
/// belongs to no template, and with `expire_nodest_conn` when its server's weight is 0. It never waits.
#[inline(always)]
pub fn starts_anew<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    conn: Entry<A, T::Set>,
    word: Word,
    settings: &Settings,
    tables: &T,
) -> bool {
    if !is_new(packet) {
        return false;
    }
    if settings.sysctl(Setting::ExpireNodestConn) != 0
        && tables.dest(conn.dest()).is_some_and(|d| d.weight == 0)
    {
        return true;
    }
    let mode = settings.sysctl(Setting::ConnReuseMode);
    if mode == 0 || conn.is_controlled() {
        return false;
    }
    let state = word.state();
    if packet.proto == ip_proto::SCTP {
        return state == sctp::CLOSED;
    }
    state == tcp::TIME_WAIT
        || state == tcp::CLOSE
        || mode & 2 != 0 && state == tcp::FIN_WAIT && word.has(Word::NO_OUTPUT)
}
