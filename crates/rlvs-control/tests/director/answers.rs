//! The programs send no more ICMP errors than the kernel would, by its own settings.

use crate::compare::obey;
use crate::lab::{in_a_namespace, set_mtu};
use crate::run::{Programs, Verdict, Way};
use rlvs_testkit::Order;
use rlvs_testkit::lab::from_client;
use rlvs_testkit::packet::{SYN, at, tcp};

const RULES: [&str; 4] = [
    "-A -t 10.0.0.100:80 -s rr",
    "-A -t 10.0.0.100:81 -s rr",
    "-a -t 10.0.0.100:81 -r 10.1.0.1 -g",
    "-A -u 10.0.0.100:53 -s rr",
];

/// How many of `n` frames are answered.
fn answered(programs: &Programs, n: u32, frame: &[u8]) -> u32 {
    (0..n).map(|_| u32::from(programs.receive(frame, false).verdict == Verdict::Sent)).sum()
}

fn with_limit(per_host_millis: &str, test: impl FnOnce(&Programs) + Send) {
    in_a_namespace(|director| {
        let settings = [("icmp_ratemask", "6168"), ("icmp_ratelimit", per_host_millis)];
        for (name, value) in settings {
            std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value).unwrap();
        }
        RULES.iter().for_each(|rule| obey(director, &Order::parse(rule)));
        let programs = Programs::open(director, Way::Tc);
        set_mtu("s0", 1400);
        test(&programs);
    });
}

fn syn_of(client: &str) -> Vec<u8> {
    from_client(&tcp(at(client), at("10.0.0.100:80"), SYN).bytes())
}

#[test]
fn each_host_gets_six_at_once() {
    // (An hour, so that none is earned meanwhile.)
    with_limit("3600000", |programs| {
        assert_eq!(answered(programs, 20, &syn_of("172.16.0.1:1111")), 6);
        assert_eq!(answered(programs, 20, &syn_of("172.16.0.1:2222")), 0, "the same host");
        assert_eq!(answered(programs, 20, &syn_of("172.16.0.2:1111")), 6, "another one");
        let open = tcp(at("172.16.0.1:3333"), at("10.0.0.100:81"), SYN);
        assert_eq!(programs.receive(&from_client(&open.bytes()), false).verdict, Verdict::Sent);
        let large = open.with(|b| b.dont_fragment = true).data(&[0; 1440]);
        assert_eq!(answered(programs, 20, &from_client(&large.bytes())), 20, "\"too big\" is never withheld");
    });
}

#[test]
fn all_hosts_get_a_thousand_a_second() {
    with_limit("0", |programs| {
        let began = std::time::Instant::now();
        let all: u32 = (0..200).map(|n| answered(programs, 20, &syn_of(&format!("172.16.1.{n}:1")))).sum();
        let most = 50 + (began.elapsed().as_secs_f64() * 1100.0) as u32 + 50;
        assert!(all >= 50 && all <= most, "{all} of 4000, at most {most}");
    });
}
