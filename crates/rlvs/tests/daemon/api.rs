//! The API as an operator uses it, with curl: metrics, drains, and a TCP port that only reads.

use super::lab::{Farm, SOON, name, service};
use crate::common::{ipvsadm, listing, rlvs, try_as, wait_for, wait_until, within};
use rlvs::lab::VIP;
use rlvs::lab::client::{self, Connection};
use rlvs_daemon::run::place_here;
use serde_json::Value;
use std::path::PathBuf;

fn socket(farm: &Farm) -> PathBuf {
    farm.lab.director().run(|| place_here().unwrap().socket())
}

/// Status and body of a request to the daemon's socket, or to a URL of its TCP port.
fn curl(farm: &Farm, args: &[&str]) -> (u16, String) {
    let mut command = farm.lab.director().command("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"])
        .args(args);
    let output = command.output().expect("curl (apt install curl)");
    let text = String::from_utf8(output.stdout).expect("text");
    let (body, status) = text.rsplit_once('\n').expect("a status");
    let errors = String::from_utf8_lossy(&output.stderr);
    (status.parse().unwrap_or_else(|_| panic!("{text}{errors}")), body.to_owned())
}

fn post(farm: &Farm, path: &str, body: &str) -> (u16, Value) {
    let socket = socket(farm);
    let socket = socket.to_str().unwrap();
    let (status, answer) =
        curl(farm, &["--unix-socket", socket, "--data", body, &format!("http://rlvs{path}")]);
    (status, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}")))
}

fn weight(farm: &Farm, n: usize) -> Option<u32> {
    let server = format!("{}:8000", farm.lab.server(n).addr());
    let lines = listing(&farm.lab);
    lines.iter().find(|line| line.service == name() && line.server == server).map(|line| line.weight)
}

#[test]
fn metrics_tell_of_the_servers_health() {
    within(90, || {
        let mut farm = Farm::new();
        farm.write(&service(&farm, "quorum 2\nweight 10", "TCP_CHECK {\n}"));
        farm.start(&["--listen", "127.0.0.1:9320"]);
        farm.kill_server(2);
        wait_until("rs2 out", SOON, || farm.serving(&name()) == ["rs1", "rs3"]);
        let (status, page) = curl(&farm, &["http://127.0.0.1:9320/metrics"]);
        assert_eq!(status, 200, "{page}");
        let vs = format!("virtual_server=\"TCP {VIP}:8000\"");
        let rs = |n: usize| format!("server=\"{}:8000\"", farm.lab.server(n).addr());
        for sample in [
            format!("rlvs_server_up{{{vs},{}}} 1", rs(1)),
            format!("rlvs_server_up{{{vs},{}}} 0", rs(2)),
            format!("rlvs_server_configured_weight{{{vs},{}}} 10", rs(2)),
            format!("rlvs_server_effective_weight{{{vs},{}}} 0", rs(2)),
            format!("rlvs_virtual_server_quorum_up{{{vs}}} 1"),
            format!("rlvs_virtual_server_living_weight{{{vs}}} 20"),
            format!("rlvs_check_up{{{},check=\"TCP_CHECK {}:8000\"}} 0", rs(2), farm.lab.server(2).addr()),
            "rlvs_daemon_checks 3".to_owned(),
            "rlvs_loaded 1".to_owned(),
        ] {
            assert!(page.lines().any(|line| line == sample), "{sample}\n{page}");
        }
        // No sample and no family is there twice.
        let mut samples: Vec<&str> = page
            .lines()
            .filter(|l| !l.starts_with('#'))
            .filter_map(|l| Some(l.rsplit_once(' ')?.0))
            .collect();
        samples.extend(page.lines().filter(|l| l.starts_with("# TYPE ")));
        let count = samples.len();
        samples.sort_unstable();
        samples.dedup();
        assert_eq!(samples.len(), count);
        let (_, node) = curl(&farm, &["http://127.0.0.1:9320/metrics?names=node"]);
        assert!(node.contains("node_ipvs_backend_weight") && !node.contains("rlvs_"), "{node}");
        assert_eq!(curl(&farm, &["http://127.0.0.1:9320/metrics?names=all"]).0, 400);
        // What the plain command prints is all in it.
        for line in rlvs(farm.lab.director(), "metrics").lines().filter(|line| line.starts_with("# TYPE ")) {
            assert!(page.contains(line), "{line}");
        }
    });
}

