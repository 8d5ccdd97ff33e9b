//! `ipvsadm` killed with -9 at any moment: what it left half done is put right by whoever comes next.

mod common;

use common::{RLVS, ipvsadm, ipvsadm_with, lab, rlvs, within};
use rlvs::lab::{Lab, Topology};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

/// How often, unless the variable says otherwise.
const TRIES: u64 = 40;
const KILLS: &str = "RLVS_TEST_KILLS";
const SERVICES: usize = 60;

/// Services of two servers each that come, change in every way there is, and go, in one stream of commands.
fn changes() -> String {
    let mut text = String::new();
    for n in 0..SERVICES {
        let service = match n % 3 {
            0 => format!("-t 198.18.0.{n}:80"),
            1 => format!("-u 198.18.0.{n}:53"),
            _ => format!("-f {n}"),
        };
        let (one, two) = (format!("10.1.0.11:{}", 80 + n), format!("10.1.0.12:{}", 80 + n));
        let ways = format!(
            "-A {service} -s sh\n-a {service} -r {one} -m -w 3\n-a {service} -r {two} -m -x 9 -y 4\n\
             -E {service} -s wrr -p 60\n-e {service} -r {one} -m -w 0\n-d {service} -r {two}\n\
             -a {service} -r {two} -m -w 2\n-D {service}\n-A {service} -s rr\n-a {service} -r {two} -m\n"
        );
        text += &ways;
    }
    text
}

/// Begins the stream and kills it. The services of the last one are there.
fn killed_after(lab: &Lab, pause: Duration) {
    let mut command = lab.director().command(RLVS);
    command.arg0("ipvsadm").arg("-R").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = lab.director().start(command).expect("ipvsadm");
    let mut input = child.stdin.take().expect("its input");
    let text = changes();
    // It may be gone before it has read all.
    let writer = std::thread::spawn(move || drop(input.write_all(text.as_bytes())));
    std::thread::sleep(pause);
    child.kill().expect("killed");
    child.wait().expect("ended");
    writer.join().expect("written");
}

/// Each service that is listed can be found, and each server of it; and all can be taken away.
fn is_whole(lab: &Lab) {
    let saved = ipvsadm(lab, "-Sn");
    let mut edits = String::new();
    for line in saved.lines() {
        let (kind, rest) = line.split_at(2);
        writeln!(edits, "{} {rest}", if kind == "-A" { "-E" } else { "-e" }).unwrap();
    }
    ipvsadm_with(lab, "-R", &edits);
    assert_eq!(ipvsadm(lab, "-Sn"), saved, "edits that change nothing");
    let services = saved.lines().filter(|line| line.starts_with("-A"));
    let deletions: String = services
        .map(|line| line.split(" -s ").next().expect("a service").replacen("-A", "-D", 1) + "\n")
        .collect();
    ipvsadm_with(lab, "-R", &deletions);
    assert_eq!(ipvsadm(lab, "-Sn"), "");
    let used = used(lab);
    assert_eq!(used["services"], 0);
    // Deleted ones are kept for two minutes; of each key one.
    assert!(used["destinations"] <= 2 * SERVICES, "{used:?}");
}

/// How full the tables are.
fn used(lab: &Lab) -> HashMap<String, usize> {
    let status: serde_json::Value =
        serde_json::from_str(&rlvs(lab.director(), "status --json")).expect("JSON");
    let tables = status["maps"].as_array().expect("tables");
    let each = tables.iter().map(|t| {
        (t["name"].as_str().expect("a name").to_owned(), t["used"].as_u64().expect("a number") as usize)
    });
    each.collect()
}

/// Interfaces with our programs.
fn attached(lab: &Lab) -> usize {
    let status: serde_json::Value =
        serde_json::from_str(&rlvs(lab.director(), "status --json")).expect("JSON");
    let interfaces = status["interfaces"].as_array().expect("interfaces");
    interfaces.iter().filter(|interface| !interface["mode"].is_null()).count()
}

#[test]
fn at_any_moment() {
    let tries = std::env::var(KILLS).map_or(TRIES, |n| n.parse().expect(KILLS));
    within(60 + 3 * tries, move || {
        let lab = lab(Topology::Nat);
        ipvsadm(&lab, "-A -t 10.0.0.100:80 -s rr");
        ipvsadm(&lab, "-C");
        let mut dice = u64::from(std::process::id());
        println!("seed {dice}");
        for n in 0..tries {
            // Now and then it is the one that loads the programs.
            let loads = n % 5 == 4;
            if loads {
                rlvs(lab.director(), "down");
            }
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let most = if loads { 400_000 } else { 100_000 };
            killed_after(&lab, Duration::from_micros(5_000 + (dice >> 33) % most));
            // It may have been killed before there was anything.
            ipvsadm(&lab, "-A -f 1000 -s rr");
            is_whole(&lab);
            assert_eq!(attached(&lab), 3, "lo, eth0, eth1");
        }
        rlvs(lab.director(), "down");
    });
}
