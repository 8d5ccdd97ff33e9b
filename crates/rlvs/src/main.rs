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
    /// Interfaces and modes, how full the tables are, drops by reason; with a daemon, the servers' health
    Status(verb::status::Args),
    /// Show packets as they pass, and what was decided about them: where to, or why they were dropped
    Trace(verb::trace::Args),
    /// Show or set what is in /proc/sys/net/ipv4/vs of a kernel with IPVS: same names, same meaning
    Sysctl(verb::sysctl::Args),
    /// Print what /proc/net/ip_vs and its siblings would
    Proc(verb::proc::Args),
    /// Give packets a firewall mark, for services by mark (ipvsadm -f)
    Mark(verb::mark::Args),
    /// Addresses of this machine that the servers of FULLNAT (ipvsadm --fullnat) see
    Source(verb::source::Args),
    /// Attach an interface, or attach it in another mode
    Attach(verb::attach::Attach),
    /// Take the programs off an interface
    Detach(verb::attach::Detach),
    /// Remove everything of this network namespace: programs, rules, connections
    Down,
    /// Make this host a real server: the VIP on lo, silence in ARP, tunnel packets taken out
    Realserver(verb::realserver::Args),
    /// Take a real server out of service gently: no new connections, and wait for the last one
    Drain(verb::drain::Args),
    /// Give a drained real server its weight back
    Undrain(verb::drain::UndrainArgs),
    /// Counters for Prometheus: print them once, or serve them
    Metrics(verb::metrics::Args),
    /// Check a keepalived.conf or its TOML form, or turn one into the other
    Config(verb::config::Args),
    /// Keep the rules in step with a configuration and with the servers' health
    Daemon(verb::daemon::Args),
    /// Have the daemon read its configuration again; what does not change is not touched
    Reload(verb::daemon::Reload),
    /// Compare schedulers under a synthetic load: the real brain, invented clients and servers; no root, no network
    Simulate(verb::simulate::Args),
    /// The same as calling this program by the name ipvsadm
    #[command(disable_help_flag = true)]
    Ipvsadm(verb::ipvsadm::Args),
    /// Write manual pages: `rlvs man ipvsadm | man -l -`
    Man(verb::man::Args),
    /// Write completions for a shell: `. <(rlvs completions bash)`
    Completions(verb::completions::Args),
    #[command(hide = true)]
    Responder(verb::responder::Args),
}

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    let name = std::path::Path::new(&name).file_name().and_then(|n| n.to_str()).unwrap_or("rlvs").to_owned();
    let rest: Vec<_> = args.collect();
    if let Some(status) = verb::ipvsadm::run(&name, &rest) {
        return status;
    }
    let done = match Cli::parse().verb {
        Verb::Demo(args) => verb::demo::run(args),
        Verb::Status(args) => verb::status::run(args),
        Verb::Trace(args) => verb::trace::run(args),
        Verb::Sysctl(args) => verb::sysctl::run(args),
        Verb::Proc(args) => verb::proc::run(args),
        Verb::Mark(args) => verb::mark::run(args),
        Verb::Source(args) => verb::source::run(args),
        Verb::Attach(args) => verb::attach::attach(args),
        Verb::Detach(args) => verb::attach::detach(args),
        Verb::Down => verb::attach::down(),
        Verb::Realserver(args) => verb::realserver::run(args),
        Verb::Drain(args) => verb::drain::run(args),
        Verb::Undrain(args) => verb::drain::undrain(args),
        Verb::Metrics(args) => verb::metrics::run(args),
        Verb::Ipvsadm(args) => return verb::ipvsadm::verb(args),
        Verb::Simulate(args) => verb::simulate::run(args),
        Verb::Config(args) => verb::config::run(args),
        Verb::Daemon(args) => verb::daemon::run(args),
        Verb::Reload(args) => verb::daemon::reload(args),
        Verb::Man(args) => verb::man::run(args),
        Verb::Completions(args) => verb::completions::run(args),
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
