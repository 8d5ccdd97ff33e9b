//! `-h` and `-v`. The list of options is written from the table in [`crate::options`]; only the synopsis, which
//! says more than the table knows, is text.

use crate::options::{Argument, Definition, OPTIONS, Section};
use std::fmt::Write;

pub const VERSION: &str = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";

pub const SYNOPSIS: &str = "\
Usage:
  ipvsadm -A|E virtual-service [-s scheduler] [-p [timeout]] [-M netmask] [--pe persistence_engine] [-b sched-flags]
  ipvsadm -D virtual-service
  ipvsadm -C
  ipvsadm -R
  ipvsadm -S [-n]
  ipvsadm -a|e virtual-service -r server-address [options]
  ipvsadm -d virtual-service -r server-address
  ipvsadm -L|l [virtual-service] [options]
  ipvsadm -Z [virtual-service]
  ipvsadm --set tcp tcpfin udp
  ipvsadm --start-daemon {master|backup} [daemon-options]
  ipvsadm --stop-daemon {master|backup}
  ipvsadm -h
";

pub fn usage() -> String {
    let mut text = format!("{VERSION}{SYNOPSIS}\n");
    text.push_str("Commands:\nEither long or short options are allowed.\n");
    section(&mut text, Section::Commands);
    text.push_str("\nvirtual-service:\n");
    section(&mut text, Section::VirtualService);
    text.push_str("\nOptions:\n");
    section(&mut text, Section::Options);
    text.push_str("Daemon Options:\n");
    section(&mut text, Section::DaemonOptions);
    text
}

fn section(text: &mut String, section: Section) {
    let width = if section == Section::Commands { 28 } else { 36 };
    for definition in OPTIONS.iter().filter(|d| d.section == section) {
        let mut left = spelling(definition);
        for line in definition.help {
            let _ = writeln!(text, "  {left:<width$}{line}");
            left.clear();
        }
    }
}

/// An option with its short letter and its argument; each section has its own columns.
fn spelling(definition: &Definition) -> String {
    let long = format!("--{}", definition.long);
    let shorts: Vec<String> = definition.shorts.chars().map(|c| format!("-{c}")).collect();
    let shorts = shorts.join("|");
    let argument = match definition.argument {
        Argument::None => "",
        Argument::Required(name) | Argument::Optional(name) | Argument::Loose(name) => name,
    };
    match definition.section {
        Section::Commands if shorts.is_empty() => format!("{long} {argument}"),
        Section::Commands => format!("{long:<18}{shorts}"),
        Section::VirtualService if shorts.is_empty() => format!("{long:<17} {argument}"),
        Section::VirtualService => format!("{:<17} {argument}", format!("{long}|{shorts}")),
        Section::Options if shorts.is_empty() => format!("{long:<15} {argument}"),
        Section::Options => format!("{long:<15}{shorts} {argument}"),
        Section::DaemonOptions | Section::Unlisted => format!("{long} {argument}"),
    }
}