#[test]
fn the_tcp_port_only_reads_unless_told_otherwise() {
    within(90, || {
        let mut farm = Farm::new();
        farm.write(&service(&farm, "", ""));
        farm.start(&[]);
        assert!(
            farm.lab.director().run(|| std::net::TcpStream::connect("127.0.0.1:9320").is_err()),
            "no port that nobody asked for"
        );
        farm.kill();
        farm.start(&["--listen", "127.0.0.1:9320"]);
        let url = |path: &str| format!("http://127.0.0.1:9320{path}");
        let (status, body) = curl(&farm, &[&url("/v1/status")]);
        let shown: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, shown["services"].as_array().map(Vec::len)), (200, Some(1)));
        let body = format!("{{\"server\": \"{}\"}}", farm.lab.server(1).addr());
        for path in ["/v1/reload", "/v1/drain", "/v1/undrain", "/metrics"] {
            let (status, answer) = curl(&farm, &["--data", &body, &url(path)]);
            assert!(status == 403 && answer.contains("--allow-changes"), "{path}: {status} {answer}");
        }
        assert_eq!(curl(&farm, &["--request", "DELETE", &url("/v1/status")]).0, 403);
        assert_eq!(farm.serving(&name()).len(), 3);
        farm.kill();
        farm.start(&["--listen", "127.0.0.1:9320", "--allow-changes"]);
        let (status, answer) =
            curl(&farm, &["--data", &body, "--header", "Origin: http://evil", &url("/v1/drain")]);
        assert!(status == 403 && farm.serving(&name()).len() == 3, "{answer}");
        assert_eq!(curl(&farm, &["--data", &body, &url("/v1/drain")]).0, 200);
        assert_eq!(farm.serving(&name()), ["rs2", "rs3"]);
        let refused =
            try_as(farm.lab.director(), "rlvs", &format!("daemon -c {} --allow-changes", farm.config()), "");
        assert!(!refused.status.success(), "it says where");
    });
}

#[test]
fn drains_over_the_api() {
    within(120, || {
        let mut farm = Farm::new();
        farm.write(&service(&farm, "weight 5", "TCP_CHECK {\n}"));
        farm.start(&[]);
        let mut open = farm.lab.client().run(|| {
            let mut connections: Vec<Connection> =
                (0..3).map(|_| Connection::open(VIP, 8000).unwrap()).collect();
            connections.iter_mut().for_each(|connection| {
                connection.who().unwrap();
            });
            connections
        });
        let events = std::thread::spawn({
            let socket = socket(&farm);
            move || {
                let mut found = None;
                let _ = rlvs_daemon::run::client::follow(&socket, "/v1/events", |line| {
                    let event: Value = serde_json::from_str(line)?;
                    if event["event"] == "drained" {
                        found = Some(event);
                        anyhow::bail!("enough")
                    }
                    Ok(())
                });
                found
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
        let rs1 = farm.lab.server(1).addr().to_string();
        let (status, answer) = post(&farm, "/v1/drain", &format!("{{\"server\": \"{rs1}\"}}"));
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["drains"][0]["service"], format!("tcp:{VIP}:8000"));
        assert_eq!((&answer["drains"][0]["former_weight"], weight(&farm, 1)), (&5.into(), Some(0)));
        let seen = farm.lab.client().run(|| client::tally_tcp(VIP, 8000, 4)).unwrap();
        assert_eq!(seen, crate::common::tally([("rs2", 2), ("rs3", 2)]));
        // As the command knows it, and the other way round.
        assert!(rlvs(farm.lab.director(), "drain").contains(&rs1));
        open.clear();
        let event = events.join().unwrap().expect("an event");
        assert_eq!((&event["outcome"], &event["server"]), (&"empty".into(), &format!("{rs1}:8000").into()));
        let (status, answer) = post(&farm, "/v1/undrain", &format!("{{\"server\": \"{rs1}\"}}"));
        assert_eq!((status, &answer["undrained"][0]["weight"]), (200, &5.into()), "{answer}");
        assert_eq!(weight(&farm, 1), Some(5));

        // With a deadline, and removed then: in a service that is none of the daemon's.
        ipvsadm(&farm.lab, &format!("-A -t {VIP}:81 -s rr"));
        ipvsadm(&farm.lab, &format!("-a -t {VIP}:81 -r {rs1}:80 -m -w 3"));
        let mut held = farm.lab.client().run(|| Connection::open(VIP, 81)).unwrap();
        held.who().unwrap();
        let body = format!(
            "{{\"server\": \"{rs1}:80\", \"service\": \"tcp:{VIP}:81\", \"deadline_seconds\": 1, \"then\": \"remove\"}}"
        );
        assert_eq!(post(&farm, "/v1/drain", &body).0, 200);
        wait_for("its removal", SOON, || {
            let there = listing(&farm.lab).iter().any(|line| line.service == format!("TCP {VIP}:81"));
            (!there).then_some(())
        });
        for (path, body, status) in [
            ("/v1/drain", "{\"server\": \"192.0.2.99\"}", 422),
            ("/v1/undrain", "{\"server\": \"192.0.2.99\"}", 422),
            ("/v1/drain", "{\"server\": 1}", 400),
            ("/v1/drain", "x", 400),
            ("/v1/drain", &format!("{{\"server\": \"{}\"}}", "1".repeat(40_000)), 400),
        ] {
            let (found, answer) = post(&farm, path, body);
            assert!(found == status && answer["error"].is_string(), "{path}: {found} {answer}");
        }
        assert_eq!(farm.serving(&name()).len(), 3);
    });
}
