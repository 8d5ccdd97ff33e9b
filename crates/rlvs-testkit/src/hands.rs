//! Hands for the host: a decision, carried out on a frame in plain memory.

use crate::brain::{Brain, Driver, Stack, Where};
use crate::handing::handed_on;
use crate::hearing::hear;
use crate::world::World;
use rlvs_core::fwd::cut::{Cut, Piece};
use rlvs_core::fwd::nat;
use rlvs_core::fwd::{self, Edit, Kind, tun};
use rlvs_core::maps::FragmentKey;
use rlvs_core::path::data::expected;
use rlvs_core::path::{
    self, Decision, DropReason, Hop, Layer, Located, Plan, Tables, Verdict, deliver_related, fragment,
    hop_flag, locate, locate_related, open_conn,
};
use rlvs_core::proto::ftp;
use rlvs_core::proto::sip;
use rlvs_core::wire::checksum::{add, finish, pseudo, sum_bytes};
use rlvs_core::wire::{
    Be16, Be32, Packet, Part, Quote, Skip, crc32c, eth, icmp, ip_proto, ipv4, read, read_fragment, read_quote,
};

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next layer gets it as it came.
    Pass,
    /// The same, but it is ours.
    Up,
    Drop(DropReason),
    Sent(Sent),
    /// In pieces, for it was too large.
    Split(Vec<Sent>),
    /// A fragment that waits for the first one of its datagram.
    SetAside,
    /// Its sender gets an ICMP error instead.
    Answered(DropReason, Sent),
}

/// A frame on its way out.
#[derive(Clone, PartialEq, Eq)]
pub struct Sent {
    pub ifindex: u32,
    pub frame: Vec<u8>,
    /// It goes through the kernel's neighbour table, which writes the MACs (here they are there already, if the
    /// neighbour is known).
    pub through_neighbour: bool,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex: String = self.frame.iter().map(|b| format!("{b:02x}")).collect();
        write!(f, "if {} {}{hex}", self.ifindex, if self.through_neighbour { "(neighbour) " } else { "" })
    }
}

/// A frame comes in and meets XDP, then TC if XDP passes it up. For TC alone see [`receive`].
pub fn arrive(world: &World, ifindex: u32, frame: &[u8]) -> Outcome {
    match receive::<Driver>(world, 0, ifindex, frame) {
        Outcome::Pass | Outcome::Up => receive::<Stack>(world, 0, ifindex, frame),
        done => done,
    }
}

/// One program's work on a frame: `L` says which program, `cpu` on which processor.
pub fn receive<L: Where>(world: &World, cpu: usize, ifindex: u32, frame: &[u8]) -> Outcome {
    let mut packet = Packet::empty();
    let found = read(frame, &mut packet);
    if frame.len() < eth::HEADER_LEN + packet.total_len as usize {
        return Outcome::Pass; // shorter than its IP header says
    }
    match found {
        Ok(()) => {}
        Err(Skip::Icmp) if L::LAYER == Layer::Stack => return receive_icmp::<L>(world, cpu, &packet, frame),
        Err(Skip::Fragment) if L::LAYER == Layer::Stack => {
            return receive_fragment::<L>(world, cpu, ifindex, &mut packet, frame);
        }
        Err(Skip::Secured) if L::LAYER == Layer::Stack => {
            return receive_secured::<L>(world, cpu, &mut packet, frame);
        }
        Err(_) => return Outcome::Pass,
    }
    packet.from_driver = L::LAYER == Layer::Driver;
    if L::LAYER == Layer::Stack && packet.proto == ip_proto::UDP && world.settings.sip_services != 0 {
        let message = frame.get(packet.l4_at as usize + 8..).unwrap_or_default();
        packet.call = sip::call_of(message, world.seed).map_or(0, |(call, _)| call);
    }
    let brain = Brain::<L>::new(world, cpu);
    let located = located(&mut packet, &brain, world.now());
    carry_out(world, &brain, &packet, located, frame)
}

/// Which connection a packet belongs to, perhaps a new one.
fn located<L: Where>(packet: &mut Packet<Be32>, brain: &Brain<L>, now: u32) -> Located {
    let located = match locate(packet, brain, now) {
        Located::Awaited => expected(packet, brain, now),
        known => known,
    };
    if located == Located::New { open_conn(packet, brain, now) } else { located }
}

/// AH or ESP: opens nothing.
fn receive_secured<L: Where>(world: &World, cpu: usize, packet: &mut Packet<Be32>, frame: &[u8]) -> Outcome {
    packet.follow_keys();
    let brain = Brain::<L>::new(world, cpu);
    match locate(packet, &brain, world.now()) {
        known @ (Located::Request(_) | Located::Reply(_)) => carry_out(world, &brain, packet, known, frame),
        _ => Outcome::Pass,
    }
}

