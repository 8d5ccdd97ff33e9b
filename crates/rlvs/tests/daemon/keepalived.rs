//! The real keepalived does VRRP beside the daemon, from the same file, on two directors; the virtual address goes from one
//! to the other and back.

use super::lab::SOON;
use crate::common::{self, RLVS, rlvs, try_as, wait_for, wait_until, within};
use rlvs::lab::client::{self, Connection};
use rlvs::lab::{Host, Lab, Topology, VIP};
use rlvs_daemon::run::place_here;
use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// An election, or three missed advertisements, on a busy machine.
const ELECTION: Duration = Duration::from_secs(60);

/// Servers 1 and 2 of the lab serve, 3 and 4 are the directors; the lab's own director is unplugged.
const DIRECTORS: [usize; 2] = [3, 4];

#[test]
fn keepalived_moves_the_address_between_two_directors() {
    within(240, || {
        let lab = Lab::builder(Topology::OneArm).servers(4).program(RLVS).build().expect("a lab");
        lab.director().set_link("eth0", false).expect("unplugged");
        for n in [1, 2] {
            rlvs(lab.server(n), &format!("realserver up --vip {VIP}"));
            lab.at_end(lab.server(n).name(), &["realserver", "down"]).expect("noted");
        }
        let mut first = responder(&lab, 1);
        let mut second = responder(&lab, 2);
        let scratch = Scratch::new();
        let file = scratch.0.join("keepalived.conf");
        std::fs::write(&file, configuration(&lab)).expect("the configuration");
        let _daemons = DIRECTORS.map(|n| Daemon::start(&lab, n, &file));
        let mut keepalived = DIRECTORS.map(|n| Keepalived::start(lab.server(n), &file, &scratch.0));

        let mut active = wait_for("an election", ELECTION, || active(&lab));
        answers(&lab, &["rs1", "rs2"]);
        let other = |n: usize| 1 - n;
        assert_eq!(connections(&lab, other(active)), 0, "the other director sees nothing");
        wait_until("the daemons see it", SOON, || !suspended(&lab, active) && suspended(&lab, other(active)));

        // Only the director with the address asks its servers.
        first.kill().expect("killed");
        first.wait().expect("ended");
        wait_until("rs1 out", SOON, || rules(&lab, active).len() == 1);
        assert_eq!(rules(&lab, other(active)).len(), 2, "nobody has asked");

        for _ in 0..2 {
            let (before, old) = (connections(&lab, other(active)), active);
            keepalived[old].end();
            active = other(old);
            wait_until("the address moves", ELECTION, || self::active(&lab) == Some(active));
            wait_until("rs1 out there too", SOON, || rules(&lab, active).len() == 1);
            wait_until("the clients follow", SOON, || asked(&lab).is_ok());
            let seen = connections(&lab, old);
            answers(&lab, &["rs2"]);
            assert!(connections(&lab, active) >= before + 20, "they came here");
            assert_eq!(connections(&lab, old), seen, "and no more there");
            assert_eq!(rules(&lab, old).len(), 1, "keepalived took no rule with it");
            keepalived[old] = Keepalived::start(lab.server(DIRECTORS[old]), &file, &scratch.0);
            // It hears the other, and stays a backup (nopreempt).
            wait_until("it listens", ELECTION, || keepalived[old].says("Entering BACKUP STATE"));
        }
        assert!(!keepalived.iter().any(|k| k.says("IPVS")), "it leaves the rules alone");
        second.kill().expect("killed");
        second.wait().expect("ended");
    });
}

/// One file for both directors, and for both programs.
fn configuration(lab: &Lab) -> String {
    let mut text = format!(
        "global_defs {{\n    router_id lab\n}}\n\
         vrrp_instance web {{\n    state BACKUP\n    nopreempt\n    interface eth0\n    virtual_router_id 51\n    \
         priority 100\n    advert_int 1\n    virtual_ipaddress {{\n        {VIP}/32\n    }}\n}}\n\
         virtual_server {VIP} 80 {{\n    protocol TCP\n    lvs_sched rr\n    lvs_method DR\n    ha_suspend\n    \
         delay_loop 0.3\n    connect_timeout 1\n    retry 1\n    delay_before_retry 0.1\n    warmup 0\n"
    );
    for n in [1, 2] {
        text += &format!(
            "    real_server {} 80 {{\n        TCP_CHECK {{\n        }}\n    }}\n",
            lab.server(n).addr()
        );
    }
    text + "}\n"
}

fn responder(lab: &Lab, n: usize) -> Child {
    let host = lab.server(n);
    let mut command = host.command(RLVS);
    command.args(["responder", host.name(), "--tcp", "80"]).stdout(Stdio::null());
    let child = host.start(command).expect("a responder");
    let addr = host.addr();
    wait_until("the responder", SOON, || {
        lab.server(DIRECTORS[0]).run(|| std::net::TcpStream::connect((addr, 80)).is_ok())
    });
    child
}

