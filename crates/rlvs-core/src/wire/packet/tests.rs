//! Frames, right ones and wrong ones, and what is read of them.

use super::*;
extern crate std;
use std::vec::Vec;

fn frame(ip: &str) -> Vec<u8> {
    let mut f = std::vec![2, 0, 0, 0, 0, 0xfe, 2, 0, 0, 0, 0, 1, 8, 0];
    f.extend((0..ip.len()).step_by(2).map(|i| u8::from_str_radix(&ip[i..i + 2], 16).unwrap()));
    f
}

const SYN: &str =
    "45100030424200003c0685f9ac1000090a00006404570050000003e8000000007002400084130000020405b401010402";
const OPTIONS: &str =
    "4600002c1234000040061d17ac1000090a00006494040000045700500000041000001389501040009d170000";

#[test]
fn reads_a_syn() {
    let p = parse(frame(SYN).as_slice()).unwrap();
    assert_eq!((p.sport.get(), p.dport.get(), p.proto, p.tcp_flags), (1111, 80, 6, 2));
    assert_eq!((p.tos, p.ttl, p.total_len, p.l4_at, p.dont_fragment), (0x10, 60, 48, 34, false));
    assert_eq!(p.dst.bytes(), [10, 0, 0, 100]);
    assert!(!p.checksum_looks_partial());
}

/// A frame with an IPv6 packet: next header and payload.
fn frame6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut f = std::vec![2, 0, 0, 0, 0, 0xfe, 2, 0, 0, 0, 0, 1, 0x86, 0xdd];
    f.extend([0x6b, 0x81, 0x23, 0x45, 0, payload.len() as u8, next_header, 17]);
    f.extend([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    f.extend([0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100]);
    f.extend(payload);
    f
}

/// From port 1111 to port 80, SYN; the checksum is right.
const SYN6: [u8; 20] = [4, 0x57, 0, 80, 0, 0, 3, 0xe8, 0, 0, 0, 0, 0x50, 2, 0x40, 0, 0x6c, 0xe2, 0, 0];

#[test]
fn reads_a_syn_of_ipv6() {
    let frame = frame6(6, &SYN6);
    let p = parse6(frame.as_slice()).unwrap();
    assert_eq!((p.sport.get(), p.dport.get(), p.proto, p.tcp_flags), (1111, 80, 6, 2));
    assert_eq!((p.tos, p.ttl, p.total_len, p.l4_at, p.dont_fragment), (0xb8, 17, 60, 54, true));
    assert_eq!((p.src[0].bytes(), p.dst[3].bytes()), ([0xfd, 0, 0, 1], [0, 0, 0, 100]));
    let sum = super::super::checksum::pseudo(p.src, p.dst, p.proto, p.l4_len());
    let sum = add(sum, super::super::checksum::sum_bytes(&frame[54..]));
    assert_eq!(fold(sum), 0xffff, "the sum over pseudo header and segment");
    assert!(!p.checksum_looks_partial());
}

#[test]
fn a_bare_pseudo_header_sum_of_ipv6_is_found() {
    let mut frame = frame6(6, &SYN6);
    let p = parse6(frame.as_slice()).unwrap();
    let sum = fold(super::super::checksum::pseudo(p.src, p.dst, p.proto, p.l4_len()));
    frame[70..72].copy_from_slice(&sum.to_ne_bytes());
    assert!(parse6(frame.as_slice()).unwrap().checksum_looks_partial());
}

#[test]
fn what_is_neither_tcp_nor_udp_is_told_apart() {
    for (header, name) in [(0, "hop by hop"), (43, "routing"), (60, "options"), (51, "authentication")] {
        assert_eq!(parse6(frame6(header, &SYN6).as_slice()), Err(Skip::Extension), "{name}");
    }
    assert_eq!(parse6(frame6(58, &SYN6).as_slice()), Err(Skip::Icmp));
    assert_eq!(parse6(frame6(50, &SYN6).as_slice()), Err(Skip::Secured));
    assert_eq!(parse6(frame6(59, &SYN6).as_slice()), Err(Skip::OtherProtocol));
}

#[test]
fn the_families_do_not_read_each_other() {
    assert_eq!(parse6(frame(SYN).as_slice()), Err(Skip::OtherLink));
    assert_eq!(parse(frame6(6, &SYN6).as_slice()), Err(Skip::OtherLink));
    let mut version = frame6(6, &SYN6);
    version[14] = 0x4b;
    assert_eq!(parse6(version.as_slice()), Err(Skip::Malformed));
}

#[test]
fn every_truncation_of_ipv6_is_refused() {
    let whole = frame6(6, &SYN6);
    for len in 0..74 {
        assert_eq!(parse6(&whole[..len]), Err(Skip::Malformed), "{len} bytes");
    }
    let mut short = frame6(6, &SYN6);
    short[19] = 19;
    assert_eq!(parse6(short.as_slice()), Err(Skip::Malformed), "a payload shorter than a TCP header");
}

#[test]
fn options_move_the_transport_header() {
    assert_eq!(parse(frame(OPTIONS).as_slice()).unwrap().l4_at, 38);
}

#[test]
fn a_wrong_header_sum_is_refused() {
    let mut bad = frame(SYN);
    bad[14 + 10] ^= 1;
    assert_eq!(parse(bad.as_slice()), Err(Skip::Malformed));
}

#[test]
fn every_truncation_is_refused() {
    let whole = frame(SYN);
    for len in 0..54 {
        assert_eq!(parse(&whole[..len]), Err(Skip::Malformed), "{len} bytes");
    }
}

/// SCTP that Linux sends in several packets later: the frame in sight ends before the first chunk.
#[test]
fn ports_of_sctp_are_read_where_its_chunks_are_out_of_sight() {
    let mut header = [5060u16, 6060].map(u16::to_be_bytes).concat();
    header.extend([0; 8]);
    let mut whole = frame6(132, &[&header[..], &[0, 3, 0, 16], &[7; 12]].concat());
    let mut packet = Packet::empty();
    assert_eq!(read6(whole.as_slice(), &mut packet), Ok(()));
    whole.truncate(14 + 40 + 12);
    let mut packet = Packet::empty();
    assert_eq!(read6(whole.as_slice(), &mut packet), Err(Skip::Covered));
    assert_eq!((packet.sport.get(), packet.dport.get(), packet.chunk), (5060, 6060, 0));
    assert_eq!(read6(&whole[..14 + 40 + 11], &mut packet), Err(Skip::Malformed));
}
