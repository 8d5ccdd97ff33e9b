//! `rlvs realserver agent`: tell directors how much this real server can take. The work is in `rlvs_daemon::weights::agent`.

use anyhow::{Context, Result, bail};
use rlvs_control::bpffs;
use rlvs_daemon::weights::agent::{Options, forced, serve::serve};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    order: Option<Order>,
    /// Where directors ask
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:3333")]
    listen: SocketAddr,
    /// The run queue is averaged with this time constant
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=600))]
    over: u16,
    /// By the load average of a minute instead of the run queue
    #[arg(long)]
    load_average: bool,
    /// Below this part of available memory the answer falls; 0: memory does not count
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    memory_low: u8,
    /// TCP connections at which there is no room for more [default: they do not count]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_connections: Option<u64>,
    /// The file with what `set` ordered [default: one for each network namespace, in /run/rlvs]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Order {
    /// Have the agent say this, whatever the load: drain, maint, NN%, or ready to have it measure again
    Set {
        state: String,
        /// The file that the agent was started with
        #[arg(long = "state", value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

pub fn run(args: Args) -> Result<()> {
    if let Some(Order::Set { state, file }) = args.order {
        let order = forced::order(&state).map_err(anyhow::Error::msg)?;
        let file = state_file(file)?;
        return forced::write(&file, order).with_context(|| format!("writing {}", file.display()));
    }
    let options = Options {
        memory_low_percent: args.memory_low,
        most_connections: args.max_connections,
        by_load_average: args.load_average,
    };
    let state = state_file(args.state)?;
    // Not found out at the first question.
    if let Err(why) = forced::read(&state) {
        bail!("{why}; `rlvs realserver agent set ready` starts anew");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
        eprintln!("rlvs: agent on {}", listener.local_addr()?);
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            ended = serve(&listener, options, Duration::from_secs(args.over.into()), state) => Ok(ended?),
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    })
}

fn state_file(given: Option<PathBuf>) -> Result<PathBuf> {
    match given {
        Some(file) => Ok(file),
        None => Ok(forced::default_file(bpffs::netns_cookie()?)),
    }
}
