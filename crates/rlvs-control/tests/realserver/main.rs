//! The real server's side, in namespaces of the tests' own: `up`, `down` and `status` (here), silence in ARP ([`arp`]),
//! the program that takes requests out of their tunnel ([`decap`], [`families`], [`pieces`]) and the one that lowers the MSS ([`clamp`]). Needs root.

mod arp;
mod clamp;
mod decap;
mod families;
mod net;
mod packets;
mod pieces;

use aya::programs::{TcAttachType, tc};
use net::{Net, add_address, set_sysctl, set_up, snapshot, sysctl};
use rlvs_control::realserver::{self, Clamp, Decap, Tunnel, Wanted};
use rlvs_control::{Error, bpffs};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const VIP: &str = "10.99.0.100";
const OTHER_VIP: &str = "10.99.0.101";

fn dr(vips: &[&str], devices: &[&str]) -> Wanted {
    Wanted {
        vips: vips.iter().map(|v| v.parse().unwrap()).collect(),
        devices: devices.iter().map(ToString::to_string).collect(),
        tunnel: None,
        decap: Decap::Auto,
        clamp: None,
    }
}

/// With our own program, whatever the kernel has.
fn tun(vips: &[&str], devices: &[&str]) -> Wanted {
    Wanted { tunnel: Some(Tunnel::Ipip), decap: Decap::Ebpf, ..dr(vips, devices) }
}

fn pins() -> PathBuf {
    bpffs::base().unwrap().join(format!("ns-{}", bpffs::netns_cookie().unwrap())).join("realserver")
}

/// Those of the program that lowers the MSS.
fn clamp_pins() -> PathBuf {
    pins().with_file_name("realserver-mss")
}

fn journal() -> PathBuf {
    format!("/run/rlvs/realserver-{}.json", bpffs::netns_cookie().unwrap()).into()
}

fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter(|k| before.get(*k) != after.get(*k)).cloned().collect()
}

fn assert_nothing_left(before: &BTreeMap<String, String>) {
    assert_eq!(differences(before, &snapshot()), [""; 0]);
    assert!(!pins().exists() && !clamp_pins().exists(), "pins are left");
    assert!(!journal().exists(), "the journal is left");
    assert!(!realserver::status().unwrap().up);
}

#[test]
fn down_restores_what_was_there() {
    let net = Net::new();
    net.server.run(|| {
        // Something is there already, and not the defaults.
        set_sysctl("all/rp_filter", "1");
        set_sysctl("a1/arp_announce", "1");
        let before = snapshot();
        for wanted in [
            dr(&[VIP], &[]),
            dr(&[VIP, "fd00::1"], &["a0"]),
            tun(&[VIP, OTHER_VIP], &[]),
            tun(&[VIP], &["a0"]),
            Wanted { clamp: Some(Clamp::Auto), ..tun(&[VIP, OTHER_VIP], &[]) },
            Wanted { clamp: Some(Clamp::To(1300)), ..dr(&[VIP, "fd00::1"], &["a0"]) },
        ] {
            assert!(realserver::up(&wanted).unwrap().changes > 0);
            let status = realserver::status().unwrap();
            assert!(status.up && status.complete, "{wanted:?}: {status:#?}");
            assert_ne!(differences(&before, &snapshot()), [""; 0]);
            realserver::down().unwrap();
            assert_nothing_left(&before);
        }
    });
}

#[test]
fn twice_is_harmless() {
    let net = Net::new();
    net.server.run(|| {
        let before = snapshot();
        assert_eq!(realserver::down().unwrap().changes, 0);
        realserver::up(&tun(&[VIP], &[])).unwrap();
        let once = snapshot();
        assert_eq!(realserver::up(&tun(&[VIP], &[])).unwrap().changes, 0);
        assert_eq!(differences(&once, &snapshot()), [""; 0]);
        // Adding a VIP keeps the first.
        realserver::up(&dr(&[OTHER_VIP], &[])).unwrap();
        let status = realserver::status().unwrap();
        assert!(status.complete, "{status:#?}");
        assert_eq!(status.vips.len(), 2);
        realserver::down().unwrap();
        assert_nothing_left(&before);
        assert_eq!(realserver::down().unwrap().changes, 0);
        assert_nothing_left(&before);
    });
}

#[test]
fn up_repairs_what_was_undone_and_status_names_it() {
    let net = Net::new();
    net.server.run(|| {
        let before = snapshot();
        realserver::up(&tun(&[VIP], &[])).unwrap();
        set_sysctl("all/arp_ignore", "0");
        // tcx by its link; below 6.6 the filter.
        if std::fs::remove_file(pins().join(format!("link-{}", net::index("a0")))).is_err() {
            tc::qdisc_detach_program("a0", TcAttachType::Ingress, "rlvs_realserver").unwrap();
        }
        // The kernel lets go of an unpinned link a little later.
        let names_a0 = || realserver::status().unwrap().missing.iter().any(|m| m.contains("a0"));
        (0..200).take_while(|_| !names_a0()).for_each(|_| std::thread::sleep(Duration::from_millis(10)));
        let status = realserver::status().unwrap();
        assert!(!status.complete);
        assert!(status.missing.iter().any(|m| m.contains("arp_ignore")), "{:?}", status.missing);
        assert!(status.missing.iter().any(|m| m.contains("a0")), "{:?}", status.missing);
        realserver::up(&tun(&[VIP], &[])).unwrap();
        assert!(realserver::status().unwrap().complete);
        realserver::down().unwrap();
        assert_nothing_left(&before);
    });
}

