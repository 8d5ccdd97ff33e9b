//! Outer packets in fragments: put together again before they are opened, in both families, by each kind of tunnel.

use super::families::{GUE_PORT, INSIDE, OUTSIDE, Stack, WORDS, counters, moved, net, tunnelled};
use super::net::{Net, Wire, set_mtu};
use super::packets::{frame, ip, seal, udp};
use rlvs_control::realserver::Tunnel;

const FRAGMENT: u8 = 44;
const CE: u8 = 3;

/// A request with so many bytes behind its words.
fn request((client, vip): (&str, &str), tos: u8, more: usize) -> Vec<u8> {
    let filling = (0..more).map(|n| (n % 251) as u8);
    ip(client, vip, 17, tos, &udp(4444, 7777, &WORDS.iter().copied().chain(filling).collect::<Vec<_>>()))
}

/// The pieces of a packet: its payload cut after so many bytes each, the last piece has the rest.
fn cut(packet: &[u8], id: u16, sizes: &[usize]) -> Vec<Vec<u8>> {
    let is_ipv6 = packet[0] >> 4 == 6;
    let header = if is_ipv6 { 40 } else { 20 };
    let (mut at, mut pieces) = (0, vec![]);
    let payload = &packet[header..];
    for len in sizes.iter().copied().map(Some).chain([None]) {
        let len = len.unwrap_or(payload.len() - at);
        let more = at + len < payload.len();
        let mut piece = packet[..header].to_vec();
        if is_ipv6 {
            let place = at as u16 | u16::from(more);
            piece[4..6].copy_from_slice(&((len + 8) as u16).to_be_bytes());
            piece[6] = FRAGMENT;
            piece.extend([packet[6], 0]);
            piece.extend(place.to_be_bytes());
            piece.extend(u32::from(id).to_be_bytes());
        } else {
            let place = (at / 8) as u16 | u16::from(more) << 13;
            piece[2..4].copy_from_slice(&((20 + len) as u16).to_be_bytes());
            piece[4..6].copy_from_slice(&id.to_be_bytes());
            piece[6..8].copy_from_slice(&place.to_be_bytes());
            seal(&mut piece);
        }
        piece.extend(&payload[at..at + len]);
        at += len;
        pieces.push(piece);
    }
    pieces
}

struct Server {
    net: Net,
    stack: Stack,
    wire: Wire,
}

impl Server {
    fn new(tunnel: Tunnel, mtu: u32) -> Server {
        let net = net(tunnel);
        net.server.run(|| set_mtu("a0", mtu));
        net.peer.run(|| set_mtu("b0", mtu));
        let (stack, wire) = (Stack::open(&net), net.peer.run(|| Wire::open("b0")));
        Server { net, stack, wire }
    }

    /// Sends these. Which counters move (that of bytes left aside), and by how much, must be as expected soon.
    fn expect<'a>(
        &self,
        pieces: impl IntoIterator<Item = &'a Vec<u8>>,
        expected: &[(&str, u64)],
        what: &str,
    ) {
        let before = counters(&self.net);
        pieces.into_iter().for_each(|piece| self.wire.send(&frame(piece)));
        let mut found = vec![];
        for tries in 0..100 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let after = counters(&self.net);
            let names = moved(&before, &after).into_iter().filter(|name| *name != "decapsulated_bytes");
            found = names.map(|name| (name, after[name] - before[name])).collect();
            // (Nothing may come late, too.)
            if found == expected && (!expected.is_empty() || tries > 1) {
                return;
            }
        }
        assert_eq!(found, expected, "{what}");
    }
}

const TAKEN: [(&str, u64); 2] = [("decapsulated", 1), ("reassembled", 1)];

#[test]
fn each_family_in_each_by_each_tunnel() {
    for tunnel in [Tunnel::Ipip, Tunnel::Gre, Tunnel::Gue { port: GUE_PORT }] {
        let server = Server::new(tunnel, 1500);
        for outside in OUTSIDE {
            for inside in INSIDE {
                let mut id = 0;
                // In the last three the last piece is one byte: shorter than the least frame of Ethernet.
                for sizes in [&[1000][..], &[80, 1400], &[1480], &[88, 8, 1000, 304], &[1496], &[1448, 48]] {
                    id += 1;
                    let header = if tunnel == Tunnel::Ipip { 0 } else { 4 };
                    let least = request(inside, 0, 0).len() + header;
                    let inner = request(inside, 0, (sizes.iter().sum::<usize>() + 1).saturating_sub(least));
                    let sent = cut(&tunnelled(tunnel, outside, 0, &inner, false), id, sizes);
                    let what = format!("{tunnel}, {inside:?} in {outside:?}, {sizes:?}");
                    if sent.iter().any(|piece| piece.len() > 1500) {
                        continue; // an IPv6 header leaves less room
                    }
                    let padded = sent
                        .iter()
                        .map(|piece| [&piece[..], &[0xee; 60][..60 - piece.len().min(60)]].concat());
                    server.expect(&padded.collect::<Vec<_>>(), &TAKEN, &what);
                    assert_eq!(server.stack.got(inside == INSIDE[1]), Some(inner), "{what}");
                }
            }
        }
    }
}

