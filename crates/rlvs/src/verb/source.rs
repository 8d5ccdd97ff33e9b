//! `rlvs source add|del|list`: the director's addresses that the servers of FULLNAT see.

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use rlvs_control::{Director, Source};
use std::io::Write;
use std::net::IpAddr;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Subcommand)]
enum Order {
    /// Let new connections come from this address, too; or change its ports
    Add {
        /// An address of this machine that the real servers have a route to
        address: IpAddr,
        /// Its ports, FIRST-LAST; those below the machine's own connections if not given
        #[arg(long, value_parser = ports)]
        ports: Option<(u16, u16)>,
    },
    /// Take an address out; connections that have it keep it
    Del { address: IpAddr },
    /// Show the addresses; none means the one that the route to each server gives
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

pub fn run(args: Args) -> Result<()> {
    let mut director = Director::here()?;
    match args.order {
        Order::Add { address, ports } => {
            let mut source = Source::new(address);
            if let Some((first, last)) = ports {
                (source.first_port, source.last_port) = (first, last);
            }
            Ok(director.add_source(&source)?)
        }
        Order::Del { address } => Ok(director.remove_source(address)?),
        Order::List { json } => list(&director.sources()?, json),
    }
}

/// As they were typed, so that a list can be given back.
fn list(sources: &[Source], json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, sources)?;
        writeln!(out)?;
        return Ok(());
    }
    for Source { address, first_port, last_port } in sources {
        writeln!(out, "{address} --ports {first_port}-{last_port}")?;
    }
    Ok(())
}

fn ports(word: &str) -> Result<(u16, u16)> {
    let Some((first, last)) = word.split_once('-') else {
        bail!("{word:?} is no range of ports; write FIRST-LAST, such as 1024-65535");
    };
    let port = |p: &str| p.parse::<u16>().with_context(|| format!("{p:?} is no port from 1 to 65535"));
    Ok((port(first)?, port(last)?))
}
