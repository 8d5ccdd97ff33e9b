//! The thin shell around the [`machine`](crate::machine): sockets, clocks, processes.
//!
//! ```text
//! run            reads the configuration, takes its place, starts the rest
//!   place        the directory below /run: lock, memory, socket
//!   hands        a thread that holds the director and carries out orders
//!   daemon       the loop: timers, outcomes, requests, signals go into the machine; what it says is done
//!   api          JSON over a Unix socket, and over TCP where that is asked for
//!   drains       what the API drains and undrains
//!   scripts      notify scripts and MISC_CHECK, as the configured user
//!   pipe         notify_fifo
//!   systemd      READY=1
//! ```
//!
//! Traffic never depends on any of it. Killed, the daemon leaves the rules as they are; the next one reads its memory
//! and goes on.

mod api;
pub mod client;
mod clock;
mod daemon;
mod drains;
mod hands;
mod pipe;
pub mod place;
mod reload;
pub mod scripts;
mod systemd;
mod tools;

use crate::config::model::Config;
use crate::config::report::Report;
use crate::config::source::Disk;
use crate::config::{Format, load};
use crate::drain::Drain;
use crate::metrics::Snapshot;
use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use place::Place;
use rlvs_control::model::Waiting;
use rlvs_control::{Balancer, Director, Source, Walk};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What `rlvs daemon` was told.
#[derive(Clone, Debug)]
pub struct Options {
    pub config: PathBuf,
    pub format: Format,
    /// What lines `@NAME` of a keepalived.conf are compared with.
    pub config_id: String,
    /// Where the API listens; in the daemon's directory, if not given.
    pub socket: Option<PathBuf>,
    /// The daemon's directory; that of the network namespace, if not given.
    pub directory: Option<PathBuf>,
    /// Where the API listens besides.
    pub listen: Vec<SocketAddr>,
    /// There, too, requests may change something.
    pub allow_changes: bool,
    /// At the end the rules stay.
    pub leave_rules: bool,
}

/// What the daemon needs of a director.
pub trait Hand: Balancer {
    fn snapshot(&mut self, drains: Vec<Drain>) -> rlvs_control::Result<Snapshot>;
    /// The setting `expire_quiescent_template`.
    fn expires_templates(&mut self) -> rlvs_control::Result<bool>;
    /// The pool of FULLNAT.
    fn set_sources(&mut self, sources: &[Source]) -> rlvs_control::Result<()>;
    /// The next part of the connections; at the end of a round, who waits for a masqueraded server's answer.
    fn waiting(&mut self, walk: &mut Walk) -> rlvs_control::Result<Option<Vec<Waiting>>>;
}

impl Hand for Director {
    fn snapshot(&mut self, drains: Vec<Drain>) -> rlvs_control::Result<Snapshot> {
        Snapshot::take(self, drains)
    }

    fn expires_templates(&mut self) -> rlvs_control::Result<bool> {
        Ok(self.sysctl("expire_quiescent_template")?.value == [1])
    }

    fn set_sources(&mut self, sources: &[Source]) -> rlvs_control::Result<()> {
        Director::set_sources(self, sources)
    }

    fn waiting(&mut self, walk: &mut Walk) -> rlvs_control::Result<Option<Vec<Waiting>>> {
        Director::waiting(self, walk)
    }
}

/// Opens the director of the calling thread's network namespace.
pub type Open = Box<dyn Fn() -> rlvs_control::Result<Box<dyn Hand>> + Send>;

/// Runs until it is told to stop.
pub fn run(options: Options, open: Open) -> Result<()> {
    let config = match read(&options) {
        Ok((config, warnings)) => {
            eprint!("{warnings}");
            config
        }
        Err(report) => bail!("{report}{}: nothing was started", options.config.display()),
    };
    // The rules may be in another network namespace than checks go out from.
    let outside = config.global.net_namespace.as_deref();
    let rules_in = config.global.net_namespace_ipvs.as_deref().or(outside).map(namespace).transpose()?;
    let (hands, found, place) = hands::start(open, rules_in, options.directory.clone())?;
    if let Some(name) = outside {
        enter(&namespace(name)?).with_context(|| format!("cannot enter the network namespace {name}"))?;
    }
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(daemon::run(options, config, hands, found, place))
}

/// The configuration with its warnings, or all that is wrong with it.
pub fn read(options: &Options) -> Result<(Config, String), String> {
    let (config, report) = load(&options.config, options.format, &options.config_id, &Disk);
    if report.has_errors() { Err(text(&report)) } else { Ok((config, text(&report))) }
}

fn text(report: &Report) -> String {
    report.render(false)
}

fn namespace(name: &str) -> Result<File> {
    let path = Path::new("/run/netns").join(name);
    File::open(&path).with_context(|| format!("no network namespace {name} ({})", path.display()))
}

/// Takes the calling thread (and threads it starts later) into a network namespace.
fn enter(namespace: &File) -> nix::Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWNET)
}

/// Ten thousand checks at once are ten thousand sockets.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// The name of this host up to the first dot, which is what `config_id` is if nobody says otherwise.
pub fn default_config_id() -> Result<String> {
    let name = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    Ok(name.split('.').next().unwrap_or_default().to_owned())
}

/// The place of the daemon of this network namespace.
pub fn place_here() -> Result<Place> {
    Place::of_this_namespace()
}