/// A fragment: the first one of a datagram is a packet like others; those that waited for it come in again.
fn receive_fragment<L: Where>(
    world: &World,
    cpu: usize,
    ifindex: u32,
    packet: &mut Packet<Be32>,
    frame: &[u8],
) -> Outcome {
    let (brain, now) = (Brain::<L>::new(world, cpu), world.now());
    let read = read_fragment(frame, packet);
    let key = FragmentKey::of(packet);
    let mut found = fragment::sort(read, packet, &brain, now);
    match found {
        Located::Pass => return Outcome::Pass,
        Located::Up => {
            world.aside.lock().expect("no panic meanwhile").push((key, ifindex, frame.to_vec()));
            return Outcome::SetAside;
        }
        Located::New => found = located(packet, &brain, now),
        known => return carry_out(world, &brain, packet, known, frame),
    }
    if packet.part == Part::First {
        let noted = fragment::note(packet, found, now);
        world.datagrams.lock().expect("no panic meanwhile").insert(key, noted);
        let mut aside = world.aside.lock().expect("no panic meanwhile");
        let (waited, others) = aside.drain(..).partition(|(other, ..)| *other == key);
        *aside = others;
        let waited: Vec<(FragmentKey, u32, Vec<u8>)> = waited;
        let mut again = world.again.lock().expect("no panic meanwhile");
        again.extend(waited.into_iter().map(|(_, ifindex, frame)| (ifindex, frame)));
    }
    carry_out(world, &brain, packet, found, frame)
}

/// The second half of the story, and what comes of it.
fn carry_out<L: Where>(
    world: &World,
    brain: &Brain<L>,
    packet: &Packet<Be32>,
    located: Located,
    frame: &[u8],
) -> Outcome {
    let mut plan = Plan::empty();
    match path::finish(packet, located, brain, world.now(), &mut plan).verdict() {
        Verdict::Pass => Outcome::Pass,
        Verdict::Up => Outcome::Up,
        Verdict::Answer(..) if L::LAYER == Layer::Driver => Outcome::Up,
        Verdict::Drop(reason) => {
            world.count_drop(reason);
            Outcome::Drop(reason)
        }
        Verdict::Answer(error, reason) => {
            world.count_drop(reason);
            brain.route(packet.src, &mut plan.hop);
            if !plan.hop.has(hop_flag::ROUTED) {
                return Outcome::Drop(reason);
            }
            let answer = error_frame(packet, frame, error, world.random() as u16);
            Outcome::Answered(reason, sent(answer, &plan.hop))
        }
        Verdict::Forward | Verdict::Split if has_no_crc(packet, &plan.edit) => {
            world.count_drop(DropReason::EditFailed);
            Outcome::Drop(DropReason::EditFailed)
        }
        Verdict::Forward if plan.edit.handing != 0 => {
            let frame = edited(world, packet, frame, &plan);
            let mut frames = handed_on(brain, packet, &plan, located, frame);
            match frames.len() {
                1 => Outcome::Sent(sent(frames.remove(0), &plan.hop)),
                _ if !plan.hop.has(hop_flag::RESOLVED) => {
                    world.count_drop(DropReason::EditFailed);
                    Outcome::Drop(DropReason::EditFailed)
                }
                _ => Outcome::Split(frames.into_iter().map(|frame| sent(frame, &plan.hop)).collect()),
            }
        }
        Verdict::Forward => {
            let mut out = edited(world, packet, frame, &plan);
            if L::LAYER == Layer::Stack && ftp::may_speak(packet, &plan.edit) {
                hear(world, brain, packet, located, &plan, &mut out);
            }
            Outcome::Sent(sent(out, &plan.hop))
        }
        Verdict::Split => {
            let mut whole = edited(world, packet, frame, &plan);
            if plan.edit.handing != 0 {
                let mut frames = handed_on(brain, packet, &plan, located, whole);
                whole = frames.remove(0);
                if !frames.is_empty() {
                    world.count_drop(DropReason::EditFailed); // it would be two, and in pieces
                    return Outcome::Drop(DropReason::EditFailed);
                }
            }
            if !plan.hop.has(hop_flag::RESOLVED) {
                world.count_drop(DropReason::WouldFragment);
                return Outcome::Drop(DropReason::WouldFragment);
            }
            let pieces = pieces(&whole, plan.hop.mtu);
            Outcome::Split(pieces.into_iter().map(|frame| sent(frame, &plan.hop)).collect())
        }
    }
}

