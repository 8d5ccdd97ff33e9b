//! A director with a daemon, and real servers that can be stopped.

use crate::common::{self, Cluster, RLVS, ipvsadm, listing, ready, try_as, wait_for, wait_until};
use rlvs::lab::{Lab, Topology};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const SOON: Duration = Duration::from_secs(20);

/// A NAT cluster; the real servers serve port 80 as in all tests, and port 8000 by programs of their own.
pub struct Farm {
    pub lab: Cluster,
    servers: BTreeMap<usize, Child>,
    config: PathBuf,
    program: String,
    file: Option<String>,
    environment: Vec<(String, String)>,
    daemon: Option<Child>,
}

impl Farm {
    pub fn new() -> Farm {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let lab = ready(Lab::builder(Topology::Nat).program(RLVS).build().expect("a lab"));
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let config = std::env::temp_dir().join(format!("rlvs-daemon-{}-{n}.conf", std::process::id()));
        let (servers, program) = (BTreeMap::new(), RLVS.to_owned());
        let mut farm = Farm { lab, servers, config, program, file: None, environment: vec![], daemon: None };
        (1..=3).for_each(|n| farm.start_server(n));
        farm
    }

    /// One whose configuration is TOML.
    pub fn toml() -> Farm {
        let mut farm = Farm::new();
        farm.config.set_extension("toml");
        farm
    }

    pub fn start_server(&mut self, n: usize) {
        let host = self.lab.server(n);
        let mut command = host.command(RLVS);
        command.args(["responder", host.name(), "--tcp", "8000"]).stdout(Stdio::null());
        let child = host.start(command).expect("a responder");
        self.servers.insert(n, child);
        let addr = host.addr();
        wait_until("the responder", SOON, || {
            self.lab.director().run(|| std::net::TcpStream::connect((addr, 8000)).is_ok())
        });
    }

    pub fn kill_server(&mut self, n: usize) {
        let mut child = self.servers.remove(&n).expect("a server that runs");
        child.kill().expect("killed");
        child.wait().expect("ended");
    }

    pub fn write(&self, text: &str) {
        std::fs::write(&self.config, text).expect("the configuration");
    }

    pub fn config(&self) -> &str {
        self.config.to_str().expect("text")
    }

    /// Another file than its own.
    pub fn use_file(&mut self, path: &str) {
        self.file = Some(path.to_owned());
    }

    /// Another daemon than the one that was built for the tests.
    pub fn use_program(&mut self, path: &str) {
        self.program = path.to_owned();
    }

    /// For daemons that are started from now on.
    pub fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A daemon that was started otherwise.
    pub fn adopt(&mut self, daemon: Child) {
        self.daemon = Some(daemon);
    }

    /// Starts the daemon and waits until it is ready.
    pub fn start(&mut self, more: &[&str]) {
        self.start_only(more);
        wait_for("the daemon", SOON, || {
            let exited = self.daemon.as_mut().expect("started").try_wait().expect("a child");
            assert!(exited.is_none(), "the daemon ended: {exited:?}");
            self.try_health()
        });
    }

    pub fn start_only(&mut self, more: &[&str]) {
        let director = self.lab.director();
        let mut command = director.command(&self.program);
        let file = self.file.as_deref().unwrap_or(self.config());
        command.args(["daemon", "--config", file]).args(more);
        command.stdin(Stdio::null()).envs(self.environment.iter().cloned());
        self.daemon = Some(director.start(command).expect("a daemon"));
    }

    /// Nobody has ended the daemon.
    pub fn runs(&self) -> bool {
        self.daemon.is_some()
    }

    /// The health part of `rlvs status --json`.
    pub fn try_health(&self) -> Option<Value> {
        let status = common::rlvs(self.lab.director(), "status --json");
        let status: Value = serde_json::from_str(&status).expect("JSON");
        Some(status["health"].clone()).filter(|health| !health.is_null())
    }

    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("a daemon").id()
    }

    pub fn signal(&mut self, signal: i32) {
        let pid = self.pid();
        // SAFETY: a system call on a number; the process is a child that was not waited for, so the number is its own.
        assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0);
    }

    /// Waits for the end of the daemon.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        let mut daemon = self.daemon.take().expect("a daemon");
        wait_for("the end of the daemon", SOON, || daemon.try_wait().expect("a child"))
    }

    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.ended();
    }

    pub fn reload(&self, args: &str) -> String {
        common::rlvs(self.lab.director(), &format!("reload {args}"))
    }

    /// What `rlvs reload` says when it is refused.
    pub fn refused_reload(&self) -> String {
        let output = try_as(self.lab.director(), "rlvs", "reload", "");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("text")
    }

    /// `rs1 rs3`: the servers of a service that take connections.
    pub fn serving(&self, service: &str) -> Vec<String> {
        let lines = listing(&self.lab).into_iter();
        let mut names: Vec<String> = lines
            .filter(|line| line.service == service && line.weight > 0)
            .map(|line| self.name(line.server.split(':').next().unwrap_or_default()))
            .collect();
        names.sort();
        names
    }

    fn name(&self, addr: &str) -> String {
        let server = self.lab.servers().find(|server| server.addr().to_string() == addr);
        server.map_or_else(|| addr.to_owned(), |server| server.name().to_owned())
    }

    /// Connections, packets and bytes of each real server (`8000 10.1.0.11:8000`, the service's port first), as `ipvsadm -Ln --stats --exact` counts them.
    pub fn counters(&self) -> BTreeMap<String, Vec<u64>> {
        let text = ipvsadm(&self.lab, "-Ln --stats --exact");
        let mut port = "";
        let mut counters = BTreeMap::new();
        for line in text.lines().skip(3) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("->") => {
                    let server = words.next().expect("a server");
                    let numbers = words.map(|word| word.parse().expect("a number")).collect();
                    counters.insert(format!("{port} {server}"), numbers);
                }
                _ => port = words.next().and_then(|key| key.rsplit(':').next()).unwrap_or_default(),
            }
        }
        counters
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        for (_, mut server) in std::mem::take(&mut self.servers) {
            let _ = server.kill();
            let _ = server.wait();
        }
        let socket = self.lab.director().run(|| rlvs_daemon::run::place_here().map(|place| place.socket()));
        if let Some(directory) = socket.ok().as_deref().and_then(std::path::Path::parent) {
            let _ = std::fs::remove_dir_all(directory);
        }
        let _ = std::fs::remove_file(&self.config);
    }
}

/// A service on VIP:8000 with the three servers, quick checks, and lines of its own.
pub fn service(farm: &Farm, vs: &str, check: &str) -> String {
    let mut text = format!(
        "virtual_server {} 8000 {{\nprotocol TCP\nlvs_sched rr\ndelay_loop 0.3\nwarmup 0\nconnect_timeout 0.5\n\
         retry 1\ndelay_before_retry 0.1\n{vs}\n",
        rlvs::lab::VIP
    );
    for n in 1..=3 {
        text += &format!("real_server {} 8000 {{\n{check}\n}}\n", farm.lab.server(n).addr());
    }
    text + "}\n"
}

/// The service as listings name it.
pub fn name() -> String {
    format!("TCP {}:8000", rlvs::lab::VIP)
}
