//! What kernel IPVS has below `/proc`, asked of our program, and what it does to real traffic: settings, files, marks,
//! persistence, rates.

mod common;

use common::{cluster, ipvsadm, lab, rlvs, try_as, wait_until, within};
use rlvs::lab::client;
use rlvs::lab::{Lab, Topology, VIP};
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn settings_are_listed_set_and_refused() {
    within(60, || {
        let lab = lab(Topology::Nat);
        lab.at_end("director", &["down"]).unwrap();
        let sysctl = |args: &str| rlvs(lab.director(), &format!("sysctl {args}"));
        // Before anything was set up there are defaults, and looking sets nothing up.
        let all = sysctl("");
        assert_eq!(all.lines().count(), 29);
        assert!(all.contains("conn_reuse_mode = 1\n") && all.contains("sync_threshold = 3 50\n"), "{all}");
        let mut sorted: Vec<&str> = all.lines().collect();
        sorted.sort_unstable();
        assert!(all.lines().eq(sorted), "{all}");
        assert!(rlvs(lab.director(), "status").contains("No rules"));

        sysctl("expire_nodest_conn=1 drop_entry=3");
        assert_eq!(sysctl("expire_nodest_conn"), "expire_nodest_conn = 1\n");
        assert_eq!(sysctl("drop_entry"), "drop_entry = 3\n");
        let before = sysctl("");
        for (order, error) in [
            ("no_such", "no setting is called \"no_such\""),
            ("drop_entry=4", "drop_entry is 0 to 3, not \"4\""),
            ("drop_entry=x", "not \"x\""),
            ("sync_threshold=3", "two numbers"),
            ("sync_ports=3", "power of two"),
        ] {
            let output = try_as(lab.director(), "rlvs", &format!("sysctl {order}"), "");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && said.contains(error), "{order}: {said}");
            assert_eq!(sysctl(""), before, "after {order}");
        }
        let json: serde_json::Value = serde_json::from_str(&sysctl("--json")).unwrap();
        assert_eq!(json[0]["name"], "am_droprate");
        assert_eq!(json[0]["value"][0], 10);
    });
}

#[test]
fn files_of_proc() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        ipvsadm(&lab, &format!("-A -t {VIP}:80 -s rr -p 360 -M 255.255.255.0"));
        ipvsadm(&lab, &format!("-a -t {VIP}:80 -r {}:80 -m -w 3", lab.server(1).addr()));
        assert_eq!(lab.client().run(|| client::who(VIP, 80)).unwrap(), "rs1");
        let proc = |name: &str| rlvs(lab.director(), &format!("proc {name}"));
        let hex = |addr: std::net::Ipv4Addr| format!("{:08X}", u32::from(addr));
        let (vip, server) = (hex(VIP), hex(lab.server(1).addr()));
        let rules = proc("ip_vs");
        assert!(rules.starts_with("IP Virtual Server version 1.2.1 (size=4096)\n"), "{rules}");
        assert!(rules.contains(&format!("TCP  {vip}:0050 rr  persistent ")), "{rules}");
        assert!(rules.contains(&format!("  -> {server}:0050      Masq    3      ")), "{rules}");
        let conns = proc("ip_vs_conn");
        let template = conns.lines().find(|l| l.contains(" 0000 ")).unwrap_or_else(|| panic!("{conns}"));
        assert!(template.contains(&format!("{vip} 0050 {server} 0050 ASSURED ")), "{conns}");
        assert_eq!(conns.lines().count(), 3, "{conns}");
        assert_eq!(proc("ip_vs_conn_sync").matches(" LOCAL ").count(), 2);
        let stats = proc("ip_vs_stats");
        let counted: Vec<&str> = stats.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!(counted[0], "1", "{stats}");
        assert_ne!((counted[1], counted[2]), ("0", "0"), "{stats}");
        let processors = proc("ip_vs_stats_percpu");
        assert!(processors.lines().any(|l| l.trim_start().starts_with('~')), "{processors}");
        assert!(!proc("ip_vs_app").is_empty());
        let refused = try_as(lab.director(), "rlvs", "proc ip_vs_nothing", "");
        assert!(!refused.status.success());
    });
}

