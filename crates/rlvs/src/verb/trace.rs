//! `rlvs trace`: packets as they pass, and what was decided about them.

use anyhow::Result;
use clap::ValueEnum;
use rlvs_control::model::{Method, Protocol};
use rlvs_control::{Director, Outcome, TraceFilter, Traced};
use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Args {
    /// Only packets that were dropped, or answered with an ICMP error
    #[arg(long)]
    drops: bool,
    /// Only this transport protocol
    #[arg(long)]
    proto: Option<ProtocolWord>,
    /// Only from or to this address (as the packet came)
    #[arg(long)]
    host: Option<IpAddr>,
    /// Only from or to this port (as the packet came)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// One of so many packets that fit
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    one_in: u32,
    /// At most so many packets in a second; the others are counted
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// End after so many packets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    r#for: Option<u64>,
    /// One JSON object on each line, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProtocolWord {
    Tcp,
    Udp,
    Sctp,
}

pub fn run(args: Args) -> Result<()> {
    let filter = TraceFilter {
        drops: args.drops,
        protocol: args.proto.map(|p| match p {
            ProtocolWord::Tcp => Protocol::Tcp,
            ProtocolWord::Udp => Protocol::Udp,
            ProtocolWord::Sctp => Protocol::Sctp,
        }),
        host: args.host,
        port: args.port.unwrap_or(0),
        one_in: args.one_in,
        per_second: args.rate,
    };
    end_on_signals()?;
    let mut trace = Director::here()?.trace(&filter)?;
    let end = args.r#for.map(|secs| Instant::now() + Duration::from_secs(secs));
    let mut names = Names::default();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 && !ENDED.load(Ordering::Relaxed) {
        let limit = end.map_or(Duration::from_secs(1), |end| end.saturating_duration_since(Instant::now()));
        if limit.is_zero() {
            break;
        }
        let packets = trace.next(limit)?;
        let mut out = std::io::stdout().lock();
        for packet in packets.iter().take(left.try_into().unwrap_or(usize::MAX)) {
            left -= 1;
            let line = if args.json { serde_json::to_string(packet)? } else { line(packet, &mut names) };
            match writeln!(out, "{line}") {
                Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(()),
                other => other?,
            }
        }
        out.flush()?;
    }
    let lost = trace.lost();
    if lost > 0 {
        eprintln!("{lost} more packets were not shown: see --rate, --one-in, and the filters");
    }
    Ok(())
}

static ENDED: AtomicBool = AtomicBool::new(false);

/// Interrupted, it ends as if it were done: the programs shall not go on telling.
fn end_on_signals() -> Result<()> {
    extern "C" fn end(_: libc::c_int) {
        ENDED.store(true, Ordering::Relaxed);
    }
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler only stores a flag.
        unsafe { sigaction(signal, &action)? };
    }
    Ok(())
}

/// Interfaces by their numbers, asked once.
#[derive(Default)]
struct Names(HashMap<u32, String>);

impl Names {
    fn of(&mut self, ifindex: u32) -> &str {
        self.0.entry(ifindex).or_insert_with(|| {
            nix::net::if_::if_indextoname(ifindex)
                .map_or_else(|_| format!("if{ifindex}"), |name| name.to_string_lossy().into_owned())
        })
    }
}

/// `12:33.123456 tc eth0 TCP S 172.16.0.9:1111 > 10.0.0.100:80 60 B: NAT to 10.1.0.1:8080 by eth1`
fn line(p: &Traced, names: &mut Names) -> String {
    let micros = p.monotonic_ns / 1000;
    let protocol = match p.protocol {
        6 => format!("TCP {}", flags(p.tcp_flags)),
        17 => "UDP".to_string(),
        132 => "SCTP".to_string(),
        1 | 58 => "ICMP".to_string(),
        other => format!("protocol {other}"),
    };
    let ends = match p.protocol {
        1 | 58 => format!("{} > {}", p.source.ip(), p.destination.ip()),
        _ => format!("{} > {}", p.source, p.destination),
    };
    let head = format!(
        "{}.{:06} {} {} {protocol} {ends} {} B:",
        micros / 1_000_000,
        micros % 1_000_000,
        p.layer,
        names.of(p.from_ifindex),
        p.length_bytes
    );
    let why = p.reason.unwrap_or_default();
    let what = match (p.outcome, p.icmp) {
        (Outcome::Forwarded, _) => forwarded(p),
        (Outcome::Dropped, _) => format!("dropped, {why}"),
        (Outcome::Answered, Some((kind, code))) => format!("answered with ICMP {kind}/{code}, {why}"),
        (Outcome::Answered, None) => format!("answered, {why}"),
        (Outcome::Passed, _) => "passed to the local stack".to_string(),
    };
    match p.to_ifindex {
        Some(ifindex) => format!("{head} {what} by {}", names.of(ifindex)),
        None => format!("{head} {what}"),
    }
}

fn forwarded(p: &Traced) -> String {
    let method = match p.method {
        Some(Method::Masquerade) => "NAT",
        Some(Method::DirectRoute) => "DR",
        Some(Method::Tunnel) => "TUN",
        Some(Method::FullNat) => "FULLNAT",
        None => "forwarded",
    };
    match p.to {
        Some(to) if p.is_reply => format!("{method} reply, now from {to}"),
        Some(to) => format!("{method} to {to}"),
        None => method.to_string(),
    }
}

/// `S`, `PA`, … and `-` for none.
fn flags(bits: u8) -> String {
    let letters: String = [(2, 'S'), (1, 'F'), (4, 'R'), (8, 'P'), (16, 'A')]
        .iter()
        .filter(|(b, _)| bits & b != 0)
        .map(|(_, c)| c)
        .collect();
    if letters.is_empty() { "-".into() } else { letters }
}
