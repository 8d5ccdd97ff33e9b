//! `rlvs metrics` in a director with traffic, and the dashboard that shows it.

mod common;

use common::{Proto, Serving, cluster, real, rlvs, serve, try_as, wait_for, within};
use rlvs::lab::client::{self, Connection};
use rlvs::lab::{Topology, VIP};
use rlvs_daemon::machine::Status;
use rlvs_daemon::metrics::{Text, health};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const DASHBOARD: &str = include_str!("../../../dist/grafana/rlvs.json");

#[test]
fn the_numbers_are_those_of_the_traffic() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[1, 2]);
        serve(&lab, Proto::Udp, 53, "rr", &[1]);
        lab.client().run(|| client::tally_tcp(VIP, 80, 6)).unwrap();
        lab.client().run(|| client::tally_udp(VIP, 53, 3)).unwrap();
        let mut open = lab.client().run(|| Connection::open(VIP, 80)).unwrap();
        open.who().unwrap();
        let page = samples(&rlvs(lab.director(), "metrics"));
        let value = |sample: &str| *page.get(sample).unwrap_or_else(|| panic!("no {sample} in {page:#?}"));
        assert_eq!(value("rlvs_loaded"), 1.0);
        assert_eq!((value("rlvs_connections_total"), value("node_ipvs_connections_total")), (10.0, 10.0));
        assert_eq!(value(&format!("rlvs_service_connections_total{{service=\"tcp:{VIP}:80\"}}")), 7.0);
        assert_eq!(value(&format!("rlvs_service_connections_total{{service=\"udp:{VIP}:53\"}}")), 3.0);
        let of_server = |n: usize, what: &str| {
            let server = real(&lab, n, 80);
            value(&format!("rlvs_destination_{what}{{service=\"tcp:{VIP}:80\",destination=\"{server}\"}}"))
        };
        assert_eq!(of_server(1, "active_connections") + of_server(2, "active_connections"), 1.0);
        assert_eq!((of_server(1, "weight"), of_server(2, "weight")), (1.0, 2.0));
        assert!(of_server(1, "request_bytes_total") > 100.0 && of_server(2, "reply_packets_total") > 3.0);
        let node = format!(
            "node_ipvs_backend_weight{{local_address=\"{VIP}\",local_mark=\"\",local_port=\"80\",proto=\"TCP\",remote_address=\"{}\",remote_port=\"80\"}}",
            lab.server(2).addr()
        );
        assert_eq!(value(&node), 2.0);
        assert_eq!(value("rlvs_table_used_entries{table=\"services\"}"), 2.0);
        assert_eq!(value("rlvs_interface_attached{interface=\"eth0\",mode=\"tc\"}"), 1.0);
        let ours = rlvs(lab.director(), "metrics --names rlvs");
        assert!(!ours.contains("node_ipvs") && ours.contains("rlvs_loaded 1"));
    });
}

#[test]
fn it_serves_on_a_port_and_on_a_socket() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[1]);
        let _server = Serving::start(lab.director(), "metrics --listen 127.0.0.1:9100");
        let tcp = || lab.director().run(|| TcpStream::connect("127.0.0.1:9100").ok());
        let page = scrape(wait_for("the port", Duration::from_secs(5), tcp));
        assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("\nrlvs_loaded 1\n"), "{page}");
        let path = std::env::temp_dir().join(format!("rlvs-metrics-test-{}", std::process::id()));
        let _server = Serving::start(lab.director(), &format!("metrics --listen unix:{}", path.display()));
        let unix = || UnixStream::connect(&path).ok();
        let page = scrape(wait_for("the socket", Duration::from_secs(5), unix));
        assert!(page.contains("\nnode_ipvs_connections_total "), "{page}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let taken = try_as(lab.director(), "rlvs", &format!("metrics --listen unix:{}", path.display()), "");
        assert!(
            !taken.status.success() && String::from_utf8_lossy(&taken.stderr).contains("somebody listens")
        );
        // The rules go, the scrapes go on.
        rlvs(lab.director(), "down");
        assert!(scrape(tcp().unwrap()).contains("\nrlvs_loaded 0\n"));
        std::fs::remove_file(path).unwrap();
    });
}

/// Every metric that the dashboard shows is one we have, and no query is without one.
#[test]
fn the_dashboard_shows_what_we_have() {
    within(30, || {
        let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("JSON");
        let mut queries = vec![];
        gather(&dashboard, &mut queries);
        assert!(queries.len() > 12, "{queries:?}");
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[1]);
        let page = rlvs(lab.director(), "metrics");
        // On the daemon's page there is the servers' health, too.
        let mut health = Text::default();
        health::tell(&Status { services: vec![], checks: 0 }, &mut health);
        let page = page + &health.into_string();
        let ours: BTreeSet<&str> =
            page.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        for query in queries {
            let names: Vec<&str> = (query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
                .filter(|w| w.starts_with("rlvs_") || w.starts_with("node_"))
                .collect();
            assert!(!names.is_empty(), "{query}");
            names.iter().for_each(|n| assert!(ours.contains(n), "{n} in {query}"));
        }
    });
}

fn gather(value: &serde_json::Value, queries: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) if key == "expr" || (key == "query" && text.contains('(')) => {
                        queries.push(text.to_owned())
                    }
                    _ => gather(value, queries),
                }
            }
        }
        serde_json::Value::Array(all) => all.iter().for_each(|v| gather(v, queries)),
        _ => {}
    }
}

fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|l| !l.starts_with('#'));
    lines
        .map(|l| l.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().expect(l))).expect(l))
        .collect()
}

fn scrape(mut stream: impl Read + Write) -> String {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}
