//! The laboratory itself, with nothing but the kernel's own forwarding in it: the wiring carries traffic, hosts do not
//! see each other's settings, and whatever way a lab ends, nothing of it stays.

mod common;

use common::{MB, RLVS, lab, within};
use rlvs::lab::{Lab, Topology, VIP, client};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn plain_forwarding_through_the_director() {
    within(30, || {
        let lab = lab(Topology::Nat);
        lab.serve_all(&[80], &[53]).unwrap();
        for server in lab.servers() {
            let addr = server.addr();
            lab.client().run(|| {
                assert_eq!(client::who(addr, 80).unwrap(), server.name());
                assert_eq!(client::ask(addr, 53, Duration::from_secs(2)).unwrap(), server.name());
            });
        }
        let addr = lab.server(1).addr();
        lab.client().run(|| {
            client::download(addr, 80, 100 * MB).unwrap();
            client::upload(addr, 80, 100 * MB).unwrap();
        });
    });
}

#[test]
fn servers_of_dr_and_tun_reach_the_client_by_themselves() {
    within(30, || {
        for topology in [Topology::Dr, Topology::Tun, Topology::OneArm] {
            let lab = lab(topology);
            lab.serve("client", &[80], &[53]).unwrap();
            lab.serve_all(&[80], &[]).unwrap();
            let there = Ipv4Addr::new(10, 0, 0, 2);
            assert_eq!(lab.server(2).run(|| client::who(there, 80)).unwrap(), "client");
            let peer = lab.server(2).run(|| TcpStream::connect((there, 80)).unwrap().local_addr().unwrap());
            assert_eq!(peer.ip(), Ipv4Addr::new(10, 0, 0, 12), "not through the director");
            // The director reaches them over its own side.
            let addr = lab.server(2).addr();
            assert_eq!(lab.director().run(|| client::who(addr, 80)).unwrap(), "rs2");
        }
    });
}

#[test]
fn udp_answers_come_from_the_address_that_was_asked() {
    within(10, || {
        let lab = lab(Topology::Dr);
        lab.serve("director", &[], &[53]).unwrap();
        // The director's first address is 10.0.0.1: an answer from there would not be taken.
        let name = lab.client().run(|| client::ask(VIP, 53, Duration::from_secs(2)));
        assert_eq!(name.unwrap(), "director");
    });
}

#[test]
fn settings_and_mtu_are_the_hosts_own() {
    within(10, || {
        let lab = Lab::builder(Topology::Nat).servers(1).mtu(9000).program(RLVS).build().unwrap();
        assert_eq!(lab.director().sysctl("net/ipv4/ip_forward").unwrap(), "1");
        assert_eq!(lab.client().sysctl("net/ipv4/ip_forward").unwrap(), "0");
        lab.client().set_sysctl("net/ipv4/conf/eth0/arp_ignore", "1").unwrap();
        assert_eq!(lab.server(1).sysctl("net/ipv4/conf/eth0/arp_ignore").unwrap(), "0");
        let out = lab
            .server(1)
            .output(sh(&lab, "cat /proc/net/dev | grep -c eth"), "", Duration::from_secs(5))
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "1");
    });
}

#[test]
fn a_flushed_neighbour_is_asked_for_again() {
    within(10, || {
        let lab = lab(Topology::Nat);
        lab.serve("rs1", &[80], &[]).unwrap();
        let addr = lab.server(1).addr();
        assert!(!lab.director().flush_neighbour(addr).unwrap(), "nobody has asked yet");
        assert_eq!(lab.client().run(|| client::who(addr, 80)).unwrap(), "rs1");
        assert!(lab.director().flush_neighbour(addr).unwrap());
        assert_eq!(lab.client().run(|| client::who(addr, 80)).unwrap(), "rs1");
    });
}

