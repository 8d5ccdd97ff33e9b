//! What the recordings do not show: forms that were not provoked, and where we differ on purpose (docs/compat.md).

mod common;

use common::recording::blocks;
use common::{Answer, Fake, ipvsadm, run, same_rules};
use rlvs_control::model::*;
use std::collections::BTreeSet;

fn table(lines: &[&str]) -> Fake {
    let mut balancer = Fake::default();
    for line in lines {
        let answer = ipvsadm(line, &mut balancer);
        assert_eq!((answer.err.as_str(), answer.status), ("", 0), "{line}");
    }
    balancer
}

fn out(line: &str, balancer: &mut Fake) -> String {
    let Answer { out, err, status } = ipvsadm(line, balancer);
    assert_eq!((err.as_str(), status), ("", 0), "{line}");
    out
}

#[test]
fn save_keeps_what_the_original_forgets() {
    let mut balancer = table(&[
        "-A -t 10.0.0.1:80 -M 255.255.255.0 --pe sip",
        "-a -t 10.0.0.1:80 -r 10.1.0.1 -x 100 -y 50",
        "-a -t 10.0.0.1:80 -r 10.1.0.2 -i -x 7 --tun-type gue --tun-port 6080",
        "-A --sctp-service [fd00::1]:0 -p",
        "-A -f 4294967295 -6 -s none",
        "-A -t 10.0.0.2:80 -s mh -b mh-port,flag-3",
        "-A -t 10.0.0.3:80 -s sh -b flag-3",
    ]);
    assert_eq!(
        out("-S -n", &mut balancer),
        "-A -f 4294967295 -6 -s none\n\
         -A -t 10.0.0.1:80 -s wlc -M 255.255.255.0 --pe sip\n\
         -a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1 -x 100 -y 50\n\
         -a -t 10.0.0.1:80 -r 10.1.0.2:80 -i -w 1 -x 7 --tun-type gue --tun-port 6080 --tun-nocsum\n\
         -A -t 10.0.0.2:80 -s mh -b mh-port,flag-3\n\
         -A -t 10.0.0.3:80 -s sh -b flag-3\n\
         -A --sctp-service [fd00::1]:0 -s wlc -p 360\n"
    );
    // The listing shows mask and engine only of a persistent service, as the original does.
    assert!(out("-Ln", &mut balancer).contains("TCP  10.0.0.1:80 wlc\n"));
}

#[test]
fn tunnels_are_listed_with_port_and_checksum() {
    let mut balancer = table(&[
        "-A -t 10.0.0.1:80",
        "-a -t 10.0.0.1:80 -r 10.1.0.1 -i",
        "-a -t 10.0.0.1:80 -r 10.1.0.2 -i --tun-type gue --tun-port 6080",
        "-a -t 10.0.0.1:80 -r 10.1.0.3 -i --tun-type gue --tun-port 65535 --tun-remcsum",
        "-a -t 10.0.0.1:80 -r 10.1.0.4 -i --tun-type gre --tun-csum",
    ]);
    let listed = out("-Ln --tun-info", &mut balancer);
    let rows: Vec<&str> = listed.lines().skip(4).collect();
    assert_eq!(
        rows,
        [
            "  -> 10.1.0.1:80                  Tunnel  ipip          1      0          0         ",
            "  -> 10.1.0.2:80                  Tunnel  gue:6080:-c   1      0          0         ",
            "  -> 10.1.0.3:80                  Tunnel  gue:65535:r+c 1      0          0         ",
            "  -> 10.1.0.4:80                  Tunnel  gre:+c        1      0          0         ",
        ]
    );
}

#[test]
fn large_numbers_are_abbreviated_unless_exact() {
    let mut balancer = table(&["-A -t 10.0.0.1:80", "-a -t 10.0.0.1:80 -r 10.1.0.1"]);
    let counters = Counters {
        conns: 99_999_999,
        in_packets: 123_456_789,
        out_packets: 1_234_567_890,
        in_bytes: 123_456_789_012,
        out_bytes: 123_456_789_012_345,
    };
    let rates = Rates {
        conns_per_sec: 123_456_789,
        in_packets_per_sec: 123_456_789,
        out_packets_per_sec: 1,
        in_bytes_per_sec: 123_456_789,
        out_bytes_per_sec: 1,
    };
    let service = &mut balancer.services[0];
    (service.counters, service.rates) = (counters, rates);
    (service.destinations[0].counters, service.destinations[0].rates) = (counters, rates);
    let last_two = |text: String| {
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len() - 2..].join("\n")
    };
    assert_eq!(
        last_two(out("-Ln --stats", &mut balancer)),
        "TCP  10.0.0.1:80                  99999999  123456K    1234M     123G     123T\n  \
         -> 10.1.0.1:80                  99999999  123456K    1234M     123G     123T"
    );
    assert_eq!(
        last_two(out("-Ln --stats -X", &mut balancer)),
        "TCP  10.0.0.1:80                  99999999 123456789 1234567890 123456789012 123456789012345\n  \
         -> 10.1.0.1:80                  99999999 123456789 1234567890 123456789012 123456789012345"
    );
    assert_eq!(
        last_two(out("-Ln --rate", &mut balancer)),
        "TCP  10.0.0.1:80                   123456K  123456K        1  123456K        1\n  \
         -> 10.1.0.1:80                  123456789 123456789        1  123456K        1"
    );
}

