//! `rlvs realserver agent` on a real server, asked from the director as HAProxy asks, and by HTTP.

mod common;

use common::{Serving, lab, rlvs, try_as, wait_for, within};
use rlvs::lab::{Lab, Topology};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn it_answers_with_words_and_with_json() {
    within(30, || {
        let lab = lab(Topology::Nat);
        let server = lab.server(1);
        // What a test that was killed left behind.
        rlvs(server, "realserver agent set ready");
        let _agent = Serving::start(server, "realserver agent --max-connections 100000");
        let addr = server.addr();
        let words = || ask(&lab, addr, "");
        let first = wait_for("the agent", Duration::from_secs(5), words);
        assert!(first.starts_with("up ready ") && first.ends_with("%\n"), "{first:?}");
        let json = ask(&lab, addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let json: serde_json::Value = serde_json::from_str(json.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert!(json["cores"].as_u64() > Some(0) && json["run_queue_tasks"].is_number(), "{json}");
        let order = |state: &str| {
            rlvs(server, &format!("realserver agent set {state}"));
            words().unwrap()
        };
        assert!(order("drain").starts_with("up drain "));
        assert_eq!(order("maint"), "maint\n");
        assert_eq!(order("25%"), "up ready 25%\n");
        // Another host's agent has orders of its own.
        let _other = Serving::start(lab.server(2), "realserver agent");
        let other =
            wait_for("the other agent", Duration::from_secs(5), || ask(&lab, lab.server(2).addr(), ""));
        assert!(!other.contains(" 25%"), "{other:?}");
        assert_ne!(order("ready"), "up ready 25%\n");
        let refused = try_as(server, "rlvs", "realserver agent set 200%", "");
        assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("200%"));
        let taken = try_as(server, "rlvs", "realserver agent", "");
        assert!(!taken.status.success() && String::from_utf8_lossy(&taken.stderr).contains("0.0.0.0:3333"));
    });
}

/// Asked ten times while others hold on to half of what it serves at once: each answer comes at once.
#[test]
fn it_never_keeps_a_director_waiting() {
    within(30, || {
        let lab = lab(Topology::Nat);
        let server = lab.server(1);
        let _agent = Serving::start(server, "realserver agent");
        let addr = server.addr();
        wait_for("the agent", Duration::from_secs(5), || ask(&lab, addr, ""));
        let mut held = vec![];
        for _ in 0..32 {
            let mut stream = lab.director().run(|| TcpStream::connect((addr, 3333))).unwrap();
            stream.write_all(b"GET / HTTP").unwrap();
            held.push(stream);
        }
        for _ in 0..10 {
            let began = Instant::now();
            assert!(ask(&lab, addr, "").is_some());
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        }
    });
}

/// What the agent says to the director; None while nobody listens.
fn ask(lab: &Lab, addr: Ipv4Addr, request: &str) -> Option<String> {
    lab.director().run(|| {
        let mut stream = TcpStream::connect((addr, 3333)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        Some(answer)
    })
}
