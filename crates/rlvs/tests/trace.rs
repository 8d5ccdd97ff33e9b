//! `rlvs trace`: what it tells of real traffic, by each layer, and that it ends.

mod common;

use common::{Proto, RLVS, attach, cluster, ipvsadm, rlvs, serve, within};
use rlvs::lab::client;
use rlvs::lab::{Lab, Topology, VIP, VIP6, plan};
use serde_json::Value;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Starts a trace in the director and waits until the programs know of it.
fn start(lab: &Lab, args: &str) -> Child {
    let mut command = lab.director().command(RLVS);
    command.arg("trace").args(args.split_whitespace());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("rlvs trace");
    std::thread::sleep(Duration::from_millis(500));
    child
}

/// Its output, once it has ended by itself.
fn end(mut child: Child) -> (String, String) {
    let begun = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if begun.elapsed() > Duration::from_secs(20) {
            let _ = child.kill();
            panic!("rlvs trace does not end");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (out, err)
}

fn packets(child: Child) -> Vec<Value> {
    let (out, err) = end(child);
    assert_eq!(err, "");
    out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn a_connection_is_told_packet_by_packet() {
    within(60, || {
        for (topology, mode) in [(Topology::Nat, "tc"), (Topology::Dr, "xdp"), (Topology::Tun, "tc")] {
            // Whole checksums, as cards deliver them: else XDP leaves the packet to TC.
            let lab = Lab::builder(topology).as_on_a_wire().program(RLVS).build().expect("a lab");
            let lab = common::ready(lab);
            serve(&lab, Proto::Tcp, 80, "rr", &[1]);
            for device in lab.director().devices() {
                rlvs(lab.director(), &format!("attach {device} --mode {mode} --xdp-redirect on"));
            }
            let child = start(&lab, "--json --proto tcp --for 3");
            let name = lab.client().run(|| client::who(VIP, 80)).expect("an answer");
            assert_eq!(name, "rs1");
            let told = packets(child);
            let documented = std::fs::read_to_string("../../docs/json.md").expect("docs/json.md");
            for key in told[0].as_object().expect("an object").keys() {
                assert!(documented.contains(&format!("  \"{key}\": ")), "{key} is not documented");
            }
            let syn = told.iter().find(|p| p["tcp_flags"] == 2).unwrap_or_else(|| panic!("{told:#?}"));
            assert_eq!(syn["destination"], format!("{VIP}:80"));
            assert_eq!(syn["outcome"], "forwarded");
            assert_eq!(syn["to"], format!("{}:80", lab.server(1).addr()));
            assert!(syn["to_ifindex"].as_u64().is_some(), "{syn}");
            let replies = told.iter().filter(|p| p["is_reply"] == true).count();
            assert_eq!(replies > 0, topology == Topology::Nat, "{told:#?}");
            if let Some(reply) = told.iter().find(|p| p["is_reply"] == true) {
                assert_eq!(reply["to"], format!("{VIP}:80"), "what it now comes from");
            }
            let by_xdp = told.iter().filter(|p| p["layer"] == "xdp").count();
            assert_eq!(by_xdp > 0, mode == "xdp", "{told:#?}");
        }
    });
}

#[test]
fn drops_have_their_reason() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        lab.hosts().iter().for_each(|host| host.add_ipv6().expect("IPv6"));
        serve(&lab, Proto::Tcp, 80, "rr", &[1]);
        ipvsadm(&lab, &format!("-A -u {VIP}:54 -s rr"));
        ipvsadm(&lab, &format!("-A -u [{VIP6}]:54 -s rr"));
        attach(&lab, "tc");
        let child = start(&lab, "--drops --count 2");
        lab.client().run(|| {
            client::who(VIP, 80).expect("an answer, which is not told");
            client::ask(VIP, 54, Duration::from_millis(300)).expect_err("no server");
            client::ask(VIP6, 54, Duration::from_millis(300)).expect_err("no server");
        });
        let (out, _) = end(child);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 2, "{out}");
        assert!(lines[0].contains(&format!(" > {VIP}:54 ")), "{out}");
        assert!(lines[0].ends_with("answered with ICMP 3/3, no-server"), "{out}");
        assert!(lines[1].contains(&format!(" > [{VIP6}]:54 ")), "{out}");
        assert!(lines[1].ends_with("answered with ICMP 1/4, no-server"), "{out}");
        let client = plan::six(lab.client().addr());
        assert!(lines[1].contains(&format!("[{client}]:")), "{out}");
    });
}

#[test]
fn filters_and_limits() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Udp, 53, "rr", &[1]);
        attach(&lab, "tc");
        let asked = || lab.client().run(|| client::tally_udp(VIP, 53, 20)).expect("answers");
        let child = start(&lab, "--json --host 10.99.99.99 --for 2");
        asked();
        assert_eq!(packets(child), Vec::<Value>::new(), "nobody's address");
        let child = start(&lab, "--json --port 53 --rate 5 --for 2");
        asked();
        let (out, err) = end(child);
        let told = out.lines().count();
        assert!((5..=10).contains(&told), "five in each of at most two seconds: {told}");
        assert!(err.contains("more packets were not shown"), "{err}");
        let child = start(&lab, "--json --one-in 10 --for 2");
        asked();
        assert_eq!(packets(child).len(), 4, "20 there and 20 back");
    });
}

/// There is one watcher, and when it is killed the programs stop telling.
#[test]
fn one_at_a_time_and_none_for_ever() {
    within(60, || {
        let lab = cluster(Topology::Dr);
        serve(&lab, Proto::Udp, 53, "rr", &[1]);
        let mut first = start(&lab, "--for 30");
        let (_, err) = end(start(&lab, "--for 1"));
        assert!(err.contains("another trace is running"), "{err}");
        first.kill().expect("killed");
        first.wait().expect("gone");
        std::thread::sleep(Duration::from_secs(4));
        lab.client().run(|| client::tally_udp(VIP, 53, 10)).expect("answers");
        let told = packets(start(&lab, "--json --for 1"));
        assert_eq!(told, Vec::<Value>::new(), "packets of before are not told");
    });
}

#[test]
fn without_rules_it_says_so() {
    within(60, || {
        let lab = common::lab(Topology::Dr);
        let (out, err) = end(start(&lab, "--for 1"));
        assert!(out.is_empty() && err.contains("no rules in this network namespace"), "{err}");
        assert!(rlvs(lab.director(), "status").contains("No rules"));
    });
}