#[test]
fn connections_of_every_kind() {
    let row = |protocol, state, expires_secs, engine: Option<(&str, &str)>| ConnectionView {
        protocol,
        client: "127.0.0.1".parse().unwrap(),
        client_port: 80,
        virtual_addr: "0.0.0.7".parse().unwrap(),
        virtual_port: 0,
        destination: "10.1.0.1".parse().unwrap(),
        destination_port: 80,
        state,
        expires_secs,
        is_template: protocol == 0,
        from_sync: false,
        engine: engine.map(|(name, data)| (name.to_owned(), data.to_owned())),
        source: None,
    };
    let mut balancer = Fake {
        connections: vec![
            row(0, "NONE", 61, None),
            row(132, "ESTABLISHED", 6_039, None),
            row(17, "UDP", 0, Some(("sip", "call-1"))),
        ],
        ..Fake::default()
    };
    assert_eq!(
        out("-Lc --persistent-conn", &mut balancer),
        "IPVS connection entries\n\
         pro expire state       source             virtual            destination        pe name          pe_data\n\
         IP  01:01  NONE        localhost:80       0.0.0.7:0          10.1.0.1:80\n\
         SCTP 100:39 ESTABLISHED localhost:80       0.0.0.7:0          10.1.0.1:80\n\
         UDP 00:00  UDP         localhost:80       0.0.0.7:0          10.1.0.1:80        sip              call-1\n"
    );
}

#[test]
fn who_is_not_root_is_told_so() {
    let mut balancer = Fake { not_root: true, ..Fake::default() };
    let text = "Can't initialize ipvs: Permission denied (you must be root)\n\
        Are you sure that IP Virtual Server is built in the kernel or as module?\n";
    for line in ["-A -t 10.0.0.1:80", "-C", "-S", "-L", "", "-Lc", "-L --daemon", "--set 1 2 3", "-Z"] {
        let answer = ipvsadm(line, &mut balancer);
        assert_eq!((answer.out.as_str(), answer.err.as_str(), answer.status), ("", text, 2), "{line}");
    }
    // Not once for each line.
    let file = "-A -t 10.0.0.1:80\n-A -t 10.0.0.2:80\n";
    for answer in [
        run("ipvsadm", &["-R".to_owned()], file, &mut balancer),
        run("ipvsadm-restore", &[], file, &mut balancer),
    ] {
        assert_eq!((answer.err.as_str(), answer.status), (text, 2));
    }
    assert_eq!(ipvsadm("-h", &mut balancer).status, 0);
}

#[test]
fn a_file_with_a_mistake_is_not_restored() {
    let mut balancer = table(&["-A -t 10.0.0.1:80"]);
    let before = balancer.services.clone();
    let given = balancer.orders_given;
    let answer = run("ipvsadm-restore", &[], "-A -t 10.0.0.2:80\n-A -t 10.0.0.3\n", &mut balancer);
    assert_eq!(answer.err, "Zero port specified for non-persistent service\n");
    assert_eq!(answer.status, 2);
    assert_eq!((balancer.services.clone(), balancer.orders_given), (before, given));
    // Nor is the table emptied by a question for help.
    run("ipvsadm-restore", &["-h".to_owned()], "", &mut balancer);
    assert_eq!(balancer.orders_given, given);
}

#[test]
fn restore_skips_comments_and_goes_on_after_a_refusal() {
    let mut balancer = table(&["-A -t 10.0.0.1:80"]);
    let file = "# made by hand\n\n-A -t 10.0.0.2:80\nipvsadm -A -t 10.0.0.2:80\n-A -u 10.0.0.2:80\r\n";
    let answer = run("ipvsadm-restore", &[], file, &mut balancer);
    assert_eq!((answer.err.as_str(), answer.status), ("Service already exists\n", 0));
    assert_eq!(balancer.services.len(), 2);
}

#[test]
fn ten_thousand_lines_are_restored_at_once() {
    let mut file = String::new();
    for i in 0..100 {
        file.push_str(&format!("-A -t 10.0.{i}.1:80 -s rr\n"));
        for j in 0..99 {
            file.push_str(&format!("-a -t 10.0.{i}.1:80 -r 10.1.{i}.{j}:8080 -m -w {j}\n"));
        }
    }
    let mut balancer = Fake::default();
    let begin = std::time::Instant::now();
    let answer = run("ipvsadm-restore", &[], &file, &mut balancer);
    assert_eq!((answer.err.as_str(), answer.status), ("", 0));
    let saved = out("-S -n", &mut balancer);
    assert_eq!(saved.lines().count(), 10_000);
    assert!(begin.elapsed().as_secs() < 5, "took {:?}", begin.elapsed());
}

