//! The host's hands for a client's address that is handed on (`rlvs_core::path::handing`): they change a frame as the program does,
//! its sums moved by what changes.

use crate::brain::{Brain, Where};
use rlvs_core::conn::Entry;
use rlvs_core::path::handing::{
    Extra, HEADER_FLAGS, Segment, WORDS, cuts, hand_on, header_len, write_header,
};
use rlvs_core::path::{Located, Plan};
use rlvs_core::proto::View;
use rlvs_core::wire::checksum::{add, change, sum_bytes, update};
use rlvs_core::wire::{Be16, Be32, Packet, Part, ipv4};

const IP: usize = 14;
const TCP_LEN: usize = 20;

/// The frames that a rewritten frame becomes: itself, and perhaps the segment that carries the header.
pub fn handed_on<L: Where>(
    brain: &Brain<L>,
    packet: &Packet<Be32>,
    plan: &Plan<Be32>,
    located: Located,
    frame: Vec<u8>,
) -> Vec<Vec<u8>> {
    if packet.part == Part::Later {
        return vec![frame]; // it has no numbers
    }
    let tcp = packet.l4_at as usize;
    let words = [4, 8, 12].map(|at| word(&frame, tcp + at));
    let Some((mut segment, len)) = Segment::read(words, packet.l4_len()) else {
        return vec![frame];
    };
    let conn = Entry::at(brain, plan.edit.handing - 1).expect("the connection");
    let view = if let Located::Reply(_) = located { View::Output } else { View::Input };
    let extra = hand_on(conn, view, &mut segment);
    let mut frame = Frame { bytes: frame, tcp };
    frame.replace(4, Be32::new(segment.seq));
    frame.replace(8, Be32::new(segment.ack));
    let mut header = [Be32(0); WORDS];
    write_header(conn, &mut header);
    let header: Vec<u8> = header.iter().flat_map(|w| w.bytes()).take(header_len::<Be32>() as usize).collect();
    match extra {
        Extra::Nothing => {}
        Extra::Cut => frame.cut_options(len as usize),
        Extra::Append => frame.carry(packet, len as usize, &header),
        Extra::Before => {
            frame.bytes.truncate(IP + packet.total_len as usize);
            let itself = frame.bytes.clone();
            frame.replace(4, Be32::new(segment.seq.wrapping_sub(header_len::<Be32>())));
            let [offset, _, window, more] = words[2].bytes();
            frame.replace(12, Be32::from_bytes([offset, HEADER_FLAGS, window, more]));
            frame.carry(packet, len as usize, &header);
            return vec![itself, frame.bytes];
        }
    }
    vec![frame.bytes]
}

fn word(frame: &[u8], at: usize) -> Be32 {
    Be32::from_bytes(frame[at..at + 4].try_into().expect("four bytes"))
}

struct Frame {
    bytes: Vec<u8>,
    tcp: usize,
}

impl Frame {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn move_sum(&mut self, by: u32) {
        let at = self.tcp + 16;
        let check = Be16::from_bytes([self.bytes[at], self.bytes[at + 1]]);
        self.put(at, &update(check, by).bytes());
    }

    /// Another word of the TCP header.
    fn replace(&mut self, at: usize, new: Be32) {
        let old = word(&self.bytes, self.tcp + at);
        if old != new {
            self.put(self.tcp + at, &new.bytes());
            self.move_sum(change(old.0, new.0));
        }
    }

    fn cut_options(&mut self, len: usize) {
        let (start, end) = (self.tcp + TCP_LEN, self.tcp + len);
        let before = sum_bytes(&self.bytes[start..end]);
        let mut at = start;
        while at < end && self.bytes[at] != 0 {
            if self.bytes[at] == 1 {
                at += 1;
                continue;
            }
            if at + 1 >= end {
                break; // cut off
            }
            let size = self.bytes[at + 1];
            if cuts(self.bytes[at]) && size == 2 {
                self.put(at, &[1, 1]);
            } else if cuts(self.bytes[at]) {
                self.bytes[at] = 253;
            }
            at += size.max(1) as usize;
        }
        let after = sum_bytes(&self.bytes[start..end]);
        if end > start {
            self.move_sum(add(after, !before));
        }
    }

    /// The header instead of the data.
    fn carry(&mut self, packet: &Packet<Be32>, len: usize, header: &[u8]) {
        let (data, end) = (self.tcp + len, IP + packet.total_len as usize);
        let old = sum_bytes(&self.bytes[data..end]);
        self.bytes.truncate(data);
        self.bytes.extend_from_slice(header);
        self.move_sum(add(sum_bytes(header), !old));
        let (old, new) = (packet.l4_len(), (len + header.len()) as u16);
        self.move_sum(change(Be16::new(old).0 as u32, Be16::new(new).0 as u32) & 0xffff);
        let total = packet.total_len - old + new;
        let check = Be16::from_bytes([self.bytes[IP + ipv4::CHECK_AT], self.bytes[IP + ipv4::CHECK_AT + 1]]);
        let by = add(!Be16::new(packet.total_len).0 as u32 & 0xffff, Be16::new(total).0 as u32);
        self.put(IP + ipv4::CHECK_AT, &update(check, by).bytes());
        self.put(IP + ipv4::TOTAL_LEN_AT, &total.to_be_bytes());
    }
}
