//! Many checks at one-second intervals: each is made in time, and what they cost.
//!
//! ```text
//! cargo build --release -p rlvs
//! RLVS_TEST_CHECKS=10000 RLVS_TEST_DAEMON=$PWD/target/release/rlvs \
//!     cargo test -p rlvs --test daemon each_of_many_checks -- --nocapture --test-threads 1
//! ```

use super::lab::{Farm, SOON};
use crate::common::{wait_until, within};
use rlvs::lab::Host;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many, unless the variable says otherwise.
const CHECKS: usize = 200;
/// Real servers of a service.
const SERVERS: usize = 100;
/// Where checks go to, on each of the lab's servers: TCP has only so many ports for the connections to one.
const PORTS: std::ops::Range<u16> = 9000..9010;

#[test]
fn each_of_many_checks_is_made_every_second() {
    make_many("TCP_CHECK", "");
}

/// The same with an answer to each.
#[test]
fn each_of_many_checks_over_http_is_made_every_second() {
    make_many("HTTP_GET", "url {\npath /health\n}\n");
}

fn make_many(keyword: &'static str, lines: &'static str) {
    let checks = std::env::var("RLVS_TEST_CHECKS").map_or(CHECKS, |n| n.parse().expect("RLVS_TEST_CHECKS"));
    within(240, move || {
        let mut farm = Farm::new();
        if let Ok(program) = std::env::var("RLVS_TEST_DAEMON") {
            farm.use_program(&program);
        }
        (1..=3).for_each(|n| listen(farm.lab.server(n)));
        farm.write(&text(&farm, checks, &format!("{keyword} {{\n{lines}")));
        farm.start(&[]);
        wait_until("all were tried", 4 * SOON, || oldest(&farm, checks).is_some());
        // The first seconds are for what is made once.
        std::thread::sleep(Duration::from_secs(3));
        let opened = || farm.lab.director().run(connections_opened);
        let (began, cpu, before) = (Instant::now(), cpu(farm.pid()), opened());
        std::thread::sleep(Duration::from_secs(10));
        let (cpu, made) = (self::cpu(farm.pid()) - cpu, opened() - before);
        let per_second = made as f64 / began.elapsed().as_secs_f64();
        println!(
            "{checks} {keyword}: {:.2} of them a second; {:.2} of a core, so a core makes {:.1} times ten thousand",
            per_second / checks as f64,
            cpu.as_secs_f64() / began.elapsed().as_secs_f64(),
            made as f64 / cpu.as_secs_f64() / 10_000.0,
        );
        let oldest = oldest(&farm, checks).expect("all are up");
        println!("the last try of any is {:.1} s ago at most", oldest.as_secs_f64());
        // A machine that is busy otherwise gets some leave.
        assert!(per_second > checks as f64 / 3.0, "{per_second} a second");
        assert!(oldest < Duration::from_secs(10), "{oldest:?}");
    });
}

/// Takes connections, answers what is asked, if anything is, and closes them, as long as the tests run.
fn listen(server: &Host) {
    for port in PORTS {
        let listener = server.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).expect("a listener");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // Who checks a connection has reset it by then.
                if stream.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
                }
            }
        });
    }
}

/// By anybody in this network namespace, as the kernel counts them (RFC 4022, tcpActiveOpens).
fn connections_opened() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").expect("counters");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (_, value) = pairs.find(|(name, _)| *name == "ActiveOpens").expect("ActiveOpens");
    value.parse().expect("a number")
}

/// As many real servers, each with a check of its own, which begins so.
fn text(farm: &Farm, checks: usize, begin: &str) -> String {
    let mut text = String::new();
    for n in 0..checks {
        let service = n / SERVERS;
        if n % SERVERS == 0 {
            let close = if n > 0 { "}\n" } else { "" };
            let vip = format!("198.18.{}.{}", service / 250, service % 250 + 1);
            write!(
                text,
                "{close}virtual_server {vip} 80 {{\nprotocol TCP\ndelay_loop 1\nconnect_timeout 3\n"
            )
            .unwrap();
        }
        let (to, port) = (farm.lab.server(n % 3 + 1).addr(), PORTS.start + (n / 3 % PORTS.len()) as u16);
        let check = format!("{begin}connect_ip {to}\nconnect_port {port}\n}}");
        writeln!(text, "real_server 10.9.{}.{} 80 {{\n{check}\n}}", n / 250, n % 250 + 1).unwrap();
    }
    text + "}\n"
}

/// How long ago the check was tried that waits longest, if all are up.
fn oldest(farm: &Farm, checks: usize) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let health = farm.try_health()?;
    let mut times = Vec::new();
    for service in health["services"].as_array()? {
        for server in service["servers"].as_array()? {
            let check = &server["checks"][0];
            if check["health"] == "up" {
                times.push(check["last_time"].as_f64()?);
            }
        }
    }
    let first = times.iter().copied().reduce(f64::min)?;
    (times.len() == checks).then(|| Duration::from_secs_f64((now - first).max(0.0)))
}

/// What a process has used of processors, in user and kernel.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let after = stat.rsplit(')').next().expect("a name in brackets");
    let ticks =
        after.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("ticks")).sum::<u64>();
    // SAFETY: takes a number and returns one.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Duration::from_secs_f64(ticks as f64 / per_second as f64)
}
