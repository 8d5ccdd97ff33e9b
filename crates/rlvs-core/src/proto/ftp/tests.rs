extern crate std;
use super::*;
use crate::wire::checksum::{add, change, sum_bytes};
use std::format;
use std::string::String;
use std::vec::Vec;

fn by_server(line: &str) -> (Said, u16) {
    let (said, reader) = said(line.as_bytes(), true);
    (said, if said == Said::Nothing { 0 } else { reader.port().get() })
}

fn by_client(line: &str) -> (Said, u16) {
    let (said, reader) = said(line.as_bytes(), false);
    (said, if said == Said::Nothing { 0 } else { reader.port().get() })
}

#[test]
fn servers_tell_their_port_in_many_words() {
    for (line, port) in [
        ("227 Entering Passive Mode (10,1,0,1,200,13).\r\n", 200 << 8 | 13),
        ("227 Entering Passive Mode 10,1,0,1,4,0\r\n", 1024),
        ("227 =10,1,0,1,4,0\r\n", 1024),
        ("227 (10,1,0,1,4,0)", 1024),
        ("227 version 2.7,1 and 3000,1: (1,2,3,4,255,255)\r\n", 65535),
        ("200 Type set.\r\n227 Entering Passive Mode (10,1,0,1,4,1).\r\n", 1025),
        ("227-hello\r\n227 Entering Passive Mode (10,1,0,1,4,1).\r\n", 1025),
    ] {
        assert_eq!(by_server(line), (Said::Passive, port), "{line:?}");
        assert_eq!(by_client(line).0, Said::Nothing, "no client says {line:?}");
    }
    for (line, port) in [
        ("229 Entering Extended Passive Mode (|||6446|)\r\n", 6446),
        ("229 (!!!1!)", 1),
        ("229 Extended (|1|10.1.0.1|65535|).\r\n", 65535),
    ] {
        assert_eq!(by_server(line), (Said::ExtendedPassive, port), "{line:?}");
    }
}

#[test]
fn clients_tell_their_port_in_two_ways() {
    for (line, port) in [
        ("PORT 172,16,0,9,156,65\r\n", 40001),
        ("port 172,16,0,9,4,0\n", 1024),
        ("EPRT |1|172.16.0.9|40001|\r\n", 40001),
        ("EPRT |2|2001:db8::9|40001|\r\n", 40001),
        ("eprt  !2!::1!7!\r\n", 7),
        ("TYPE I\r\nPORT 172,16,0,9,156,65\r\nLIST\r\n", 40001),
    ] {
        assert_eq!(by_client(line), (Said::Active, port), "{line:?}");
        assert_eq!(by_server(line).0, Said::Nothing, "no server says {line:?}");
    }
}

#[test]
fn what_is_none_of_these_says_nothing() {
    let none = [
        "",
        "227",
        "227 ",
        "227 no numbers\r\n1,2,3,4,5,6\r\n",
        "227 (1,2,3,4,5)\r\n",
        "227 (1,2,3,4,5,6", // it may go on in the next segment
        "227 (1,2,3,4,5,\r\n6)\r\n",
        "227 (1,2,3,4,256,6)\r\n",
        "227 (1,2,3,4,0,0)\r\n",
        " 227 (1,2,3,4,5,6)\r\n",
        "2277 (1,2,3,4,5,6)\r\n",
        "226 (1,2,3,4,5,6)\r\n",
        "229 (|||65536|)\r\n",
        "229 (|||0|)\r\n",
        "229 (||||)\r\n",
        "229 |||7|\r\n",
        "229 (|||7\r\n|)\r\n",
        "PORT\r\n",
        "PORTS 1,2,3,4,5,6\r\n",
        "PORT1,2,3,4,5,6\r\n",
        "EPRT |1|10.0.0.1|\r\n",
        "SITE PORT 1,2,3,4,5,6\r\n",
    ];
    for line in none {
        assert_eq!(by_server(line).0, Said::Nothing, "{line:?}");
        assert_eq!(by_client(line).0, Said::Nothing, "{line:?}");
    }
    let late = format!("200 {}\r\n227 (1,2,3,4,5,6)\r\n", "x".repeat(300));
    assert_eq!(by_server(&late).0, Said::Nothing, "beyond what is looked at");
}

/// The segment with another address, and by how much its sum changed. 20 bytes of a header stand before it.
fn with_address(segment: &str, addr: [u8; 4]) -> Option<(String, u32)> {
    let (said, reader) = said(segment.as_bytes(), true);
    assert_eq!(said, Said::Passive, "{segment:?}");
    let mut bytes: Vec<u8> = [&[0x21; 20], segment.as_bytes()].concat();
    let end = 20 + reader.end as usize;
    let parenthesis = bytes[20 + reader.start as usize - 1] == b'(';
    let mut writer = Writer::new(&reader, Be32::from_bytes(addr), parenthesis)?;
    let window = end - WINDOW as usize..end;
    let old = bytes[window.clone()].to_vec();
    for at in window.clone().rev() {
        bytes[at] = writer.write(bytes[at]);
    }
    let new = bytes[window.clone()].to_vec();
    let changed = old.chunks(4).zip(new.chunks(4)).fold(0, |sum, (a, b)| {
        add(sum, change(u32::from_ne_bytes(a.try_into().unwrap()), u32::from_ne_bytes(b.try_into().unwrap())))
    });
    assert_eq!(bytes[..20], [0x21; 20], "the header before it");
    let text = String::from_utf8(bytes[20..].to_vec()).unwrap();
    Some((text, placed(changed, window.start % 2 == 1)))
}

