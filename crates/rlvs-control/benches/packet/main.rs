//! Nanoseconds per packet of the director's programs, by `BPF_PROG_TEST_RUN`: `cargo xtask bench`.
//!
//! In a network namespace of its own the director gets one service, its table is filled with connections, and packets
//! of them are run through the loaded program: by a wrapper program ([`wrapper`]) that restores the packet each time
//! and changes its flow. The same wrapper in front of an empty program is what the time is compared with, in the same
//! round. What the numbers mean, and what they cannot tell: docs/bench.md.

mod cases;
mod net;
mod report;
mod stage;
mod wrapper;

use std::error::Error;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Args {
    json: bool,
    rounds: usize,
    part: Part,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// Packets by forwarding method, direction and size of the table.
    Packets,
    /// New connections by scheduler and number of servers.
    Schedulers,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args = arguments()?;
    net::enter_own_namespace()?;
    pin_to_last_processor();
    let net = net::build()?;
    let mut rows = Vec::new();
    let mut note = |measured: Vec<cases::Row>| {
        if !args.json {
            measured.iter().for_each(report::progress);
        }
        rows.extend(measured);
    };
    if args.part != Part::Schedulers {
        for case in cases::CASES {
            note(cases::measure(&case, &net, args.rounds)?);
        }
    }
    if args.part != Part::Packets {
        for scheduler in cases::SCHEDULERS {
            note(cases::measure_scheduler(scheduler, &net, args.rounds)?);
        }
    }
    if args.json { report::json(&rows, args.rounds) } else { report::table(&rows, args.rounds) }
}

fn arguments() -> Result<Args> {
    let mut args = Args { json: false, rounds: 9, part: Part::All };
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--bench" => {} // cargo says it to every benchmark
            "--json" => args.json = true,
            "--part=packets" => args.part = Part::Packets,
            "--part=schedulers" => args.part = Part::Schedulers,
            other => match other.strip_prefix("--rounds=") {
                Some(number) => args.rounds = number.parse()?,
                None => {
                    return Err(format!("unknown argument {other} (there are --json, --rounds=N, --part=packets and --part=schedulers)").into());
                }
            },
        }
    }
    if args.rounds == 0 {
        return Err("at least one round".into());
    }
    Ok(args)
}

/// So that caches and the processor's own counters stay warm; the last one has the least to do with interrupts.
fn pin_to_last_processor() {
    // SAFETY: a set of processors that lives over the calls; if they fail, we run anywhere.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return;
        }
        let last = (0..libc::CPU_SETSIZE as usize).rev().find(|cpu| libc::CPU_ISSET(*cpu, &set)).unwrap_or(0);
        libc::CPU_ZERO(&mut set);
        libc::CPU_SET(last, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}
