//! `ipvsadm -S` and the program `ipvsadm-save`: the table as command lines that `-R` reads.
//!
//! Everything a service and a server have is written. The original forgets thresholds (`-x`, `-y`), the mask of a
//! service that is not persistent, and a third flag of `sh` and `mh`; and it writes marks from 2^31 on as negative
//! numbers, and IPv6 hosts by name, both of which it then refuses to read. We do none of that.

use crate::address::Printer;
use crate::errors::Refusal;
use crate::list;
use crate::names::Names;
use crate::sched_flags;
use rlvs_control::model::*;
use rlvs_control::{Balancer, Result};
use std::fmt::Write;

const USAGE: &str = "ipvsadm-save: Script to save the IPVS table to stdout.\n   \
                     With the -n option, prints out the table in numeric format.";

/// Arguments of the program `ipvsadm-save`: whether to write numbers. Words without a dash mean nothing.
pub fn parse(args: &[String]) -> std::result::Result<bool, Refusal> {
    let mut options = args.iter().filter(|a| a.starts_with('-')).peekable();
    let numeric = options.peek().is_some();
    if options.all(|o| o == "-n") {
        return Ok(numeric);
    }
    Err(Refusal { text: USAGE.to_owned(), status: 1, ends_restore: true })
}

/// One line per service, followed by one for each of its servers.
pub fn text(numeric: bool, balancer: &mut dyn Balancer, names: &dyn Names) -> Result<String> {
    let printer = Printer { names, numeric };
    let mut text = String::new();
    for view in list::sorted(balancer.services()?) {
        let selector = selector(&view.service.key, &printer);
        let protocol = list::protocol_of(&view.service.key);
        let _ = writeln!(text, "-A {selector}{}", service_options(&view.service));
        for server in &view.destinations {
            let server = &server.destination;
            let host = printer.restorable(server.addr, server.port, protocol);
            let _ = writeln!(text, "-a {selector} -r {host}{}", server_options(server));
        }
    }
    Ok(text)
}

fn selector(key: &ServiceKey, printer: &Printer) -> String {
    match *key {
        ServiceKey::Address { protocol, addr, port } => {
            let option = match protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
            };
            format!("{option} {}", printer.restorable(addr, port, Some(protocol)))
        }
        ServiceKey::Fwmark { mark, family: Family::Inet } => format!("-f {mark}"),
        ServiceKey::Fwmark { mark, family: Family::Inet6 } => format!("-f {mark} -6"),
    }
}

fn service_options(service: &Service) -> String {
    let mut text = format!(" -s {}", service.scheduler);
    if let Some(Persistence { timeout_secs }) = service.persistence {
        let _ = write!(text, " -p {timeout_secs}");
    }
    if let Some(mask) = list::mask_of(service) {
        let _ = write!(text, " -M {mask}");
    }
    if let Some(engine) = &service.engine {
        let _ = write!(text, " --pe {engine}");
    }
    if service.one_packet {
        text.push_str(" -o");
    }
    if service.flags != SchedFlags::default() {
        let flags = sched_flags::every(service.flags, &service.scheduler);
        let _ = write!(text, " -b {flags}");
    }
    text
}

fn server_options(server: &Destination) -> String {
    let method = match server.method {
        Method::DirectRoute => "-g",
        Method::Masquerade => "-m",
        Method::Tunnel => "-i",
        Method::FullNat => "--fullnat",
    };
    let mut text = format!(" {method} -w {}", server.weight);
    if server.upper_threshold != 0 {
        let _ = write!(text, " -x {}", server.upper_threshold);
    }
    if server.lower_threshold != 0 {
        let _ = write!(text, " -y {}", server.lower_threshold);
    }
    if server.proxy_protocol {
        text.push_str(" --proxy-protocol");
    }
    if server.method == Method::Tunnel {
        let Tunnel { kind, port, checksum } = server.tunnel;
        let checksum = match checksum {
            TunnelChecksum::None => "--tun-nocsum",
            TunnelChecksum::Full => "--tun-csum",
            TunnelChecksum::Remote => "--tun-remcsum",
        };
        let _ = match kind {
            TunnelKind::Ipip => write!(text, " --tun-type ipip"),
            TunnelKind::Gre => write!(text, " --tun-type gre {checksum}"),
            TunnelKind::Gue => write!(text, " --tun-type gue --tun-port {port} {checksum}"),
        };
    }
    text
}
