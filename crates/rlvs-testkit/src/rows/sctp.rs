//! Rows about SCTP: associations, and ports that are translated with the checksum that covers them.

use super::sources::{SOURCE, to_client, to_server};
use super::{CLIENT, client, server, step, story};
use crate::golden::{Expected, Story};
use crate::lab;
use crate::packet::{Builder, Check, at, fragments, sctp};
use rlvs_core::path::DropReason;

const VIP: &str = "10.0.0.100:5060";
const REAL: &str = "10.1.0.1:6060";

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const COOKIE_ECHO: u8 = 10;

pub fn states() -> Story {
    let chunk = |kind| sctp(at(CLIENT), at(VIP), kind);
    let steps = vec![
        client("DATA opens nothing", &chunk(DATA), Expected::Pass),
        client("INIT does", &chunk(INIT), Expected::To(1)),
        client("COOKIE ECHO follows", &chunk(COOKIE_ECHO), Expected::To(1)),
        client("DATA too", &chunk(DATA), Expected::To(1)),
        client("ABORT too", &chunk(ABORT), Expected::To(1)),
    ];
    let rules = "-A --sctp-service 10.0.0.100:5060 -s rr\n-a --sctp-service 10.0.0.100:5060 -r 10.1.0.1 -g";
    story("SCTP: INIT opens an association", rules, steps)
}

/// A packet with so many bytes of data.
fn data(from: &str, to: &str, len: u16) -> Builder {
    let mut bytes = vec![DATA, 3];
    bytes.extend((4 + len).to_be_bytes());
    bytes.extend((0..len).map(|n| n as u8));
    sctp(at(from), at(to), DATA).data(&bytes)
}

pub fn ports() -> Story {
    let init = sctp(at(CLIENT), at(VIP), INIT);
    let mut steps = vec![
        client("INIT", &init, to_server(1, sctp(at(CLIENT), at(REAL), INIT))),
        server(
            1,
            "INIT ACK",
            &sctp(at(REAL), at(CLIENT), INIT_ACK),
            to_client(sctp(at(VIP), at(CLIENT), INIT_ACK)),
        ),
    ];
    for len in [0, 1, 2, 3, 100, 255, 1000, 1452] {
        let there = client("data", &data(CLIENT, VIP, len), to_server(1, data(CLIENT, REAL, len)));
        let back = server(1, "and back", &data(REAL, CLIENT, len), to_client(data(VIP, CLIENT, len)));
        steps.extend([there, back]);
    }
    for (label, check) in [("wrong stays wrong", Check::Wrong), ("hardware is to make it", Check::Absent)] {
        let with = |from, to| data(from, to, 10).with(|b| b.check = check);
        steps.push(client(label, &with(CLIENT, VIP), to_server(1, with(CLIENT, REAL))));
    }
    let pieces = fragments(&data(CLIENT, VIP, 100).bytes(), 64);
    let drop = Expected::Drop(DropReason::EditFailed);
    steps.push(step("of a fragment it is not known", lab::from_client(&pieces[0]), drop));
    let rules =
        "-A --sctp-service 10.0.0.100:5060 -s rr\n-a --sctp-service 10.0.0.100:5060 -r 10.1.0.1:6060 -m";
    story("SCTP: other ports behind NAT", rules, steps)
}

pub fn sources() -> Story {
    let steps = vec![
        client("INIT", &sctp(at(CLIENT), at(VIP), INIT), to_server(1, sctp(at(SOURCE), at(REAL), INIT))),
        server(
            1,
            "INIT ACK",
            &sctp(at(REAL), at(SOURCE), INIT_ACK),
            to_client(sctp(at(VIP), at(CLIENT), INIT_ACK)),
        ),
        client("data", &data(CLIENT, VIP, 77), to_server(1, data(SOURCE, REAL, 77))),
        server(1, "and back", &data(REAL, SOURCE, 78), to_client(data(VIP, CLIENT, 78))),
    ];
    let rules = "source 10.1.0.254 5000 5000\n-A --sctp-service 10.0.0.100:5060 -s rr\n\
                 -a --sctp-service 10.0.0.100:5060 -r 10.1.0.1:6060 --fullnat";
    story("SCTP: FULLNAT", rules, steps)
}