#[test]
fn a_command_that_hangs_is_ended() {
    within(10, || {
        let lab = lab(Topology::Nat);
        let began = Instant::now();
        let result = lab.client().output(sh(&lab, "exec sleep 100"), "", Duration::from_millis(200));
        assert!(result.unwrap_err().to_string().contains("did not end within"));
        assert!(began.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn two_labs_at_once_and_nothing_left() {
    within(20, || {
        let labs = [lab(Topology::Nat), lab(Topology::Dr)];
        let names: Vec<_> = labs.iter().flat_map(|l| l.hosts()).map(|h| h.namespace().to_owned()).collect();
        for (lab, word) in labs.iter().zip(["one", "two"]) {
            lab.serve("rs1", &[80], &[]).unwrap();
            let addr = lab.server(1).addr();
            let there = if word == "one" { addr } else { Ipv4Addr::new(10, 0, 0, 11) };
            assert_eq!(lab.client().run(|| client::who(there, 80)).unwrap(), "rs1");
        }
        assert!(names.iter().all(|n| exists(n)));
        drop(labs);
        assert!(!names.iter().any(|n| exists(n)));
    });
}

#[test]
fn a_panic_removes_the_lab() {
    within(10, || {
        let thread = std::thread::spawn(|| {
            let lab = lab(Topology::Nat);
            std::panic::panic_any(lab.client().namespace().to_owned());
        });
        let namespace = *thread.join().unwrap_err().downcast::<String>().unwrap();
        assert!(!exists(&namespace));
    });
}

/// This test program, started again, only makes a lab and waits; then it is ended in two ways.
#[test]
fn signals_remove_the_lab_at_once_and_a_kill_leaves_it_to_the_next() {
    const FLAG: &str = "RLVS_TEST_ONLY_MAKE_A_LAB";
    if std::env::var_os(FLAG).is_some() {
        let lab = lab(Topology::Nat);
        lab.serve_all(&[80], &[]).unwrap();
        println!("made {}", lab.client().namespace());
        std::thread::sleep(Duration::from_secs(60));
    }
    within(30, || {
        for (signal, next_needed) in [(libc::SIGINT, false), (libc::SIGTERM, false), (libc::SIGKILL, true)] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "--nocapture",
                    "signals_remove_the_lab_at_once_and_a_kill_leaves_it_to_the_next",
                ])
                .env(FLAG, "1")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let namespace = read_namespace(&mut child);
            assert!(exists(&namespace));
            let servers = server_namespaces(&namespace);
            assert_eq!(processes_in(&servers), 3);
            // SAFETY: no memory is touched; the child is ours and not yet waited for.
            unsafe { libc::kill(child.id() as i32, signal) };
            child.wait().unwrap();
            assert_eq!(exists(&namespace), next_needed, "after signal {signal}");
            if next_needed {
                drop(lab(Topology::Nat));
                assert!(!exists(&namespace));
            }
            assert_eq!(processes_in(&servers), 0, "responders after signal {signal}");
        }
    });
}

fn read_namespace(child: &mut std::process::Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    // The test harness writes the test's name and then, on the same line, what the test prints.
    let line = lines.find(|l| l.contains("made ")).expect("the child's word");
    line.split_once("made ").unwrap().1.to_owned()
}

/// The inode numbers of the real servers' namespaces.
fn server_namespaces(client_namespace: &str) -> Vec<u64> {
    let prefix = client_namespace.strip_suffix("client").unwrap();
    (1..=3).map(|n| fs::metadata(format!("/run/netns/{prefix}rs{n}")).unwrap().ino()).collect()
}

fn processes_in(namespaces: &[u64]) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("ns/net"));
    processes.filter(|p| fs::metadata(p).is_ok_and(|m| namespaces.contains(&m.ino()))).count()
}

fn exists(namespace: &str) -> bool {
    Path::new("/run/netns").join(namespace).exists()
}

fn sh(lab: &Lab, script: &str) -> Command {
    let mut command = lab.hosts()[2].command("sh");
    command.args(["-c", script]);
    command
}
