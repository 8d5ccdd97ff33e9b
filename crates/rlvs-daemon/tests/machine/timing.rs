//! When checks are made: delay_loop, retry, delay_before_retry, warmup, fast_recovery.

use super::world::{TCP, World, one_service};
use rlvs_daemon::machine::Outcome;
use std::time::Duration;

#[test]
fn delay_loop() {
    let own = TCP.replace('}', "delay_loop 3\n}");
    let mut w = World::new(&one_service("", &[TCP, &own]));
    w.until(20.0);
    assert_eq!(
        w.noted("try TCP_CHECK 10.0.0.1"),
        ["0", "10", "20"].map(|t| format!("{t} try TCP_CHECK 10.0.0.1:80"))
    );
    assert_eq!(w.noted("try TCP_CHECK 10.0.0.2").len(), 7);
}

/// From begin to begin, unless a try takes longer; what failed waits from its end.
#[test]
fn what_a_try_takes_does_not_add_up() {
    let tried = |takes: u64, up: bool| {
        let mut w = World::new(&one_service("delay_loop 1\nretry 0", &[TCP]));
        w.takes = Duration::from_millis(takes);
        w.server(1, up);
        w.until(4.2);
        let at = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
        w.noted("try").iter().map(at).collect::<Vec<_>>()
    };
    assert_eq!(tried(300, true), ["0", "1", "2", "3", "4"]);
    assert_eq!(tried(1500, true), ["0", "2.5"]);
    assert_eq!(tried(300, false), ["0", "1.3", "2.6", "3.9"]);
}

#[test]
fn retry() {
    let mut w = World::new(&one_service("retry 2\ndelay_before_retry 1", &[TCP]));
    w.until(5.0);
    w.server(1, false);
    w.until(11.9);
    assert_eq!(w.servers(), "1=1");
    w.until(12.0);
    assert_eq!(w.servers(), "", "three tries in a row: 10, 11, 12");
    w.until(21.9);
    assert_eq!(w.noted("try").len(), 4, "what is down is not retried");
    w.server(1, true);
    w.until(22.0);
    assert_eq!(w.servers(), "1=1", "one pass is enough");
}

#[test]
fn a_pass_forgives_what_failed_before() {
    let mut w = World::new(&one_service("retry 1\ndelay_before_retry 1", &[TCP]));
    for _ in 0..5 {
        w.run(5.0);
        w.server(1, false);
        w.run(5.5);
        w.server(1, true);
        w.run(0.5);
    }
    assert!(w.noted("try").len() > 8);
    assert_eq!(w.orders, 2, "only what made it at the start");
}

#[test]
fn delay_before_retry() {
    let mut w = World::new(&one_service("retry 1\ndelay_before_retry 2.5", &[TCP]));
    w.server(1, false);
    w.until(2.4);
    assert_eq!(w.servers(), "1=1");
    w.until(2.5);
    assert_eq!(w.servers(), "");
}

#[test]
fn warmup() {
    let many: Vec<String> = (0..50).map(|_| TCP.replace('}', "warmup 8\n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut w = World::new(&one_service("", &many));
    w.until(8.0);
    let mut times: Vec<f64> =
        w.log.iter().filter(|(_, what)| what.starts_with("try")).map(|(at, _)| *at).collect();
    assert_eq!(times.len(), 50, "each within its time");
    times.dedup();
    assert!(times.len() > 40, "and not all at once: {times:?}");
}

const HTTP: &str = "HTTP_GET {\nurl {\npath /a\n}\nurl {\npath /b\n}\n}";

#[test]
fn urls_one_after_the_other() {
    let mut w = World::new(&one_service("retry 0", &[HTTP]));
    w.until(20.0);
    let tries = [
        "0 try HTTP_GET 10.0.0.1:80 url 0",
        "10 try HTTP_GET 10.0.0.1:80 url 1",
        "20 try HTTP_GET 10.0.0.1:80 url 0",
    ];
    assert_eq!(w.noted("try"), tries);
    w.answers.insert("HTTP_GET 10.0.0.1:80 url 1".into(), Outcome::Failed("404".into()));
    w.until(30.0);
    assert_eq!(w.servers(), "");
    w.answers.clear();
    w.until(40.0);
    assert_eq!(w.servers(), "", "the first URL alone is not enough");
    w.until(50.0);
    assert_eq!(w.servers(), "1=1");
}

#[test]
fn fast_recovery() {
    let mut w = World::new(&one_service("retry 0", &[&HTTP.replacen('{', "{\nfast_recovery", 1)]));
    w.answers.insert("HTTP_GET 10.0.0.1:80".into(), Outcome::Failed("500".into()));
    w.until(10.0);
    assert_eq!(w.servers(), "");
    w.answers.clear();
    w.until(20.0);
    assert_eq!(w.servers(), "1=1", "both URLs at once");
}
