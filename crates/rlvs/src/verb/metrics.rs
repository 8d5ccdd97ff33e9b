//! `rlvs metrics`: counters in Prometheus's text format, once or for every scrape. The work is in `rlvs_daemon::metrics`.

use anyhow::{Context, Result};
use clap::ValueEnum;
use rlvs_control::{Director, bpffs};
use rlvs_daemon::drain::ledger::peek;
use rlvs_daemon::metrics::serve::{Listen, Socket, serve};
use rlvs_daemon::metrics::{Names, Snapshot, render};
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub struct Args {
    /// Serve /metrics over HTTP instead of printing it: ADDR:PORT or unix:PATH (mode 0600)
    #[arg(long, value_name = "WHERE")]
    listen: Option<Listen>,
    /// Whose names: ours, those that node_exporter has for IPVS, or both
    #[arg(long, value_enum, default_value = "both")]
    names: NamesWord,
}

#[derive(Clone, Copy, ValueEnum)]
enum NamesWord {
    Rlvs,
    Node,
    Both,
}

pub fn run(args: Args) -> Result<()> {
    let names = match args.names {
        NamesWord::Rlvs => Names::Rlvs,
        NamesWord::Node => Names::Node,
        NamesWord::Both => Names::Both,
    };
    // Refused at once, not at the first scrape.
    let page = page(names)?;
    let Some(listen) = args.listen else {
        return match std::io::stdout().lock().write_all(page.as_bytes()) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        };
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(answer(&listen, names))
}

async fn answer(listen: &Listen, names: Names) -> Result<()> {
    let socket = Socket::open(listen).await.with_context(|| match listen {
        Listen::Tcp(addr) => format!("cannot listen on {addr}"),
        Listen::Unix(path) => format!("cannot listen on {}", path.display()),
    })?;
    if let Some(addr) = socket.addr() {
        eprintln!("rlvs: http://{addr}/metrics");
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        ended = serve(&socket, Arc::new(move || page(names).map_err(|e| format!("{e:#}")))) => Ok(ended?),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Opened anew each time: the rules may have gone (`rlvs down`) and come again.
fn page(names: Names) -> Result<String> {
    let mut director = Director::here()?;
    Ok(render(&Snapshot::take(&mut director, peek(bpffs::netns_cookie()?)?)?, names))
}