/// Another port would need another checksum of SCTP, which a first fragment alone does not tell.
fn has_no_crc(packet: &Packet<Be32>, edit: &Edit<Be32>) -> bool {
    packet.proto == ip_proto::SCTP
        && packet.part == Part::First
        && edit.kind == Kind::Nat
        && edit.rewrite.port_bits(packet) != 0
}

/// An ICMP message; only those about a connection are of concern.
fn receive_icmp<L: Where>(world: &World, cpu: usize, packet: &Packet<Be32>, frame: &[u8]) -> Outcome {
    let mut quote = Quote::empty();
    if read_quote(frame, packet, &mut quote).is_err() {
        return Outcome::Pass;
    }
    let brain = Brain::<L>::new(world, cpu);
    let located = locate_related(packet, &quote, &brain, world.now());
    if located == Located::Pass {
        return Outcome::Pass;
    }
    let icmp = packet.l4_at as usize;
    let mut plan = Plan::empty();
    let decision = if finish(sum_bytes(&frame[icmp..icmp + packet.l4_len() as usize])).0 == 0 {
        deliver_related(packet, located, &brain, world.now(), &mut plan)
    } else {
        Decision::drop(DropReason::BadChecksum)
    };
    match decision.verdict() {
        Verdict::Forward => {
            let out = if plan.edit.kind == Kind::Nat {
                requoted(packet, &quote, frame, &plan)
            } else {
                edited(world, packet, frame, &plan)
            };
            Outcome::Sent(sent(out, &plan.hop))
        }
        Verdict::Drop(reason) => {
            world.count_drop(reason);
            Outcome::Drop(reason)
        }
        _ => Outcome::Pass,
    }
}

/// A masqueraded ICMP error; its own sums are made anew.
fn requoted(packet: &Packet<Be32>, quote: &Quote<Be32>, frame: &[u8], plan: &Plan<Be32>) -> Vec<u8> {
    const IP: usize = eth::HEADER_LEN;
    let rewrite = &plan.edit.rewrite;
    let mut quoted = *quote;
    nat::requote(packet, &mut quoted, rewrite);
    let mut out = frame.to_vec();
    out[IP + ipv4::TTL_AT] -= 1;
    put(&mut out, IP + ipv4::SRC_AT, &rewrite.src.bytes());
    put(&mut out, IP + ipv4::DST_AT, &rewrite.dst.bytes());
    put(&mut out, quote.ip_at as usize + ipv4::SRC_AT, &quoted.src.bytes());
    put(&mut out, quote.ip_at as usize + ipv4::DST_AT, &quoted.dst.bytes());
    put(&mut out, quote.l4_at as usize, &quoted.sport.bytes());
    put(&mut out, quote.l4_at as usize + 2, &quoted.dport.bytes());
    // The quote's own sum may be wrong, and stays so.
    put(&mut out, quote.ip_at as usize + ipv4::CHECK_AT, &quoted.ip_check.bytes());
    let (icmp, end) = (packet.l4_at as usize, IP + packet.total_len as usize);
    for (check_at, from, to) in [(IP + ipv4::CHECK_AT, IP, icmp), (icmp + 2, icmp, end)] {
        put(&mut out, check_at, &[0, 0]);
        let check = finish(sum_bytes(&out[from..to])).bytes();
        put(&mut out, check_at, &check);
    }
    out
}

/// The frame with the hop's MACs.
fn sent(mut frame: Vec<u8>, hop: &Hop<Be32>) -> Sent {
    if hop.has(hop_flag::RESOLVED) {
        for (place, word) in frame.chunks_exact_mut(4).zip(hop.macs) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
    }
    let direct = hop.flags & (hop_flag::RESOLVED | hop_flag::PROBE) == hop_flag::RESOLVED;
    Sent { ifindex: hop.ifindex, frame, through_neighbour: !direct }
}