/// Who serves so many clients' requests at a port.
fn served(lab: &Lab, port: u16, requests: usize) -> BTreeSet<String> {
    (0..requests).map(|_| lab.client().run(|| client::who(VIP, port)).unwrap()).collect()
}

#[test]
fn a_persistent_client_stays_and_others_do_not() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        for (port, option) in [(80, "-p 100"), (81, "")] {
            ipvsadm(&lab, &format!("-A -t {VIP}:{port} -s rr {option}"));
            for n in 1..=3 {
                ipvsadm(&lab, &format!("-a -t {VIP}:{port} -r {}:{port} -m", lab.server(n).addr()));
            }
        }
        assert_eq!(served(&lab, 80, 9).len(), 1);
        assert_eq!(served(&lab, 81, 9).len(), 3);
        let listed = ipvsadm(&lab, "-Ln --persistent-conn");
        let templates: u32 = listed
            .lines()
            .filter(|l| l.contains("->") && l.contains(":80 "))
            .map(|l| l.split_whitespace().nth(3).unwrap().parse::<u32>().unwrap())
            .sum();
        assert_eq!(templates, 1, "{listed}");
    });
}

#[test]
fn a_mark_makes_a_service_of_a_range_of_ports() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        rlvs(lab.director(), "mark add --mark 7 --proto tcp --dst 10.0.0.100 --dport 80-81,443");
        ipvsadm(&lab, "-A -f 7 -s rr -p 50");
        for n in 1..=3 {
            ipvsadm(&lab, &format!("-a -f 7 -r {}:0 -m", lab.server(n).addr()));
        }
        let (first, second) = (served(&lab, 80, 3), served(&lab, 81, 3));
        assert_eq!(first.len(), 1);
        assert_eq!(first, second, "one server for all ports of the mark");
        let listed = rlvs(lab.director(), "mark list");
        assert_eq!(listed, "--mark 7 --proto tcp --dst 10.0.0.100/32 --dport 80-81,443\n");
        let refused = try_as(lab.director(), "rlvs", "mark add --mark 7 --dport 80", "");
        assert!(!refused.status.success());
        assert!(String::from_utf8_lossy(&refused.stderr).contains("--proto"), "{refused:?}");
        assert_eq!(rlvs(lab.director(), "mark list"), listed);
        rlvs(lab.director(), "mark flush");
        assert!(rlvs(lab.director(), "mark list").is_empty());
        // Without marks the port is the director's own, where nobody listens.
        assert!(lab.client().run(|| client::who(VIP, 81)).is_err());
    });
}

#[test]
fn rates_rise_and_fall_with_nobody_in_user_space() {
    within(90, || {
        let lab = cluster(Topology::Nat);
        ipvsadm(&lab, &format!("-A -t {VIP}:80 -s rr"));
        ipvsadm(&lab, &format!("-a -t {VIP}:80 -r {}:80 -m", lab.server(1).addr()));
        served(&lab, 80, 40);
        let rate = |line: &str| -> u64 {
            let listed = ipvsadm(&lab, "-Ln --rate");
            let found = listed.lines().find(|l| l.contains(line)).unwrap_or_else(|| panic!("{listed}"));
            found.split_whitespace().nth(3).unwrap().parse().unwrap()
        };
        // InPPS of the service and of the server.
        wait_until("packets per second", Duration::from_secs(6), || rate("TCP ") > 5 && rate("-> 10.") > 5);
        wait_until("silence", Duration::from_secs(60), || rate("TCP ") == 0 && rate("-> 10.") == 0);
        served(&lab, 80, 40);
        wait_until("packets again", Duration::from_secs(6), || rate("TCP ") > 5);
        ipvsadm(&lab, "-Z");
        assert_eq!(rate("TCP "), 0, "zeroing takes rates, too");
    });
}