/// Which of the two has the address, if it is only one.
fn active(lab: &Lab) -> Option<usize> {
    let holds = DIRECTORS.map(|n| lab.server(n).run(|| UdpSocket::bind((VIP, 0)).is_ok()));
    match holds {
        [true, false] => Some(0),
        [false, true] => Some(1),
        _ => None,
    }
}

fn asked(lab: &Lab) -> anyhow::Result<String> {
    lab.client().run(|| Connection::open_within(VIP, 80, Duration::from_secs(1))?.who())
}

/// Twenty requests, each of them answered, by these servers.
fn answers(lab: &Lab, expected: &[&str]) {
    let tally = lab.client().run(|| client::tally_tcp(VIP, 80, 20)).expect("answers");
    let seen: BTreeSet<&str> = tally.keys().map(String::as_str).collect();
    assert_eq!(seen, expected.iter().copied().collect());
}

/// The service's real servers in the rules of a director.
fn rules(lab: &Lab, active: usize) -> Vec<String> {
    let said = ipvsadm(lab, active, "-Ln");
    said.lines().filter(|line| line.contains("->") && line.contains(":80 ")).map(str::to_owned).collect()
}

/// How many connections a director has seen.
fn connections(lab: &Lab, active: usize) -> u64 {
    let said = ipvsadm(lab, active, "-Ln --stats --exact");
    let line = said.lines().find(|line| line.starts_with("TCP")).expect("the service");
    line.split_whitespace().nth(2).and_then(|n| n.parse().ok()).expect("a number")
}

fn ipvsadm(lab: &Lab, active: usize, args: &str) -> String {
    let output = try_as(lab.server(DIRECTORS[active]), "ipvsadm", args, "");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn suspended(lab: &Lab, active: usize) -> bool {
    let status = rlvs(lab.server(DIRECTORS[active]), "status --json");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    status["health"]["services"][0]["suspended"].as_bool().expect("a daemon's answer")
}

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let path = std::env::temp_dir().join(format!("rlvs-keepalived-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `rlvs daemon` on a director of these.
struct Daemon {
    child: Child,
    directory: PathBuf,
}

impl Daemon {
    fn start(lab: &Lab, n: usize, file: &Path) -> Daemon {
        let host = lab.server(n);
        lab.at_end(host.name(), &["down"]).expect("noted");
        let socket = host.run(|| place_here().map(|place| place.socket())).expect("a place");
        let directory = socket.parent().expect("a directory").to_owned();
        let mut command = host.command(RLVS);
        command.arg("daemon").arg("--config").arg(file).stdin(Stdio::null());
        let daemon = Daemon { child: host.start(command).expect("a daemon"), directory };
        wait_until("the daemon", SOON, || common::rlvs(host, "status --json").contains("\"suspended\""));
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Debian's keepalived with VRRP alone. Everything it writes is in the test's directory.
struct Keepalived {
    child: Option<Child>,
    log: PathBuf,
    pids: [PathBuf; 2],
}

impl Keepalived {
    fn start(host: &Host, config: &Path, scratch: &Path) -> Keepalived {
        let file = |kind: &str| scratch.join(format!("{}.{kind}", host.name()));
        let (log, pids) = (file("log"), [file("pid"), file("vrrp.pid")]);
        let said = std::fs::File::create(&log).expect("a log");
        let mut command = host.command("keepalived");
        command.args([
            "--vrrp",
            "--dont-fork",
            "--dont-respawn",
            "--log-console",
            "--log-detail",
            "--no-syslog",
        ]);
        command.arg("--use-file").arg(config);
        command.arg("--pid").arg(&pids[0]).arg("--vrrp_pid").arg(&pids[1]);
        command.arg("--checkers_pid").arg(file("checkers.pid")).arg("--bfd_pid").arg(file("bfd.pid"));
        command.stdin(Stdio::null()).stdout(said.try_clone().expect("a log")).stderr(said);
        let child = host.start(command).expect("keepalived (apt-get install keepalived; make test does it)");
        Keepalived { child: Some(child), log, pids }
    }

    fn says(&self, words: &str) -> bool {
        std::fs::read_to_string(&self.log).expect("a log").contains(words)
    }

    /// Told to stop, it gives the address up.
    fn end(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // SAFETY: a system call on a number; the process is a child that was not waited for, so the number is its own.
        unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
        wait_until("the end of keepalived", SOON, || child.try_wait().expect("a child").is_some());
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
        // Its child first, which would not end with it.
        let vrrp = std::fs::read_to_string(&self.pids[1]).ok().and_then(|text| text.trim().parse().ok());
        for pid in vrrp.into_iter().chain([child.id() as i32]) {
            // SAFETY: a system call on a number; the child was not waited for, and its own child writes its number
            // into the file that it removes at its end.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        let _ = child.wait();
    }
}
