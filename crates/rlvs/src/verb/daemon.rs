//! `rlvs daemon` and `rlvs reload`: the servers' health looked after, and the configuration read again.

use super::config::Form;
use anyhow::{Context, Result, bail};
use rlvs_control::Director;
use rlvs_daemon::config::Format;
use rlvs_daemon::run::{self, Hand, Options, client};
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// A keepalived.conf, or a file of our TOML form
    #[arg(long, short = 'c', value_name = "FILE")]
    config: PathBuf,
    /// What FILE is [default: toml if its name ends in .toml, else keepalived]
    #[arg(long, value_enum)]
    from: Option<Form>,
    /// What lines @NAME of a keepalived.conf are for [default: this host's name up to the first dot]
    #[arg(long, short = 'i', value_name = "NAME")]
    config_id: Option<String>,
    /// Where to answer requests [default: daemon.sock below /run/rlvs/, in the directory of this network namespace]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Answer requests at this address, too, those that only read: /metrics, /v1/status, /v1/events; may be given again
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// There, too, answer requests that change something: whoever reaches the port can drain and reload
    #[arg(long, requires = "listen")]
    allow_changes: bool,
    /// At the end leave the rules as they are
    #[arg(long, short = 'I')]
    dont_release_ipvs: bool,
}

pub fn run(args: Args) -> Result<()> {
    let format = args.from.map_or_else(|| Format::of(&args.config), Format::from);
    let config_id = args.config_id.map_or_else(run::default_config_id, Ok)?;
    let options = Options {
        // Read again later, when the working directory may be another.
        config: std::path::absolute(&args.config).context("the configuration's path")?,
        format,
        config_id,
        socket: args.socket,
        directory: None,
        listen: args.listen,
        allow_changes: args.allow_changes,
        leave_rules: args.dont_release_ipvs,
    };
    run::run(options, Box::new(|| Ok(Box::new(Director::here()?) as Box<dyn Hand>)))
}

#[derive(clap::Args)]
pub struct Reload {
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Where the daemon answers [default: that of this network namespace]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub fn reload(args: Reload) -> Result<()> {
    let socket = match args.socket {
        Some(socket) => socket,
        None => run::place_here()?.socket(),
    };
    let path = if args.dry_run { "/v1/reload?dry_run=1" } else { "/v1/reload" };
    let (status, body) = client::ask(&socket, "POST", path)?;
    let answer: Value = serde_json::from_str(&body).context("the daemon's answer")?;
    if let Some(error) = answer["error"].as_str() {
        bail!("nothing was changed\n{error}");
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &answer)?;
        writeln!(out)?;
    } else {
        eprint!("{}", answer["warnings"].as_str().unwrap_or_default());
        print(&mut out, &answer)?;
    }
    let failed = answer["failed"].as_array().map_or(0, Vec::len);
    if failed > 0 {
        bail!("{failed} orders failed; they are tried again");
    }
    let problems = answer["problems"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let problems: Vec<&str> = problems.collect();
    if status != 200 || !problems.is_empty() {
        bail!("all else was done: {}", problems.join("; "));
    }
    Ok(())
}

fn print(out: &mut impl Write, answer: &Value) -> std::io::Result<()> {
    let difference = &answer["difference"];
    for (list, prefix) in
        [("orders", ""), ("checks_added", "add check "), ("checks_removed", "remove check ")]
    {
        for item in difference[list].as_array().into_iter().flatten() {
            writeln!(out, "{prefix}{}", item.as_str().unwrap_or_default())?;
        }
    }
    for failure in answer["failed"].as_array().into_iter().flatten() {
        let text = |key: &str| failure[key].as_str().unwrap_or_default().to_owned();
        writeln!(out, "failed: {}: {}", text("order"), text("error"))?;
    }
    let count = |list: &str| difference[list].as_array().map_or(0, Vec::len);
    let would = if answer["dry_run"].as_bool() == Some(true) { " (not done: a dry run)" } else { "" };
    writeln!(
        out,
        "{} orders; {} checks added, {} removed, {} untouched{would}",
        count("orders"),
        count("checks_added"),
        count("checks_removed"),
        difference["checks_kept"]
    )
}
