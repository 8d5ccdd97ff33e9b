//! At how many connections the kernel took a server out (-x), and at how many it was back (-y, or three quarters).

use rlvs_testkit::packet::{ACK, RST, SYN, at, tcp};
use rlvs_testkit::{Outcome, World, arrive, lab};
use serde::Deserialize;
use std::net::SocketAddrV4;

#[derive(Deserialize)]
struct Recording {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    upper: u32,
    lower: u32,
    #[serde(rename = "chosen while opening, then (connections of server 1:chosen)")]
    chosen: String,
}

fn send(world: &World, port: u16, flags: u8) -> u8 {
    let client = SocketAddrV4::new(lab::CLIENT, port);
    match arrive(world, lab::C0, &lab::from_client(&tcp(client, at("10.0.0.100:80"), flags).bytes())) {
        Outcome::Sent(sent) => lab::server_of(&sent.frame).expect("a server's MAC"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn servers_go_out_and_come_back_as_with_the_kernel() {
    let recording: Recording = serde_json::from_str(include_str!("golden/c1-thresholds.json")).unwrap();
    assert_eq!(recording.cases.len(), 8);
    for case in &recording.cases {
        let (x, y) = (case.upper, case.lower);
        let mut world = lab::world(1);
        world.order(&format!(
            "-A -t 10.0.0.100:80 -s wlc
             -a -t 10.0.0.100:80 -r 10.1.0.1:80 -g -w 1000 -x {x} -y {y}
             -a -t 10.0.0.100:80 -r 10.1.0.2:80 -g -w 1"
        ));
        let (mut port, mut held, mut log) = (1000, Vec::new(), Vec::new());
        for _ in 0..x + 3 {
            port += 1;
            let to = send(&world, port, SYN);
            if to == 1 {
                held.push(port);
            }
            send(&world, port, ACK);
            log.push(to.to_string());
        }
        for _ in 0..x {
            let Some(closing) = held.pop() else { break };
            send(&world, closing, RST);
            world.wait_secs(13);
            let server = world.find((6, at("10.0.0.100:80")), at("10.1.0.1:80")).unwrap();
            let n = world.loads(server as u32).total;
            port += 1;
            let to = send(&world, port, SYN);
            log.push(format!("{n}:{to}"));
            if to == 1 {
                break;
            }
        }
        assert_eq!(log.join(" "), case.chosen, "-x {x} -y {y}\n{world}");
    }
}