#[test]
fn the_virtual_address_takes_the_place_of_the_servers() {
    for (before, addr, after) in [
        (
            "227 Entering Passive Mode (10,1,0,1,200,13).\r\n",
            [10, 0, 0, 100],
            Some("227 Entering Passive Mod(10,0,0,100,200,13).\r\n"),
        ),
        (
            "227 Entering Passive Mode (192,168,100,101,200,13).\r\n",
            [10, 0, 0, 1],
            Some("227 Entering Passive Mode        (10,0,0,1,200,13).\r\n"),
        ),
        (
            "200 ok\r\n227 Passive 1,2,3,4,5,6\r\n",
            [11, 22, 33, 4],
            Some("200 ok\r\n227 Passi11,22,33,4,5,6\r\n"),
        ),
        ("227 x (1,2,3,4,5,6)\r\n", [11, 2, 33, 4], Some("227 (11,2,33,4,5,6)\r\n")),
        ("227 x (1,2,3,4,5,6)\r\n", [11, 2, 33, 44], None),
        ("227 (0,0,0,0,5,0)\r\n", [1, 0, 2, 0], Some("227 (1,0,2,0,5,0)\r\n")),
        ("227 (255,255,255,255,255,255)\r\n", [0; 4], Some("227         (0,0,0,0,255,255)\r\n")),
        // As long as a number may be by its value, but no longer.
        ("227 Entering (0000000010,1,0,1,0200,013)\r\n", [10, 0, 0, 1], None),
    ] {
        let done = with_address(before, addr);
        assert_eq!(done.as_ref().map(|(text, _)| text.as_str()), after, "{before:?}");
    }
}

mod fuzz {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever a segment holds, reading it ends inside of it.
        #[test]
        fn no_segment_is_too_odd(segment: Vec<u8>, server: bool) {
            let (what, reader) = said(&segment, server);
            prop_assert!(reader.at() as usize <= segment.len());
            if what == Said::Passive {
                prop_assert!(4 <= reader.text && reader.text <= reader.start && reader.start < reader.end);
                prop_assert!((reader.end as usize) < segment.len());
            }
            if what != Said::Nothing {
                prop_assert!(reader.port().get() != 0);
            }
        }

        /// Neither are segments that look more like something.
        #[test]
        fn nor_what_looks_like_a_line(segment in "(227 |229 |PORT |EPRT |[a-z]{0,3})[a-z(|]{0,4}[0-9,|()]{0,30}(\r\n|)") {
            for server in [true, false] {
                let (_, reader) = said(segment.as_bytes(), server);
                prop_assert!(reader.at() as usize <= segment.len());
            }
        }

        /// A rewritten line is as long as before, says the new address and the same port, and its sum is what was reckoned.
        #[test]
        fn a_line_says_the_same_at_another_address(
            before in "(200 ok\r\n|)227 [A-Za-z ]{0,24}",
            parentheses: bool,
            old: [u8; 4],
            new: [u8; 4],
            port in 1u16..,
        ) {
            let [p, q] = port.to_be_bytes();
            let [a, b, c, d] = old;
            let (open, close) = if parentheses { ("(", ").") } else { ("", "") };
            let line = format!("{before}{open}{a},{b},{c},{d},{p},{q}{close}\r\n");
            let wanted = format!("{},{},{},{},{p},{q}", new[0], new[1], new[2], new[3]);
            let text = line.find("227 ").unwrap() + 4;
            let room = line.find(&format!("{a},{b},{c},{d},")).unwrap() - text;
            let had = format!("{a},{b},{c},{d},{p},{q}").len();
            let (_, reader) = said(line.as_bytes(), true);
            prop_assert_eq!(reader.end as usize - reader.start as usize, had);
            match with_address(&line, new) {
                Some((after, changed)) => {
                    prop_assert_eq!(after.len(), line.len());
                    let (again, reader) = said(after.as_bytes(), true);
                    prop_assert_eq!((again, reader.port().get()), (Said::Passive, port));
                    prop_assert_eq!(&after[reader.start as usize..reader.end as usize], wanted);
                    prop_assert_eq!(reader.text as usize, text);
                    let sum = |s: &str| crate::wire::checksum::fold(sum_bytes(s.as_bytes()));
                    let reckoned = crate::wire::checksum::fold(add(u32::from(sum(&line)), changed));
                    prop_assert_eq!(reckoned % 0xffff, sum(&after) % 0xffff);
                }
                None => prop_assert!(wanted.len() + open.len() > had + room),
            }
        }
    }
}
