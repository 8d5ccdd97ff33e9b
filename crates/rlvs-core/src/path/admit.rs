//! Who may open a connection, and which packet on an old connection opens a new one.

use crate::conn::entry::Word;
use crate::maps::{Settings, setting};
use crate::proto::tcp;
use crate::wire::tcp_flags::{RST, SYN};
use crate::wire::{Be16, Packet, ip_proto};

/// May this packet open a connection? TCP needs a SYN and no RST (a SYN with ACK is taken: active FTP), or with
/// `sloppy_tcp` only no RST; packets from FTP's data port never open one (Linux 6.1, `tcp_conn_schedule`).
#[inline(always)]
pub fn admit<A>(packet: &Packet<A>, settings: &Settings) -> bool {
    if packet.sport == Be16::new(20) {
        return false;
    }
    if packet.proto != ip_proto::TCP {
        return true;
    }
    let opens = packet.tcp_flags & SYN != 0 || settings.flags & setting::SLOPPY_TCP != 0;
    opens && packet.tcp_flags & RST == 0
}

/// Does a SYN on this old connection open a new one? (`conn_reuse_mode`; a SYN never waits.)
#[inline(always)]
pub fn starts_anew<A>(packet: &Packet<A>, word: Word, settings: &Settings) -> bool {
    if packet.proto != ip_proto::TCP || packet.tcp_flags & (SYN | RST) != SYN || settings.conn_reuse_mode == 0
    {
        return false;
    }
    let state = word.state();
    state == tcp::TIME_WAIT
        || state == tcp::CLOSE
        || settings.conn_reuse_mode & 2 != 0 && state == tcp::FIN_WAIT && word.has(Word::NO_OUTPUT)
}
