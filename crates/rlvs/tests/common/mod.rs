//! What all end-to-end tests share: a lab of our own program, a time limit for each test, ipvsadm in the director, and
//! words for what a client saw. They make network namespaces and load BPF programs, so they need root; without it they
//! fail and say so, as a skipped test would look like a passed one.

#![allow(dead_code)] // each test file uses its own part

pub mod mtu;

use rlvs::lab::client::Tally;
use rlvs::lab::{self, Host, Lab, Topology, VIP};
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::process::{Child, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

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

/// A lab with three real servers that uses the program under test, and nothing set up in it.
pub fn lab(topology: Topology) -> Lab {
    Lab::builder(topology).program(RLVS).build().expect("a lab")
}

/// A lab that shows the director's state when a test fails in it.
pub struct Cluster(Lab);

impl Deref for Cluster {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.0
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !thread::panicking() || lab::interrupted() {
            return;
        }
        for (name, args) in [("ipvsadm", "-Ln --stats"), ("ipvsadm", "-Lnc"), ("rlvs", "status")] {
            let mut command = self.director().command(RLVS);
            command.arg0(name).args(args.split_whitespace());
            let shown = self.director().output(command, "", Duration::from_secs(5));
            eprintln!(
                "--- {name} {args}: {}",
                shown.map_or_else(|e| format!("{e:#}"), |output| show(&output))
            );
        }
    }
}

/// A lab whose real servers are ready to serve ports 80 and 81 (TCP) and 53 (UDP), and hold the VIP where they must.
pub fn cluster(topology: Topology) -> Cluster {
    ready(lab(topology))
}

/// The same of a lab built otherwise.
pub fn ready(lab: Lab) -> Cluster {
    let topology = lab.topology();
    let lab = Cluster(lab);
    lab.serve_all(&[80, 81], &[53]).expect("responders");
    let up = match topology {
        Topology::Nat => None,
        Topology::Dr | Topology::OneArm => Some(format!("realserver up --vip {VIP}")),
        Topology::Tun => Some(format!("realserver up --vip {VIP} --tunnel ipip")),
    };
    if let Some(up) = up {
        for server in lab.servers() {
            rlvs(server, &up);
            lab.at_end(server.name(), &["realserver", "down"]).expect("noted");
        }
    }
    lab.at_end("director", &["down"]).expect("noted");
    lab
}

/// Attaches the director's programs to its interfaces in one mode: `xdp`, `skb` or `tc`.
pub fn attach(lab: &Lab, mode: &str) {
    for device in lab.director().devices() {
        rlvs(lab.director(), &format!("attach {device} --mode {mode}"));
    }
}

/// Adds a service with real servers 1, 2, … of these weights.
pub fn serve(lab: &Lab, proto: Proto, port: u16, scheduler: &str, weights: &[u32]) {
    ipvsadm(lab, &format!("-A {} -s {scheduler}", proto.key(port)));
    for (n, weight) in (1..).zip(weights) {
        ipvsadm(
            lab,
            &format!("-a {} -r {} {} -w {weight}", proto.key(port), real(lab, n, port), method(lab)),
        );
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    Tcp,
    Udp,
}

impl Proto {
    /// `-t 10.0.0.100:80`
    pub fn key(self, port: u16) -> String {
        let option = if self == Proto::Tcp { "-t" } else { "-u" };
        format!("{option} {VIP}:{port}")
    }
}

/// Real server `n` as ipvsadm names it.
pub fn real(lab: &Lab, n: usize, port: u16) -> String {
    format!("{}:{port}", lab.server(n).addr())
}

/// The option for the way of forwarding this lab is wired for.
pub fn method(lab: &Lab) -> &'static str {
    match lab.topology() {
        Topology::Nat => "-m",
        Topology::Dr | Topology::OneArm => "-g",
        Topology::Tun => "-i",
    }
}

/// Runs `rlvs ARGS` in a host; it must succeed. Returns its standard output.
pub fn rlvs(host: &Host, args: &str) -> String {
    must(&format!("rlvs {args}"), try_as(host, "rlvs", args, ""))
}

/// A program of ours that serves until this is dropped.
pub struct Serving(Child);

impl Serving {
    /// Starts `rlvs ARGS` in a host.
    pub fn start(host: &Host, args: &str) -> Serving {
        let mut command = host.command(RLVS);
        command.args(args.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Serving(host.start(command).expect("a program"))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `ipvsadm ARGS` in the director; it must succeed. Returns its standard output.
pub fn ipvsadm(lab: &Lab, args: &str) -> String {
    ipvsadm_with(lab, args, "")
}

/// The same with something on its standard input.
pub fn ipvsadm_with(lab: &Lab, args: &str, input: &str) -> String {
    must(&format!("ipvsadm {args}"), try_as(lab.director(), "ipvsadm", args, input))
}

/// Runs our program under a name of its own choice, whatever comes of it.
pub fn try_as(host: &Host, name: &str, args: &str, input: &str) -> Output {
    let mut command = host.command(RLVS);
    command.arg0(name).args(args.split_whitespace());
    host.output(command, input, Duration::from_secs(30)).expect(name)
}

fn must(what: &str, output: Output) -> String {
    assert!(output.status.success(), "{what}: {}", show(&output));
    String::from_utf8(output.stdout).expect("text")
}

fn show(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// A line of `ipvsadm -Ln` about a real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub service: String,
    pub server: String,
    pub weight: u32,
    pub active: u32,
    pub inactive: u32,
}

/// The real servers as `ipvsadm -Ln` lists them.
pub fn listing(lab: &Lab) -> Vec<Line> {
    let text = ipvsadm(lab, "-Ln");
    let mut lines = vec![];
    let mut service = String::new();
    for line in text.lines().skip(3) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["->", server, _method, weight, active, inactive] => lines.push(Line {
                service: service.clone(),
                server: server.to_owned(),
                weight: weight.parse().expect(line),
                active: active.parse().expect(line),
                inactive: inactive.parse().expect(line),
            }),
            [proto, key, ..] => service = format!("{proto} {key}"),
            _ => panic!("a line of ipvsadm -Ln: {line:?}"),
        }
    }
    lines
}

/// Active and inactive connections of all real servers together.
pub fn connections(lab: &Lab) -> (u32, u32) {
    listing(lab).iter().fold((0, 0), |(a, i), line| (a + line.active, i + line.inactive))
}

/// Waits until `done`, for `limit` at most.
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    wait_for(what, limit, || done().then_some(()));
}

/// Waits until there is an answer, for `limit` at most.
pub fn wait_for<T>(what: &str, limit: Duration, mut answer: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

pub fn tally<const N: usize>(counts: [(&str, usize); N]) -> Tally {
    counts.into_iter().map(|(name, n)| (name.to_owned(), n)).collect()
}
