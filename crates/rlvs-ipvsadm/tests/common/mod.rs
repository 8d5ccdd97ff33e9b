//! A balancer in memory that answers as the kernel was seen to, and a shell-less way to run the programs on it.

#![allow(dead_code, reason = "every test uses its own part")]

mod fake;
pub mod recording;

pub use fake::Fake;

use rlvs_control::Balancer;
use rlvs_control::model::{Protocol, ServiceView};
use rlvs_ipvsadm::{Io, Names};
use std::net::{IpAddr, Ipv4Addr};

/// What a program wrote, and its exit status.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub out: String,
    pub err: String,
    pub status: i32,
}

/// Runs `ipvsadm`, `ipvsadm-save` or `ipvsadm-restore`.
pub fn run(program: &str, args: &[String], stdin: &str, balancer: &mut dyn Balancer) -> Answer {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut stdin = stdin.as_bytes();
    let mut io = Io { stdin: &mut stdin, stdout: &mut out, stderr: &mut err, names: &RecordedNames };
    let status = match program {
        "ipvsadm" => rlvs_ipvsadm::run(args, balancer, &mut io),
        "ipvsadm-save" => rlvs_ipvsadm::run_save(args, balancer, &mut io),
        "ipvsadm-restore" => rlvs_ipvsadm::run_restore(args, balancer, &mut io),
        other => panic!("no program {other}"),
    };
    let text = |bytes| String::from_utf8(bytes).expect("answers are UTF-8");
    Answer { out: text(out), err: text(err), status }
}

/// `ipvsadm` with words that hold no blanks.
pub fn ipvsadm(line: &str, balancer: &mut dyn Balancer) -> Answer {
    let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    run("ipvsadm", &args, "", balancer)
}

/// Whether two tables hold the same rules, in whatever order, with whatever counters.
pub fn same_rules(a: &Fake, b: &Fake) -> bool {
    let same = |a: &ServiceView, b: &ServiceView| {
        let (x, y) = (&a.destinations, &b.destinations);
        a.service == b.service
            && x.len() == y.len()
            && x.iter().all(|x| y.iter().any(|y| x.destination == y.destination))
    };
    a.services.len() == b.services.len() && a.services.iter().all(|a| b.services.iter().any(|b| same(a, b)))
}

/// The few names of the host where the recordings were made.
pub struct RecordedNames;

const HOSTS: &[(&str, &str)] = &[
    ("localhost", "127.0.0.1"),
    ("a-name-that-is-longer-than-columns.example.org", "10.0.0.7"),
    ("short", "10.0.0.7"),
    ("six.example.org", "fd00:c::7"),
];

const SERVICES: &[(&str, u16, Protocol)] = &[
    ("ftp", 21, Protocol::Tcp),
    ("ssh", 22, Protocol::Tcp),
    ("telnet", 23, Protocol::Tcp),
    ("domain", 53, Protocol::Tcp),
    ("domain", 53, Protocol::Udp),
    ("http", 80, Protocol::Tcp),
    ("https", 443, Protocol::Tcp),
    ("sip", 5060, Protocol::Tcp),
    ("sip", 5060, Protocol::Udp),
    ("http-alt", 8080, Protocol::Tcp),
];

impl Names for RecordedNames {
    fn address_of(&self, host: &str) -> Option<Ipv4Addr> {
        HOSTS.iter().find(|h| h.0 == host).and_then(|h| match h.1.parse() {
            Ok(IpAddr::V4(v4)) => Some(v4),
            _ => None,
        })
    }

    fn host_at(&self, addr: IpAddr) -> Option<String> {
        HOSTS.iter().find(|h| h.1.parse() == Ok(addr)).map(|h| h.0.to_owned())
    }

    fn port_of(&self, service: &str, protocol: Protocol) -> Option<u16> {
        SERVICES.iter().find(|s| s.0 == service && s.2 == protocol).map(|s| s.1)
    }

    fn service_at(&self, port: u16, protocol: Protocol) -> Option<String> {
        SERVICES.iter().find(|s| s.1 == port && s.2 == protocol).map(|s| s.0.to_owned())
    }
}
