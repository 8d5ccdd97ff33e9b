//! `rlvs mark add|list|flush`: firewall marks without netfilter, which packets meet only after the programs.

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use rlvs_control::model::Protocol;
use rlvs_control::{Director, MarkSpec};
use std::io::Write;
use std::net::IpAddr;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Subcommand)]
enum Order {
    /// Add a rule behind the others; the last rule that fits a packet decides
    Add(Add),
    /// Show the rules
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Remove all rules
    Flush,
}

#[derive(clap::Args)]
struct Add {
    /// The mark: 1 to 4294967295, decimal or 0x…
    #[arg(long, value_parser = number)]
    mark: u32,
    /// The transport protocol
    #[arg(long)]
    proto: Option<ProtocolWord>,
    /// Where packets come from: an address or ADDRESS/PREFIX
    #[arg(long, value_parser = network)]
    src: Option<(IpAddr, u8)>,
    /// Where they go to
    #[arg(long, value_parser = network)]
    dst: Option<(IpAddr, u8)>,
    /// Destination ports and ranges, separated by commas: 80,443,8000-9000
    #[arg(long, value_parser = ports)]
    dport: Option<Ports>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProtocolWord {
    Tcp,
    Udp,
    Sctp,
}

type Ports = std::sync::Arc<Vec<(u16, u16)>>;

pub fn run(args: Args) -> Result<()> {
    let mut director = Director::here()?;
    match args.order {
        Order::Add(add) => Ok(director.add_mark(&spec(&add))?),
        Order::Flush => Ok(director.flush_marks()?),
        Order::List { json } => list(&director.marks()?, json),
    }
}

fn spec(add: &Add) -> MarkSpec {
    let protocol = add.proto.map(|p| match p {
        ProtocolWord::Tcp => Protocol::Tcp,
        ProtocolWord::Udp => Protocol::Udp,
        ProtocolWord::Sctp => Protocol::Sctp,
    });
    let ports = add.dport.as_ref().map(|p| p.to_vec()).unwrap_or_default();
    MarkSpec { mark: add.mark, protocol, src: add.src, dst: add.dst, ports }
}

/// As they were typed, so that a list can be given back.
fn list(marks: &[MarkSpec], json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, marks)?;
        writeln!(out)?;
        return Ok(());
    }
    for m in marks {
        write!(out, "--mark {}", m.mark)?;
        if let Some(protocol) = m.protocol {
            let word = match protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
                Protocol::Sctp => "sctp",
            };
            write!(out, " --proto {word}")?;
        }
        for (option, net) in [("--src", m.src), ("--dst", m.dst)] {
            if let Some((addr, len)) = net {
                write!(out, " {option} {addr}/{len}")?;
            }
        }
        if !m.ports.is_empty() {
            let words: Vec<String> = m
                .ports
                .iter()
                .map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") })
                .collect();
            write!(out, " --dport {}", words.join(","))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn number(word: &str) -> Result<u32> {
    let parsed = match word.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => word.parse(),
    };
    match parsed {
        Ok(n) if n > 0 => Ok(n),
        _ => bail!("{word:?} is no number from 1 to 4294967295"),
    }
}

fn network(word: &str) -> Result<(IpAddr, u8)> {
    let (addr, len) = word.split_once('/').map_or((word, None), |(a, l)| (a, Some(l)));
    let addr: IpAddr = addr.parse().with_context(|| format!("{addr:?} is no address"))?;
    let bits = if addr.is_ipv4() { 32 } else { 128 };
    let len = match len {
        None => bits,
        Some(len) => {
            let len = len.parse().ok().filter(|l| *l <= bits);
            len.with_context(|| format!("{word:?}: a prefix has 0 to {bits} bits"))?
        }
    };
    Ok((addr, len))
}

fn ports(word: &str) -> Result<Ports> {
    let port = |p: &str| p.parse::<u16>().with_context(|| format!("{p:?} is no port from 0 to 65535"));
    let range = |r: &str| {
        let (first, last) = r.split_once('-').unwrap_or((r, r));
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            bail!("port range {r} runs backwards");
        }
        Ok((first, last))
    };
    Ok(std::sync::Arc::new(word.split(',').map(range).collect::<Result<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        assert_eq!(*ports("80,443,8000-9000").unwrap(), [(80, 80), (443, 443), (8000, 9000)]);
        assert_eq!(network("10.0.0.0/8").unwrap(), ("10.0.0.0".parse().unwrap(), 8));
        assert_eq!(network("fd00::1").unwrap().1, 128);
        assert_eq!((number("0x100").unwrap(), number("7").unwrap()), (256, 7));
        for bad in ["", "80,", "9-1", "70000", "a"] {
            assert!(ports(bad).is_err(), "{bad:?}");
        }
        for bad in ["10.0.0.0/33", "x", "10.0.0.0/", "::/129"] {
            assert!(network(bad).is_err(), "{bad:?}");
        }
        assert!(number("0").is_err() && number("-1").is_err() && number("4294967296").is_err());
    }
}
