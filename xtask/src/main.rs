//! Everything CI and a contributor run, as `cargo xtask VERB`. One module per verb.

mod bench;
mod bpf;
mod lint;
mod shell;
mod toolchain;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Everything CI and a contributor run", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the packet programs and write them to crates/rlvs-control/bpf
    Bpf(bpf::Args),
    /// Measure what a packet costs, in nanoseconds (needs root)
    Bench(bench::Args),
    /// Say whether the tools that build the packet programs are here, and which versions
    Toolchain,
    /// The rules of the house that clippy does not know: file length, dependency arrows, the packet path
    Lint,
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Bpf(args) => bpf::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Toolchain => toolchain::run(),
        Verb::Lint => lint::run(),
    };
    // Not `-> Result`: that would print a backtrace where RUST_BACKTRACE is set.
    done.map_or_else(
        |error| {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}
