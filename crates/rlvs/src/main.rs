//! The one program. Its name decides what it is: called `ipvsadm`, `ipvsadm-save` or `ipvsadm-restore` it is that
//! program, word for word; called anything else it takes a verb (`rlvs demo`, `rlvs status`, …).

mod verb;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Linux Virtual Server: a TCP and UDP load balancer whose packets never leave the kernel
#[derive(Parser)]
#[command(name = "rlvs", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show a whole cluster at work on this machine, in network namespaces of its own
    Demo(verb::demo::Args),
    /// Make this host a real server: the VIP on lo, silence in ARP, tunnel packets taken out
    Realserver(verb::realserver::Args),
    #[command(hide = true)]
    Responder(verb::responder::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Demo(args) => verb::demo::run(args),
        Verb::Realserver(args) => verb::realserver::run(args),
        Verb::Responder(args) => verb::responder::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rlvs: {error:#}");
            ExitCode::FAILURE
        }
    }
}
