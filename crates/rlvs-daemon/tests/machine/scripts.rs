//! Who is told: notify_up, notify_down, quorum_up, quorum_down, the pipe, omega, notify_at_start.

use super::world::{TCP, World, one_service};

const GLOBAL: &str = "global_defs {\nlvs_notify_fifo /run/fifo\n}\n";

fn told(vs: &str) -> String {
    let server = format!("notify_up \"server up\"\nnotify_down \"server down\"\n{TCP}");
    let vs = format!("retry 0\nquorum_up \"quorum up\"\nquorum_down \"quorum down\"\n{vs}");
    format!("{GLOBAL}{}", one_service(&vs, &[&server]))
}

fn all(w: &World) -> Vec<&str> {
    w.log.iter().map(|(_, what)| what.as_str()).filter(|what| !what.starts_with("try")).collect()
}

#[test]
fn notify_up_and_notify_down() {
    let mut w = World::new(&told(""));
    w.until(5.0);
    w.server(1, false);
    w.until(10.0);
    assert_eq!(w.noted("run"), ["0 run quorum up", "10 run server down", "10 run quorum down"]);
    w.server(1, true);
    w.until(20.0);
    assert_eq!(w.noted("run")[3..], ["20 run server up", "20 run quorum up"]);
}

#[test]
fn lvs_notify_fifo() {
    let mut w = World::new(&told(""));
    w.server(1, false);
    w.until(10.0);
    w.server(1, true);
    w.until(20.0);
    let lines: Vec<&str> = all(&w).into_iter().filter(|what| !what.starts_with("run")).collect();
    assert_eq!(
        lines,
        [
            "VS [192.0.2.1]:tcp:80 UP",
            "RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 DOWN",
            "VS [192.0.2.1]:tcp:80 DOWN",
            "RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 UP",
            "VS [192.0.2.1]:tcp:80 UP",
        ]
    );
    let mut w = World::new(&told("").replace(GLOBAL, ""));
    w.run(10.0);
    assert!(w.noted("VS").is_empty(), "no pipe, no lines");
}

#[test]
fn omega() {
    for (vs, after) in [("", &[][..]), ("omega", &["run server down", "run quorum down"])] {
        let mut w = World::new(&told(vs));
        w.run(5.0);
        w.log.clear();
        w.stop(false);
        let scripts: Vec<&str> = all(&w).into_iter().filter(|what| what.starts_with("run")).collect();
        assert_eq!(scripts, after);
        assert!(w.rules.is_empty());
    }
}

#[test]
fn the_rules_can_be_left_at_the_end() {
    let mut w = World::new(&told("omega"));
    w.run(5.0);
    w.log.clear();
    w.stop(true);
    assert_eq!((all(&w), w.servers()), (vec![], "1=1".into()));
}

#[test]
fn lvs_flush_on_stop() {
    let other = World::new("virtual_server 198.51.100.1 80 {\nprotocol TCP\n}").rules;
    for (lines, left) in [("", 1), ("lvs_flush_on_stop VS", 1), ("lvs_flush_on_stop", 0)] {
        let text = format!("global_defs {{\n{lines}\n}}\n{}", one_service("", &[TCP]));
        let mut w = World::with(&text, &Default::default(), other.clone(), 1);
        assert_eq!(w.rules.len(), 2);
        w.stop(false);
        assert_eq!(w.rules.len(), left, "{lines}");
    }
}

#[test]
fn lvs_flush() {
    let other = World::new("virtual_server 198.51.100.1 80 {\nprotocol TCP\n}").rules;
    for (lines, left) in [("", 2), ("lvs_flush", 1)] {
        let text = format!("global_defs {{\n{lines}\n}}\n{}", one_service("", &[TCP]));
        let w = World::with(&text, &Default::default(), other.clone(), 1);
        assert_eq!(w.rules.len(), left, "{lines}");
    }
}

#[test]
fn rs_init_notifies() {
    let mut text = told("");
    let w = World::new(&text);
    assert_eq!(w.noted("run"), ["0 run quorum up"]);
    text = text.replace("lvs_notify_fifo", "rs_init_notifies\nlvs_notify_fifo");
    let w = World::new(&text);
    assert_eq!(w.noted("run"), ["0 run server up", "0 run quorum up"]);
}

/// A pool that nobody names is left alone, also at a reload; one that was named goes with its last address.
#[test]
fn lvs_fullnat_source() {
    let plain = one_service("", &[TCP]);
    let with = |words: &str| format!("global_defs {{\n{words}}}\n{plain}");
    let two = "lvs_fullnat_source 10.1.0.201\nlvs_fullnat_source 10.1.0.202 7-9\n";
    let mut w = World::new(&with(""));
    w.reload(&plain);
    assert!(w.noted("sources").is_empty());
    let difference = w.reload(&with(two));
    assert_eq!(difference.orders, ["use source 10.1.0.201", "use source 10.1.0.202 7-9"]);
    let difference = w.reload(&with("lvs_fullnat_source 10.1.0.202 7-10\n"));
    assert_eq!(difference.orders, ["use source 10.1.0.202 7-10", "take out source 10.1.0.201"]);
    assert_eq!(w.reload(&with("lvs_fullnat_source 10.1.0.202 7-10\n")).orders, Vec::<String>::new());
    assert_eq!(w.reload(&plain).orders, ["take out source 10.1.0.202"]);
    let expected = [
        "0 sources 10.1.0.201 10.1.0.202",
        "0 sources 10.1.0.202",
        "0 sources 10.1.0.202", // the same again: it may have failed
        "0 sources ",
    ];
    assert_eq!(w.noted("sources"), expected);
    assert_eq!(World::new(&with(two)).noted("sources"), ["0 sources 10.1.0.201 10.1.0.202"], "at the start");
}

#[test]
fn lvs_timeouts() {
    let text = format!("global_defs {{\nlvs_timeouts tcp 600 udp 30\n}}\n{}", one_service("", &[TCP]));
    assert_eq!(World::new(&text).noted("timeouts"), ["0 timeouts 600 0 30"]);
}
