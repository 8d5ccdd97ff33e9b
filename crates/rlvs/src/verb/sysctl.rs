//! `rlvs sysctl [NAME[=VALUE]…]`: the settings of `/proc/sys/net/ipv4/vs`.

use anyhow::Result;
use rlvs_control::Director;
use std::io::Write;

#[derive(clap::Args)]
pub struct Args {
    /// What to show, or to set (name=value); without any, everything is shown
    settings: Vec<String>,
    /// Show defaults and meanings, too
    #[arg(long, short)]
    verbose: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let mut director = Director::here()?;
    let mut shown = Vec::new();
    for setting in &args.settings {
        match setting.split_once('=') {
            Some((name, value)) => director.set_sysctl(name.trim(), value)?,
            None => shown.push(director.sysctl(setting.trim())?),
        }
    }
    if args.settings.is_empty() {
        shown = director.sysctls()?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        if !shown.is_empty() {
            serde_json::to_writer_pretty(&mut out, &shown)?;
            writeln!(out)?;
        }
        return Ok(());
    }
    for s in &shown {
        writeln!(out, "{} = {}", s.name, words(&s.value))?;
        if args.verbose {
            writeln!(out, "    {} (default {})", s.meaning, words(&s.default))?;
        }
    }
    Ok(())
}

fn words(value: &[u32]) -> String {
    value.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}
