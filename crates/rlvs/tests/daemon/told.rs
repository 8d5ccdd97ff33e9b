//! Who is told of changes: scripts, the pipe, systemd. And where the daemon works: another network namespace, an address
//! that is not here yet.

use super::lab::{Farm, SOON, name, service};
use crate::common::{RLVS, listing, rlvs, wait_until, within};
use rlvs::lab::VIP;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A directory that everybody may write to, as scripts run as other users.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("rlvs-told-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        Scratch(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn scripts_and_the_pipe_hear_of_it() {
    within(60, || {
        let mut farm = Farm::new();
        let scratch = Scratch::new("scripts");
        let note =
            |what: &str| format!("\"/bin/sh -c 'echo {what} \\$(id -un) >> {}'\"", scratch.file("log"));
        let text = format!(
            "global_defs {{\nlvs_notify_fifo {}\nscript_user nobody\n}}\n{}",
            scratch.file("fifo"),
            service(
                &farm,
                &format!("omega\nquorum 3\nquorum_up {}\nquorum_down {}", note("vs-up"), note("vs-down")),
                &format!(
                    "notify_up {} root\nnotify_down {}\nTCP_CHECK {{\n}}",
                    note("rs-up"),
                    note("rs-down")
                ),
            )
        );
        farm.write(&text);
        farm.start(&[]);
        let fifo = scratch.file("fifo");
        assert!(std::fs::metadata(&fifo).unwrap().file_type().is_fifo());
        let mut reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
        farm.kill_server(2);
        wait_until("the scripts", SOON, || scratch.read("log").lines().count() == 3);
        farm.start_server(2);
        wait_until("the scripts", SOON, || scratch.read("log").lines().count() == 5);
        farm.signal(libc::SIGTERM);
        assert!(farm.ended().success());
        let mut lines: Vec<String> = scratch.read("log").lines().map(str::to_owned).collect();
        // Two scripts of one moment run side by side.
        lines[1..3].sort();
        lines[3..5].sort();
        lines[5..].sort();
        let of_the_end = ["rs-down nobody", "rs-down nobody", "rs-down nobody", "vs-down nobody"];
        let before = ["vs-up nobody", "rs-down nobody", "vs-down nobody", "rs-up root", "vs-up nobody"];
        assert_eq!(lines, [&before[..], &of_the_end[..]].concat());
        let mut pipe = String::new();
        let _ = reader.read_to_string(&mut pipe);
        let (vs, rs) = (format!("[{VIP}]:tcp:8000"), farm.lab.server(2).addr());
        let begin = format!(
            "VS {vs} UP\nRS [{rs}]:tcp:8000 {vs} DOWN\nVS {vs} DOWN\nRS [{rs}]:tcp:8000 {vs} UP\nVS {vs} UP\n"
        );
        assert!(pipe.starts_with(&begin), "{pipe}");
        assert!(pipe.ends_with(&format!("VS {vs} DOWN\n")), "{pipe}");
        assert!(!std::path::Path::new(&fifo).exists(), "what it made it removes");
    });
}

#[test]
fn systemd_learns_when_the_rules_are_there() {
    within(60, || {
        let mut farm = Farm::new();
        let scratch = Scratch::new("systemd");
        let socket = UnixDatagram::bind(scratch.file("notify")).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        farm.write(&service(&farm, "", "TCP_CHECK {\n}"));
        farm.environment("NOTIFY_SOCKET", &scratch.file("notify"));
        farm.start_only(&[]);
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        assert_eq!(farm.serving(&name()), ["rs1", "rs2", "rs3"], "ready means that the rules are there");
        farm.signal(libc::SIGTERM);
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STOPPING=1");
        assert!(farm.ended().success());
    });
}

/// Started outside, it works in the namespace that the configuration names.
#[test]
fn net_namespace() {
    within(60, || {
        let mut farm = Farm::new();
        let namespace = farm.lab.director().namespace().to_owned();
        farm.write(&format!("net_namespace {namespace}\n{}", service(&farm, "", "TCP_CHECK {\n}")));
        let mut command = Command::new(RLVS);
        command.args(["daemon", "-c", farm.config()]).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        farm.adopt(child);
        wait_until("the daemon", SOON, || farm.try_health().is_some());
        farm.kill_server(1);
        wait_until("rs1 out", SOON, || farm.serving(&name()) == ["rs2", "rs3"]);
    });
}

#[test]
fn ha_suspend() {
    within(60, || {
        let mut farm = Farm::new();
        let text = service(&farm, "ha_suspend", "TCP_CHECK {\n}").replace(&VIP.to_string(), "10.0.0.177");
        farm.write(&text);
        farm.kill_server(1);
        farm.start(&[]);
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(farm.try_health().unwrap()["services"][0]["suspended"], true);
        assert_eq!(listing(&farm.lab).len(), 3, "nobody has asked");
        farm.lab.director().add_address("eth0", std::net::Ipv4Addr::new(10, 0, 0, 177), 32).unwrap();
        wait_until("rs1 out", SOON, || listing(&farm.lab).len() == 2);
        assert_eq!(farm.try_health().unwrap()["services"][0]["suspended"], false);
    });
}

/// What is drained stays drained, also when it fails and recovers meanwhile, and over a reload and another daemon.
#[test]
fn a_drained_server_stays_drained() {
    within(60, || {
        let mut farm = Farm::new();
        farm.write(&service(&farm, "weight 4", "TCP_CHECK {\n}"));
        farm.start(&[]);
        let drained = farm.lab.server(2).addr();
        rlvs(farm.lab.director(), &format!("drain {drained}"));
        assert_eq!(farm.serving(&name()), ["rs1", "rs3"]);
        assert!(farm.reload("").starts_with("0 orders"));
        farm.kill_server(2);
        wait_until("rs2 out", SOON, || listing(&farm.lab).len() == 2);
        farm.start_server(2);
        wait_until("rs2 back", SOON, || listing(&farm.lab).len() == 3);
        assert_eq!(farm.serving(&name()), ["rs1", "rs3"]);
        farm.kill();
        farm.start(&[]);
        assert_eq!(farm.serving(&name()), ["rs1", "rs3"]);
        rlvs(farm.lab.director(), &format!("undrain {drained}"));
        assert!(listing(&farm.lab).iter().all(|line| line.weight == 4), "{:?}", listing(&farm.lab));
    });
}
