//! Real servers die and come back.

use super::lab::{Farm, SOON, name, service};
use crate::common::{ipvsadm, rlvs, wait_until, within};
use rlvs::lab::VIP;
use rlvs::lab::client::{self, Connection};
use rlvs_daemon::run::{client as api, place_here};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// It is out within its configured time and back when it returns. Connections and counters of the others, and a service
/// that is none of the daemon's, do not move.
#[test]
fn a_dead_server_is_out_in_time_and_back_when_it_returns() {
    within(90, || {
        let mut farm = Farm::new();
        ipvsadm(&farm.lab, &format!("-A -t {VIP}:81 -s rr"));
        ipvsadm(&farm.lab, &format!("-a -t {VIP}:81 -r {}:81 -m", farm.lab.server(1).addr()));
        farm.write(&service(&farm, "", "TCP_CHECK {\n}"));
        farm.start(&[]);
        assert_eq!(farm.serving(&name()), ["rs1", "rs2", "rs3"]);
        // One connection to each, which stay open.
        let mut open: Vec<(String, Connection)> = (0..3)
            .map(|_| {
                farm.lab.client().run(|| {
                    let mut connection = Connection::open(VIP, 8000).unwrap();
                    (connection.who().unwrap(), connection)
                })
            })
            .collect();
        open.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(open.iter().map(|(who, _)| who.as_str()).collect::<Vec<_>>(), ["rs1", "rs2", "rs3"]);
        let before = farm.counters();

        farm.kill_server(2);
        let began = Instant::now();
        wait_until("rs2 out", SOON, || farm.serving(&name()) == ["rs1", "rs3"]);
        // delay_loop 0.3, a retry after 0.1; a refusal takes no time. The rest is for listings, and for other tests beside.
        let in_time = Duration::from_millis(if cfg!(debug_assertions) { 3000 } else { 1000 });
        println!("out after {:?}", began.elapsed());
        assert!(began.elapsed() < in_time, "{:?}", began.elapsed());
        let after = farm.counters();
        for n in [1, 3] {
            let server = format!("8000 {}:8000", farm.lab.server(n).addr());
            assert_eq!(after[&server], before[&server], "rs{n} is not touched");
        }
        let other = format!("81 {}:81", farm.lab.server(1).addr());
        assert_eq!(after[&other], before[&other]);
        for (who, connection) in open.iter_mut().filter(|(who, _)| who != "rs2") {
            assert_eq!(connection.who().unwrap(), *who, "its connection lives");
        }
        let seen = farm.lab.client().run(|| client::tally_tcp(VIP, 8000, 4)).unwrap();
        assert_eq!(seen, crate::common::tally([("rs1", 2), ("rs3", 2)]));

        farm.start_server(2);
        let began = Instant::now();
        wait_until("rs2 back", SOON, || farm.serving(&name()).len() == 3);
        println!("back after {:?}", began.elapsed());
        assert!(began.elapsed() < in_time, "{:?}", began.elapsed());
        for (who, connection) in open.iter_mut().filter(|(who, _)| who != "rs2") {
            assert_eq!(connection.who().unwrap(), *who);
        }
        farm.signal(libc::SIGTERM);
        assert!(farm.ended().success());
        assert!(farm.serving(&name()).is_empty(), "as in keepalived, the rules go with it");
        assert_eq!(farm.serving(&format!("TCP {VIP}:81")), ["rs1"], "those of others stay");
    });
}

/// A check that asks for a page, over the real network.
#[test]
fn a_page_is_asked_for() {
    within(60, || {
        let mut farm = Farm::new();
        let http = "HTTP_GET {\nhttp_protocol 1.1\nurl {\npath /\nstatus_code 200\nregex \"^rs[12]$\"\n}\n}";
        farm.write(&service(&farm, "", http));
        farm.start(&[]);
        wait_until("rs3 out", SOON, || farm.serving(&name()) == ["rs1", "rs2"]);
        let shown = rlvs(farm.lab.director(), "status");
        let line = shown.lines().find(|line| line.contains(&format!("{}:8000", farm.lab.server(3).addr())));
        assert!(
            line.unwrap().contains("down") && line.unwrap().contains("the expression is not found"),
            "{shown}"
        );
        farm.kill_server(1);
        wait_until("rs1 out", SOON, || farm.serving(&name()) == ["rs2"]);
    });
}

#[test]
fn the_socket_tells_status_and_events() {
    within(60, || {
        let mut farm = Farm::new();
        farm.write(&service(&farm, "quorum 3", "TCP_CHECK {\n}"));
        farm.start(&[]);
        let socket = farm.lab.director().run(|| place_here().unwrap().socket());
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
        let health = farm.try_health().unwrap();
        let service = &health["services"][0];
        assert_eq!((&service["quorum_up"], &service["living_weight"]), (&true.into(), &3.into()));
        assert_eq!(service["servers"][2]["checks"][0]["check"], "TCP_CHECK 10.1.0.13:8000");

        let listener = std::thread::spawn({
            let socket = socket.clone();
            move || {
                let mut events = Vec::new();
                let _ = api::follow(&socket, "/v1/events", |line| {
                    let event: serde_json::Value = serde_json::from_str(line)?;
                    events.push(event["event"].as_str().unwrap_or_default().to_owned());
                    if events.len() == 3 { anyhow::bail!("enough") } else { Ok(()) }
                });
                events
            }
        });
        std::thread::sleep(Duration::from_millis(200));
        farm.kill_server(1);
        assert_eq!(listener.join().unwrap(), ["check", "server", "quorum"]);
        for (method, path, status) in [
            ("GET", "/v2/status", 404),
            ("POST", "/v1/status", 405),
            ("GET", "/v1/reload", 405),
            ("POST", "/v1/reload?dry_run=maybe", 400),
        ] {
            assert_eq!(api::ask(&socket, method, path).unwrap().0, status, "{method} {path}");
        }
        // Garbage, and a head that never ends, harm nobody.
        for garbage in [&b"\0\xff\x16\x03\r\n\r\n"[..], &b"GET /v1/status HTTP/1.1\r\n".repeat(4000)] {
            let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
            let _ = stream.write_all(garbage);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        // A second daemon is refused, and the first goes on.
        let second =
            crate::common::try_as(farm.lab.director(), "rlvs", &format!("daemon -c {}", farm.config()), "");
        assert!(!second.status.success());
        assert!(
            String::from_utf8_lossy(&second.stderr).contains("a daemon looks after this network namespace")
        );
        assert!(farm.try_health().is_some());
    });
}
