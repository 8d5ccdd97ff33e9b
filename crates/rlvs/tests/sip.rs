//! Persistence engine sip: a client's calls, told apart by the Call-ID of their messages, and what listings show of them.

mod common;

use common::{attach, cluster, ipvsadm, rlvs, within};
use rlvs::lab::client::Asker;
use rlvs::lab::{Lab, Topology, VIP, VIP6, plan};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

fn message(method: &str, call: &str) -> String {
    format!(
        "{method} sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP pc33.example.org\r\n\
         From: Alice <sip:alice@example.org>\r\ncAlL-Id : {call}\r\nCSeq: 1 {method}\r\n\r\n"
    )
}

/// Which server answers a message from a new port of the client.
fn server_of(lab: &Lab, vip: IpAddr, text: &str) -> String {
    lab.client().run(|| Asker::open(vip, 53)?.ask(text, LIMIT)).expect("an answer")
}

/// Does nobody answer it?
fn is_dropped(lab: &Lab, text: &str) -> bool {
    lab.client().run(|| Asker::open(VIP, 53)?.ask(text, Duration::from_millis(300))).is_err()
}

fn serve(lab: &Lab, key: &str, addr: impl Fn(std::net::Ipv4Addr) -> String, more: &str) {
    ipvsadm(lab, &format!("-A {key} -s rr -p 100 --pe sip {more}"));
    for server in lab.servers() {
        let method = common::method(lab);
        ipvsadm(lab, &format!("-a {key} -r {}:53 {method}", addr(server.addr())));
    }
}

fn calls_go_where_they_began(lab: &Lab, vip: IpAddr) {
    let calls: Vec<String> = (0..6).map(|n| format!("{n}-f81d4fae@pc33.example.org")).collect();
    let first: Vec<String> = calls.iter().map(|c| server_of(lab, vip, &message("INVITE", c))).collect();
    let servers: BTreeSet<&String> = first.iter().collect();
    assert_eq!(servers.len(), 3, "each call is scheduled: {first:?}");
    for _ in 0..3 {
        let again: Vec<String> = calls.iter().map(|c| server_of(lab, vip, &message("BYE", c))).collect();
        assert_eq!(again, first, "whatever port it comes from");
    }
    let listed = ipvsadm(lab, "-Lnc --persistent-conn");
    for call in &calls {
        let of_call = |line: &&str| line.ends_with(call) && line.contains(" sip ");
        assert_eq!(listed.lines().filter(of_call).count(), 1, "a template of {call}\n{listed}");
    }
    let proc = rlvs(lab.director(), "proc ip_vs_conn");
    assert!(proc.lines().any(|line| line.ends_with(&format!("sip {}", calls[0]))), "{proc}");
}

#[test]
fn calls_of_one_client_are_told_apart() {
    within(60, || {
        for (topology, mode) in [(Topology::Nat, "tc"), (Topology::Dr, "skb")] {
            let lab = cluster(topology);
            serve(&lab, &format!("-u {VIP}:53"), |a| a.to_string(), "");
            attach(&lab, mode);
            calls_go_where_they_began(&lab, VIP.into());
            assert!(is_dropped(&lab, "OPTIONS sip:x SIP/2.0\r\nCSeq: 1\r\n\r\nCall-ID: body\r\n"));
            let reasons = rlvs(lab.director(), "status");
            assert!(reasons.contains("no-call-id"), "{reasons}");
        }
    });
}

#[test]
fn each_message_by_itself_still_knows_its_call() {
    within(60, || {
        let lab = cluster(Topology::Dr);
        serve(&lab, &format!("-u {VIP}:53"), |a| a.to_string(), "-o");
        attach(&lab, "skb");
        calls_go_where_they_began(&lab, VIP.into());
        let listed = ipvsadm(&lab, "-Lnc");
        let connections = listed.lines().filter(|l| l.starts_with("UDP") && !l.contains(":0 ")).count();
        assert_eq!(connections, 0, "no connection, only templates\n{listed}");
    });
}

#[test]
fn calls_over_ipv6() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        lab.hosts().iter().for_each(|host| host.add_ipv6().expect("IPv6"));
        serve(&lab, &format!("-u [{VIP6}]:53"), |a| format!("[{}]", plan::six(a)), "");
        attach(&lab, "tc");
        calls_go_where_they_began(&lab, VIP6.into());
    });
}

/// The texts of calls are forgotten with their templates, and with the engine the need for a Call-ID.
#[test]
fn forgotten_calls_and_services_without_the_engine() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        let key = format!("-u {VIP}:53");
        serve(&lab, &key, |a| a.to_string(), "");
        ipvsadm(&lab, &format!("-E {key} -s rr -p 4 --pe sip"));
        // The connection first, or its template would be held for a minute.
        ipvsadm(&lab, "--set 0 0 1");
        server_of(&lab, VIP.into(), &message("INVITE", "short@life"));
        assert!(ipvsadm(&lab, "-Lnc --persistent-conn").contains("short@life"));
        let gone = || !rlvs(lab.director(), "proc ip_vs_conn").contains("short@life");
        assert!(
            (0..100).any(|_| {
                std::thread::sleep(Duration::from_millis(100));
                gone()
            }),
            "after its time"
        );
        ipvsadm(&lab, &format!("-E {key} -s rr -p 100"));
        assert!(!is_dropped(&lab, "no SIP at all"));
        let saved = ipvsadm(&lab, "-Sn");
        assert!(saved.contains("-s rr -p 100\n") && !saved.contains("--pe"), "{saved}");
    });
}
