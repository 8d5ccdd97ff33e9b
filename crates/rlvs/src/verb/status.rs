//! `rlvs status`: interfaces and modes, how full the tables are, drops by reason, and what a daemon knows of the
//! servers' health.

use anyhow::Result;
use rlvs_control::{Director, Status};
use std::io::Write;

#[derive(clap::Args)]
pub struct Args {
    /// For programs
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let status = Director::here()?.status()?;
    let mut out = std::io::stdout().lock();
    let health = super::health::ask();
    if args.json {
        let mut status = serde_json::to_value(&status)?;
        status["health"] = health.unwrap_or_default();
        serde_json::to_writer_pretty(&mut out, &status)?;
        writeln!(out)?;
    } else {
        print(&mut out, &status)?;
        if let Some(health) = health {
            super::health::print(&mut out, &health)?;
        }
    }
    Ok(())
}

fn print(out: &mut impl Write, s: &Status) -> std::io::Result<()> {
    if !s.loaded {
        writeln!(out, "No rules in this network namespace; the first `ipvsadm -A` loads the programs.")?;
    }
    writeln!(out, "Kernel {}", s.kernel)?;
    writeln!(out, "\n{:<16} {:>7} {:<6} {:<12} Why", "Interface", "Index", "Mode", "XDP into it")?;
    for i in &s.interfaces {
        let mode = i.mode.map_or("-", |m| m.word());
        let target = if i.xdp_target { "yes" } else { "no" };
        writeln!(out, "{:<16} {:>7} {:<6} {:<12} {}", i.name, i.ifindex, mode, target, i.why)?;
    }
    if s.loaded {
        writeln!(out, "\n{:<16} {:>10} {:>10}", "Table", "Used", "Capacity")?;
        for m in &s.maps {
            writeln!(out, "{:<16} {:>10} {:>10}", m.name, m.used, m.capacity)?;
        }
        writeln!(out, "\n{:<16} {:>10} Meaning", "Dropped", "Packets")?;
        if s.drops.is_empty() {
            writeln!(out, "nothing")?;
        }
        for d in &s.drops {
            writeln!(out, "{:<16} {:>10} {}", d.reason, d.packets, d.meaning)?;
        }
    }
    Ok(())
}
