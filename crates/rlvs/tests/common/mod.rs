//! What all end-to-end tests share: a lab of our own program, a time limit for each test, ipvsadm in the director, and
//! words for what a client saw. They make network namespaces and load BPF programs, so they need root; without it they
//! fail and say so, as a skipped test would look like a passed one.

#![allow(dead_code)] // each test file uses its own part

use rlvs::lab::client::Tally;
use rlvs::lab::{self, Host, Lab, Topology};
use std::process::Output;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

pub const MB: u64 = 1_000_000;

/// Our program, as cargo built it for these tests.
pub const RLVS: &str = env!("CARGO_BIN_EXE_rlvs");

/// Runs a test that may take `seconds`; if it hangs, everything is removed and the test program ends.
pub fn within(seconds: u64, test: impl FnOnce() + Send + 'static) {
    require_root();
    let (done, wait) = mpsc::channel::<()>();
    let name = thread::current().name().unwrap_or("test").to_owned();
    let worker = thread::Builder::new().name(name.clone()).spawn(move || {
        // Dropped at the end, also by a panic: that is the message.
        let _done = done;
        test();
    });
    let worker = worker.expect("a thread");
    if wait.recv_timeout(Duration::from_secs(seconds)) == Err(mpsc::RecvTimeoutError::Timeout) {
        eprintln!("{name} did not end within {seconds} s");
        lab::end_all();
        std::process::exit(101);
    }
    if let Err(panic) = worker.join() {
        std::panic::resume_unwind(panic);
    }
}

fn require_root() {
    // SAFETY: takes no arguments and always succeeds.
    let user = unsafe { libc::geteuid() };
    assert!(
        user == 0,
        "end-to-end tests make network namespaces and load BPF programs: run them as root (sudo)"
    );
}

/// A lab with three real servers that uses the program under test.
pub fn lab(topology: Topology) -> Lab {
    Lab::builder(topology).program(RLVS).build().expect("a lab")
}

/// How the balancer's output or anybody else's is shown when a test fails.
pub fn show(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Runs `rlvs ARGS` in a host; it must succeed. Returns its standard output.
pub fn rlvs(host: &Host, args: &str) -> String {
    let mut command = host.command(RLVS);
    command.args(args.split_whitespace());
    let output = host.output(command, "", Duration::from_secs(30)).expect("rlvs");
    assert!(output.status.success(), "rlvs {args}: {}", show(&output));
    String::from_utf8(output.stdout).expect("text")
}

pub fn tally<const N: usize>(counts: [(&str, usize); N]) -> Tally {
    counts.into_iter().map(|(name, n)| (name.to_owned(), n)).collect()
}