#[test]
fn of_nine_thousand_bytes() {
    let server = Server::new(Tunnel::Ipip, 9000);
    for outside in OUTSIDE {
        let inner = request(INSIDE[0], 0, 9000 - 28 - WORDS.len());
        assert_eq!(inner.len(), 9000);
        let pieces = cut(&tunnelled(Tunnel::Ipip, outside, 0, &inner, false), 7, &[8944]);
        server.expect(&pieces, &TAKEN, "9,000 bytes");
        assert_eq!(server.stack.got(false), Some(inner));
    }
}

#[test]
fn packets_between_packets() {
    let server = Server::new(Tunnel::Ipip, 1500);
    for outside in OUTSIDE {
        let inner: Vec<_> = (0..8).map(|n| request(INSIDE[0], 0, 1400 + n)).collect();
        let cut = |(id, inner): (u16, &Vec<u8>)| {
            cut(&tunnelled(Tunnel::Ipip, outside, 0, inner, false), id, &[496, 504])
        };
        let all: Vec<_> = (40..).zip(&inner).map(cut).collect();
        let turns = (0..3).flat_map(|piece| all.iter().map(move |pieces| &pieces[piece]));
        server.expect(turns, &[("decapsulated", 8), ("reassembled", 8)], "eight at once");
        for inner in inner {
            assert_eq!(server.stack.got(false), Some(inner));
        }
    }
}

#[test]
fn congestion_met_by_one_piece_is_met_by_the_packet() {
    let server = Server::new(Tunnel::Ipip, 1500);
    for outside in OUTSIDE {
        for marked in 0..3 {
            let mut pieces =
                cut(&tunnelled(Tunnel::Ipip, outside, 0, &request(INSIDE[1], 2, 900), false), 9, &[400, 400]);
            let piece = &mut pieces[marked];
            if piece[0] >> 4 == 6 {
                piece[1] |= CE << 4;
            } else {
                piece[1] |= CE;
                seal(piece);
            }
            server.expect(&pieces, &TAKEN, "marked");
            assert_eq!(server.stack.got(true), Some(request(INSIDE[1], CE, 900)), "piece {marked}");
        }
    }
}

/// What is not in order ends the packet, and is told; the next one comes through.
#[test]
fn out_of_turn() {
    let server = Server::new(Tunnel::Ipip, 1500);
    for outside in OUTSIDE {
        let inner = request(INSIDE[1], 0, 1200);
        let pieces = |id| cut(&tunnelled(Tunnel::Ipip, outside, 0, &inner, false), id, &[400, 400]);
        let [first, second, third] = pieces(1).try_into().unwrap();
        let lost = [("dropped_fragment", 1)];
        server.expect([&first, &third], &lost, "one is missing");
        server.expect([&second, &third], &[], "of a packet that is given up: nobody knows it");
        server.expect([&first, &second, &second], &lost, "one comes twice");
        server.expect([&third, &second, &first], &[], "the first one is the last");
        server.expect([&first], &lost, "and gives its place to the next");
        let other = &pieces(2)[1];
        server.expect([other], &[], "another packet's");
        std::thread::sleep(std::time::Duration::from_millis(1100));
        server.expect([&second], &lost, "too late");
        let mut bad_length = first.clone();
        bad_length.pop();
        let len = if outside == OUTSIDE[1] { 4 } else { 2 };
        bad_length[len + 1] -= 1;
        if outside == OUTSIDE[0] {
            seal(&mut bad_length);
        }
        server.expect([&bad_length], &[("left_fragment", 1)], "no whole eights");
        assert_eq!(server.stack.got(outside == OUTSIDE[1]), Some(bad_length), "it goes on as it came");
        server.expect([&first, &second, &third], &TAKEN, "in order");
        assert_eq!(server.stack.got(true), Some(inner.clone()));
    }
}

/// Fragments that are none of ours go on as they came.
#[test]
fn what_is_of_others() {
    let server = Server::new(Tunnel::Ipip, 1500);
    for outside in OUTSIDE {
        let inner = request((INSIDE[1].0, "2001:db8:99::101"), 0, 900);
        let pieces = cut(&tunnelled(Tunnel::Ipip, outside, 0, &inner, false), 3, &[504]);
        server.expect(&pieces, &[], "another's");
        assert_eq!(server.stack.got(outside == OUTSIDE[1]), Some(pieces[0].clone()));
    }
}
