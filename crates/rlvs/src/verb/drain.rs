//! `rlvs drain` and `rlvs undrain`: the shell around `rlvs_daemon::drain`. It looks, waits, tells; the deciding is there.

mod show;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rlvs_control::{Director, bpffs};
use rlvs_daemon::drain::ledger::{Ledger, peek, since_boot};
use rlvs_daemon::drain::order::{self, Wanted};
use rlvs_daemon::drain::{Fate, RealServer, ServiceWord, Then, Watch};
use show::Progress;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The exit status when the deadline came before the last connection was gone.
const LEFT_AT_DEADLINE: i32 = 2;
/// 128 and the number of SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;

#[derive(clap::Args)]
pub struct Args {
    /// The real server: ADDR or ADDR:PORT, IPv6 as [ADDR]:PORT; without it, what is drained is listed
    #[arg(value_name = "RS")]
    server: Option<RealServer>,
    /// Only in this service: [tcp:|udp:|sctp:]ADDR:PORT or mark:N [default: all of its services]
    service: Option<ServiceWord>,
    /// Wait no longer than this: 30s, 5m, 1h, 0s [default: until the last connection is gone]
    #[arg(long, value_name = "TIME", value_parser = time)]
    deadline: Option<Duration>,
    /// Flows of UDP services go elsewhere at once, or stay as long as they send and are waited for [default: keep]
    #[arg(long)]
    udp: Option<FateWord>,
    /// Clients of persistent services go elsewhere with their next connection, or stay as long as persistence remembers
    /// them and are waited for [default: what the setting expire_quiescent_template says]
    #[arg(long)]
    persistent: Option<FateWord>,
    /// What becomes of the destination in the end: it is deleted, or keeps weight 0 [default: keep]
    #[arg(long)]
    then: Option<ThenWord>,
    /// Give a drain up: the same as `rlvs undrain`
    #[arg(long, requires = "server", conflicts_with_all = ["deadline", "udp", "persistent", "then"])]
    abort: bool,
    /// For programs: one object, when it is over
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct UndrainArgs {
    /// The real server: ADDR or ADDR:PORT, IPv6 as [ADDR]:PORT
    #[arg(value_name = "RS")]
    server: RealServer,
    /// Only in this service: [tcp:|udp:|sctp:]ADDR:PORT or mark:N
    service: Option<ServiceWord>,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FateWord {
    Expire,
    Keep,
}

#[derive(Clone, Copy, ValueEnum)]
enum ThenWord {
    Remove,
    Keep,
}

impl From<FateWord> for Fate {
    fn from(word: FateWord) -> Fate {
        match word {
            FateWord::Expire => Fate::Expire,
            FateWord::Keep => Fate::Keep,
        }
    }
}

impl From<ThenWord> for Then {
    fn from(word: ThenWord) -> Then {
        match word {
            ThenWord::Remove => Then::Remove,
            ThenWord::Keep => Then::Keep,
        }
    }
}

pub fn run(args: Args) -> Result<()> {
    let Some(server) = args.server else {
        return show::list(&peek(bpffs::netns_cookie()?)?, args.json);
    };
    if args.abort {
        return undrain(UndrainArgs { server, service: args.service, json: args.json });
    }
    let wanted = Wanted {
        server,
        service: args.service,
        deadline: args.deadline,
        udp: args.udp.map(Fate::from),
        persistent: args.persistent.map(Fate::from),
        then: args.then.map(Then::from),
    };
    end_on_signals()?;
    let mut director = Director::here()?;
    let cookie = bpffs::netns_cookie()?;
    let expires_templates = director.sysctl("expire_quiescent_template")?.value == [1];
    let mut ledger = Ledger::open(cookie)?;
    let mut watch = order::begin(&mut director, &mut ledger, &wanted, expires_templates, since_boot())?;
    drop(ledger);
    let mut progress = Progress::new(args.json);
    match wait(&mut director, cookie, &mut watch, &mut progress) {
        // Whoever read along has gone; the drain has not.
        Err(e) if is_broken_pipe(&e) => return Ok(()),
        other => other?,
    }
    if watch.pause(since_boot()).is_some() {
        eprintln!(
            "rlvs: interrupted; {server} stays drained: `rlvs drain {server}` waits again, `rlvs undrain {server}` gives its weight back"
        );
        std::process::exit(INTERRUPTED);
    }
    progress.finish(&watch)?;
    if watch.is_incomplete() {
        std::process::exit(LEFT_AT_DEADLINE);
    }
    Ok(())
}

/// Looks, tells and waits until all is over, or a signal came.
fn wait(director: &mut Director, cookie: u64, watch: &mut Watch, progress: &mut Progress) -> Result<()> {
    progress.begin(watch)?;
    while let Some(pause) = watch.pause(since_boot()) {
        let seen = order::look(director, &peek(cookie)?, watch)?;
        let now = since_boot();
        progress.seen(watch, &seen, now)?;
        for event in watch.look(now, &seen) {
            let drain = watch.drains()[event.index];
            let removed = order::end(director, &mut Ledger::open(cookie)?, &drain, &event)?;
            progress.over(&drain, &event, removed, now)?;
        }
        if ENDED.load(Ordering::Relaxed) {
            break;
        }
        if watch.pause(now).is_some() {
            // At least a hundredth: that is how finely the clock is read.
            std::thread::sleep(pause.max(Duration::from_millis(10)));
        }
    }
    Ok(())
}

pub fn undrain(args: UndrainArgs) -> Result<()> {
    let mut director = Director::here()?;
    let mut ledger = Ledger::open(bpffs::netns_cookie()?)?;
    let done = order::undrain(&mut director, &mut ledger, &args.server, args.service.as_ref())?;
    show::restored(&done, args.json)
}

static ENDED: AtomicBool = AtomicBool::new(false);

/// An interrupted command says what it leaves behind.
fn end_on_signals() -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // SAFETY: the handler only stores a flag.
        unsafe { signal_hook::low_level::register(signal, || ENDED.store(true, Ordering::Relaxed))? };
    }
    Ok(())
}

fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}

/// `500ms`, `30s`, `5m`, `1h`.
fn time(word: &str) -> Result<Duration> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (unit_ms, most) = match &word[digits.len()..] {
        "ms" => (1, 86_400_000),
        "s" => (1000, 86_400),
        "m" => (60_000, 1440),
        "h" => (3_600_000, 24),
        _ => bail!("{word:?} is no time: give a number with its unit, as in 500ms, 30s, 5m, 1h"),
    };
    let number: u64 = digits.parse().ok().filter(|n| *n <= most).with_context(|| {
        format!("{word:?} is no time of at most a day: give a number with its unit, as in 500ms, 30s, 5m, 1h")
    })?;
    Ok(Duration::from_millis(number * unit_ms))
}

/// A line of standard output, at once.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(time("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(time("1500ms").unwrap(), Duration::from_millis(1500));
        assert_eq!((time("5m").unwrap(), time("1h").unwrap()), (time("300s").unwrap(), time("60m").unwrap()));
        assert_eq!(time("0s").unwrap(), Duration::ZERO);
        for bad in ["", "30", "s", "-1s", "1.5s", "30 s", "25h", "99999999999999999999s", "3w", "ä"] {
            assert!(time(bad).unwrap_err().to_string().contains(bad), "{bad:?}");
        }
    }
}
