//! `cargo xtask bench`: nanoseconds per packet of the loaded programs (see docs/bench.md).
//!
//! The measuring is rlvs-control's (`benches/packet`), since xtask uses nothing of ours; here it is only started.

use crate::shell;
use anyhow::Result;
use std::process::Command;

#[derive(clap::Args)]
pub struct Args {
    /// For programs
    #[arg(long)]
    json: bool,
    /// How often each thing is measured; the median counts
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure a part only: packets (by method, direction, size of the table) or schedulers (new connections)
    #[arg(long, value_parser = ["packets", "schedulers"])]
    part: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut bench = Command::new(cargo);
    bench.current_dir(shell::workspace());
    bench.args(["bench", "--quiet", "--package", "rlvs-control", "--bench", "packet", "--"]);
    bench.arg(format!("--rounds={}", args.rounds));
    if let Some(part) = &args.part {
        bench.arg(format!("--part={part}"));
    }
    if args.json {
        bench.arg("--json");
    }
    shell::run(&mut bench)
}
