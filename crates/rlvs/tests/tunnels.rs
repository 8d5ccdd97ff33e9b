//! Rules of tunnels: every kind, and real servers of another family than the service, set, listed, saved and restored.
//! (What tunnels make of packets is held against the kernel's recordings in `rlvs-control/tests/director`.)

mod common;

use common::{ipvsadm, ipvsadm_with, lab, try_as, within};
use rlvs::lab::Topology;

const RULES: [&str; 8] = [
    "-A -t 10.0.0.1:80 -s rr",
    "-a -t 10.0.0.1:80 -r 10.1.0.11:80 -i -w 1 --tun-type gre --tun-nocsum",
    "-a -t 10.0.0.1:80 -r 10.1.0.12:80 -i -w 2 --tun-type gue --tun-port 6080 --tun-remcsum",
    "-a -t 10.0.0.1:80 -r [2001:db8::1]:80 -i -w 1 --tun-type ipip",
    "-A -t [2001:db8::80]:80 -s rr",
    "-a -t [2001:db8::80]:80 -r 10.1.0.11:80 -i -w 1 --tun-type gre --tun-csum",
    "-a -t [2001:db8::80]:80 -r [2001:db8::1]:80 -i -w 1 --tun-type ipip",
    "-a -t [2001:db8::80]:80 -r [2001:db8::2]:80 -i -w 1 --tun-type gue --tun-port 6081 --tun-csum",
];

const LISTED: [&str; 8] = [
    "TCP  10.0.0.1:80 rr",
    "  -> 10.1.0.11:80                 Tunnel  gre:-c        1      0          0         ",
    "  -> 10.1.0.12:80                 Tunnel  gue:6080:r+c  2      0          0         ",
    "  -> [2001:db8::1]:80             Tunnel  ipip          1      0          0         ",
    "TCP  [2001:db8::80]:80 rr",
    "  -> 10.1.0.11:80                 Tunnel  gre:+c        1      0          0         ",
    "  -> [2001:db8::1]:80             Tunnel  ipip          1      0          0         ",
    "  -> [2001:db8::2]:80             Tunnel  gue:6081:+c   1      0          0         ",
];

#[test]
fn every_kind_is_listed_saved_and_restored() {
    within(60, || {
        let lab = lab(Topology::Dr);
        for rule in RULES {
            ipvsadm(&lab, rule);
        }
        let listed = ipvsadm(&lab, "-Ln --tun-info");
        assert_eq!(listed.lines().skip(3).collect::<Vec<_>>(), LISTED);
        let saved = ipvsadm(&lab, "-S -n");
        assert_eq!(saved.lines().collect::<Vec<_>>(), RULES);
        ipvsadm(&lab, "-C");
        ipvsadm_with(&lab, "-R", &saved);
        assert_eq!(ipvsadm(&lab, "-S -n"), saved);
    });
}

#[test]
fn a_server_is_found_by_its_family_too() {
    within(60, || {
        let lab = lab(Topology::Dr);
        // The first word of the IPv6 address is the IPv4 address.
        ipvsadm(&lab, "-A -t 10.0.0.1:80 -s rr");
        ipvsadm(&lab, "-a -t 10.0.0.1:80 -r 32.1.13.184:80 -i");
        ipvsadm(&lab, "-a -t 10.0.0.1:80 -r [2001:db8::]:80 -i -w 7");
        ipvsadm(&lab, "-d -t 10.0.0.1:80 -r 32.1.13.184:80");
        let left = "-a -t 10.0.0.1:80 -r [2001:db8::]:80 -i -w 7 --tun-type ipip";
        assert_eq!(ipvsadm(&lab, "-S -n").lines().nth(1), Some(left));
        let refused = try_as(lab.director(), "ipvsadm", "-a -t 10.0.0.1:80 -r [2001:db8::2]:80 -m", "");
        assert!(!refused.status.success());
    });
}