/// The frame as planned.
fn edited(world: &World, packet: &Packet<Be32>, frame: &[u8], plan: &Plan<Be32>) -> Vec<u8> {
    const IP: usize = eth::HEADER_LEN;
    let new = fwd::rewritten(packet, &plan.edit);
    let mut out = frame.to_vec();
    out[IP + ipv4::TTL_AT] = new.ttl;
    put(&mut out, IP + ipv4::CHECK_AT, &new.ip_check.bytes());
    match plan.edit.kind {
        Kind::Direct => {}
        Kind::Nat => {
            let rewrite = &plan.edit.rewrite;
            let nat::Rewrite { src, dst, sport, dport } = *rewrite;
            let l4 = packet.l4_at as usize;
            put(&mut out, IP + ipv4::SRC_AT, &src.bytes());
            put(&mut out, IP + ipv4::DST_AT, &dst.bytes());
            if packet.part == Part::Later {
                return out;
            }
            put(&mut out, l4, &sport.bytes());
            put(&mut out, l4 + 2, &dport.bytes());
            if packet.proto == ip_proto::TCP {
                put(&mut out, l4 + 16, &new.l4_check.bytes());
            } else if packet.proto == ip_proto::SCTP {
                let crc = u32::from_le_bytes(out[l4 + 8..l4 + 12].try_into().expect("four bytes"));
                let change = crc32c::change_of_first(rewrite.port_bits(packet), packet.l4_len());
                if crc != 0 {
                    put(&mut out, l4 + 8, &(crc ^ change).to_le_bytes());
                }
            } else if packet.l4_check.0 != 0 {
                put(&mut out, l4 + 6, &new.l4_check.bytes());
            } else if packet.part == Part::Whole {
                // A datagram without checksum gets one, as IPVS does.
                let data = &out[l4..l4 + packet.l4_len() as usize];
                let sum = finish(add(sum_bytes(data), pseudo(src, dst, packet.proto, packet.l4_len())));
                let check = if sum.0 == 0 { Be16(0xffff) } else { sum };
                put(&mut out, l4 + 6, &check.bytes());
            }
        }
        Kind::Tunnel => {
            let encap = &plan.edit.encap;
            let dest = world.dest_config(encap.dest);
            let sum = sum_when_completed(packet, &out[IP..IP + packet.total_len as usize]);
            let shim = tun::shim(packet, encap, dest, sum);
            let shim = &shim[..tun::shim_words(dest, encap.summed)];
            let outer = tun::outer::header4(packet, encap, dest);
            out.splice(IP..IP, outer.iter().chain(shim).flat_map(|w| w.bytes()));
        }
    }
    out
}

/// The frame cut up for links that take `mtu` bytes.
fn pieces(frame: &[u8], mtu: u32) -> Vec<Vec<u8>> {
    let (eth, ip) = frame.split_at(eth::HEADER_LEN);
    let cut = Cut::new(ip, mtu).expect("room for data");
    let (header, data) = ip.split_at(cut.header_len.into());
    let piece = |p: Piece| {
        let mut out = [eth, header, &data[p.at.into()..][..p.len.into()]].concat();
        put(&mut out, eth.len() + ipv4::TOTAL_LEN_AT, &p.said.bytes());
        put(&mut out, eth.len() + ipv4::FRAG_AT, &p.frag.bytes());
        put(&mut out, eth.len() + ipv4::CHECK_AT, &p.check.bytes());
        out
    };
    (0..).map_while(|number| cut.piece(number)).map(piece).collect()
}

/// An ICMP error about the packet, back to its sender (RFC 792).
fn error_frame(packet: &Packet<Be32>, frame: &[u8], error: icmp::Error, id: u16) -> Vec<u8> {
    const IP: usize = eth::HEADER_LEN;
    let len = (packet.total_len as usize).min(icmp::MAX_QUOTE).min(frame.len() - IP);
    let mut quote = frame[IP..IP + len].to_vec();
    // Linux decrements the time to live before it finds a packet too big; the quote shows it.
    if let icmp::Error::FragmentationNeeded { .. } = error {
        let new = fwd::rewritten(packet, &Edit::nothing());
        quote[ipv4::TTL_AT] = new.ttl;
        put(&mut quote, ipv4::CHECK_AT, &new.ip_check.bytes());
    }
    let (kind, code) = error.kind_and_code();
    let mut message = vec![kind, code, 0, 0];
    message.extend(error.rest().to_be_bytes());
    message.extend(quote);
    let (head, quote) = message.split_at(icmp::HEADER_LEN);
    let check = finish(add(sum_bytes(head), sum_when_completed(packet, quote)));
    put(&mut message, 2, &check.bytes());
    let header = ipv4::Header {
        tos: icmp::tos(packet.tos),
        total_len: (ipv4::MIN_LEN + message.len()) as u16,
        id,
        dont_fragment: false,
        ttl: icmp::TTL,
        proto: ip_proto::ICMP,
        src: packet.dst,
        dst: packet.src,
    };
    let mut out = frame[..IP].to_vec();
    out.extend(header.words().iter().flat_map(|w| w.bytes()));
    out.extend(message);
    out
}

/// The sum over the beginning of a packet as it will be when hardware has completed the packet's checksum.
fn sum_when_completed(packet: &Packet<Be32>, bytes: &[u8]) -> u32 {
    if !packet.checksum_looks_partial() {
        return sum_bytes(bytes);
    }
    let header_len = usize::from(packet.l4_at - packet.ip_at);
    add(sum_bytes(&bytes[..header_len]), u32::from(!packet.l4_check.0))
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
}