/// Its tunnel is open as well: that does a VIP of DR no harm.
#[test]
fn an_ipv6_vip_without_a_tunnel_beside_one_with() {
    let net = Net::new();
    net.server.run(|| {
        realserver::up(&tun(&[VIP], &[])).unwrap();
        realserver::up(&dr(&["fd00::1"], &[])).unwrap();
        let status = realserver::status().unwrap();
        assert!(status.complete, "{:?}", status.missing);
    });
}

#[test]
fn what_somebody_else_did_stays() {
    let net = Net::new();
    net.server.run(|| {
        // The VIP was there before us, and somebody sets arp_ignore to 2 after us.
        add_address("lo", VIP, 32);
        realserver::up(&dr(&[VIP], &[])).unwrap();
        set_sysctl("all/arp_ignore", "2");
        let done = realserver::down().unwrap();
        assert!(done.notes.iter().any(|n| n.contains("arp_ignore")), "{done:?}");
        assert_eq!((sysctl("all/arp_ignore").as_str(), sysctl("all/arp_announce").as_str()), ("2", "0"));
        assert!(snapshot()["fib_trie"].contains(VIP));
    });
}

#[test]
fn with_dev_only_that_interface_is_touched() {
    let net = Net::new();
    net.server.run(|| {
        let before = snapshot();
        realserver::up(&tun(&[VIP], &["a0"])).unwrap();
        let touched = differences(&before, &snapshot());
        let conf = "/proc/sys/net/ipv4/conf/a0";
        assert_eq!(
            touched,
            [format!("{conf}/arp_announce"), format!("{conf}/arp_ignore"), "fib_trie".into()]
        );
        let status = realserver::status().unwrap();
        let on: Vec<_> = status.decapsulation.unwrap().devices.into_iter().map(|d| d.device).collect();
        assert_eq!(on, ["a0"]);
    });
}

#[test]
fn a_strict_filter_on_all_is_met_by_a_loose_one_on_the_interface() {
    let net = Net::new();
    net.server.run(|| {
        set_sysctl("all/rp_filter", "1");
        for wanted in [dr(&[VIP], &["a0"]), tun(&[VIP], &["a0"])] {
            realserver::up(&wanted).unwrap();
            assert_eq!(sysctl("a0/rp_filter"), "2");
            assert_eq!((sysctl("all/rp_filter"), sysctl("a1/rp_filter")), ("1".into(), "0".into()));
            realserver::down().unwrap();
            assert_eq!(sysctl("a0/rp_filter"), "0");
        }
        // Off stays off.
        set_sysctl("all/rp_filter", "0");
        realserver::up(&tun(&[VIP], &["a0"])).unwrap();
        assert_eq!(sysctl("a0/rp_filter"), "0");
    });
}

#[test]
fn refusals_name_the_value_and_change_nothing() {
    let net = Net::new();
    net.server.run(|| {
        add_address("a1", "198.51.100.50", 24);
        let before = snapshot();
        for (wanted, words) in [
            (dr(&[VIP], &["nosuch0"]), "nosuch0"),
            (dr(&[VIP], &["lo"]), "does not face the network"),
            (dr(&[VIP, "224.0.0.9"], &[]), "224.0.0.9"),
            (dr(&["198.51.100.50"], &[]), "is on a1 already"),
            (dr(&["198.51.100.255"], &[]), "broadcast"),
            (dr(&[], &[]), "no VIP given"),
            (Wanted { decap: Decap::Kernel, ..tun(&["fd00::1"], &[]) }, "IPv4 in IPv4 alone"),
            (Wanted { tunnel: Some(Tunnel::Gre), decap: Decap::Kernel, ..dr(&[VIP], &[]) }, "for gre"),
        ] {
            let error = realserver::up(&wanted).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert_nothing_left(&before);
        }
        // No interface to attach to.
        set_up("a0", false);
        set_up("a1", false);
        let before = snapshot();
        let error = realserver::up(&tun(&[VIP], &[])).unwrap_err().to_string();
        assert!(error.contains("no interface is up"), "{error}");
        assert_nothing_left(&before);
    });
}

#[test]
fn tunnels_by_name() {
    let all = [("ipip", Tunnel::Ipip), ("gre", Tunnel::Gre), ("gue:6080", Tunnel::Gue { port: 6080 })];
    for (text, tunnel) in all {
        assert_eq!((text.parse().unwrap(), tunnel.to_string()), (tunnel, text.to_string()));
    }
    for (text, words) in [("gue", "gue:6080"), ("gue:0", "gue:0"), ("gue:70000", "65535"), ("l2tp", "l2tp")] {
        let error = text.parse::<Tunnel>().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_half_failed_up_undoes_itself() {
    let net = Net::new();
    net.server.run(|| {
        // Means 0 to the kernel, and hides our 2. Found out when arp_ignore is set already.
        set_sysctl("all/arp_announce", "3");
        let before = snapshot();
        let error = realserver::up(&tun(&[VIP], &[])).unwrap_err();
        assert!(matches!(&error, Error::Invalid(why) if why.contains("arp_announce is 3")), "{error}");
        assert_nothing_left(&before);
        // And one that is up already stays as it was.
        set_sysctl("all/arp_announce", "0");
        realserver::up(&dr(&[VIP], &[])).unwrap();
        let up = (snapshot(), std::fs::read(journal()).unwrap());
        set_up("a0", false);
        set_up("a1", false);
        realserver::up(&tun(&[OTHER_VIP], &[])).unwrap_err();
        set_up("a0", true);
        set_up("a1", true);
        assert_eq!(std::fs::read(journal()).unwrap(), up.1);
        assert!(!snapshot()["fib_trie"].contains(OTHER_VIP));
        assert!(realserver::status().unwrap().complete);
    });
}