#[test]
fn refusals_that_were_not_recorded() {
    for (line, text, status) in [
        ("-a -t 10.0.0.1:80 -r 10.1.0.1 -y -1", "illegal l_threshold specified", 2),
        ("-L --json --json", "multiple 'json' options specified", 2),
        ("-A -t 10.0.0.1:80 --json", "Illegal 'json' option with the 'add-service' command", 2),
        ("-Lc --json --stats", "options conflicts in the list command", 2),
        ("--set 1 2 3 4 -n", "unexpected argument 4", 2),
    ] {
        let mut balancer = Fake::default();
        let answer = ipvsadm(line, &mut balancer);
        assert_eq!((answer.err, answer.status), (format!("{text}\n"), status), "{line}");
        assert_eq!(balancer.orders_given, 0, "{line}");
    }
}

/// Whether a scheduler is known is the balancer's to say: one that is newer than ipvsadm 1.31 can be used.
#[test]
fn a_new_scheduler_can_be_used() {
    let mut balancer = Fake { further_scheduler: Some("twos"), ..Fake::default() };
    assert_eq!(ipvsadm("-A -t 10.0.0.1:80 -s twos -b flag-1", &mut balancer).status, 0);
    assert!(out("-Ln", &mut balancer).ends_with("TCP  10.0.0.1:80 twos (flag-1)\n"));
    assert_eq!(out("-S -n", &mut balancer), "-A -t 10.0.0.1:80 -s twos -b flag-1\n");
}

/// Where K, M, G and T begin, in whole rows: they stay in line until a number is exact.
#[test]
fn rows_stay_in_line_at_every_boundary() {
    let mut balancer = table(&["-A -t 10.0.0.1:80"]);
    for (number, short) in [
        (99_999_999, " 99999999"),
        (100_000_000, "  100000K"),
        (999_999_999, "  999999K"),
        (1_000_000_000, "    1000M"),
        (99_999_999_999, "   99999M"),
        (100_000_000_000, "     100G"),
        (99_999_999_999_999, "   99999G"),
        (100_000_000_000_000, "     100T"),
        (u64::MAX, "18446744T"),
    ] {
        let service = &mut balancer.services[0];
        service.counters =
            Counters { conns: 1, in_packets: number, out_packets: 1, in_bytes: number, out_bytes: number };
        let mut row = |options: &str| {
            let listed = out(&format!("-Ln --stats {options}"), &mut balancer);
            listed.lines().last().expect("a row").to_owned()
        };
        let name = "TCP  10.0.0.1:80                 ";
        assert_eq!(row(""), format!("{name}        1{short}        1{short}{short}"));
        assert_eq!(row("").len(), name.len() + 5 * 9, "{number}");
        assert_eq!(row("--exact"), format!("{name}        1 {number:8}        1 {number:8} {number:8}"));
    }
}

/// A name is only written where it leads back to what it stands for.
#[test]
fn names_that_would_be_read_otherwise_are_not_saved() {
    let lines = "-A -t [fd00:c::7]:80 -s rr\n-A -t 10.0.0.7:80 -s rr\n-A -u 10.0.0.8:80 -s rr\n";
    let mut balancer = table(&lines.lines().collect::<Vec<_>>());
    let saved = out("-S", &mut balancer);
    assert_eq!(
        saved,
        "-A -t a-name-that-is-longer-than-columns.example.org:http -s rr\n\
         -A -u 10.0.0.8:80 -s rr\n\
         -A -t [fd00:c::7]:http -s rr\n"
    );
    let mut again = Fake::default();
    assert_eq!(run("ipvsadm-restore", &[], &saved, &mut again).status, 0);
    assert!(same_rules(&again, &balancer));
}

/// Files that the original wrote come back as they were, with names and without.
#[test]
fn what_the_original_saved_can_be_restored() {
    let mut restored = 0;
    for recording in [
        include_str!("golden/c4-basic.txt"),
        include_str!("golden/c4-ipv6.txt"),
        include_str!("golden/c4-save-restore.txt"),
        include_str!("golden/c4-forms.txt"),
        include_str!("golden/c4-orders.txt"),
    ] {
        for block in blocks(recording) {
            let numeric = match block.command {
                "ipvsadm -S" | "ipvsadm-save" => "",
                "ipvsadm -S -n" | "ipvsadm-save -n" => "-n",
                _ => continue,
            };
            let lines = block.answer.lines().filter_map(|l| l.strip_prefix("1| "));
            // The original cannot read these either.
            let unreadable = |l: &&str| l.contains(" -f -") || l.ends_with(" -b |") || l.contains("[six.");
            let readable = lines.filter(|l| !unreadable(l));
            let saved: String = readable.map(|l| format!("{l}\n")).collect();
            let mut balancer = Fake::default();
            let answer = run("ipvsadm-restore", &[], &saved, &mut balancer);
            assert_eq!((answer.err.as_str(), answer.status), ("", 0), "{saved}");
            let again = out(&format!("-S {numeric}"), &mut balancer);
            // Sorting goes in circles (see `list::sort`), so only the lines have to be the same.
            let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(sorted(&again), sorted(&saved));
            restored += saved.lines().count();
        }
    }
    assert!(restored > 150, "{restored} lines");
}
