//! Nobody's friend: whatever the bytes are, there is an answer and no panic, and findings point into their file.

use crate::{data, models, parse, parse_toml};
use proptest::prelude::*;
use rlvs_daemon::config::report::{MAX_FINDINGS, Report};
use rlvs_daemon::config::rules::{MAX_DESTINATIONS, desired_rules};
use rlvs_daemon::config::{keepalived, toml};

/// Reads, validates, makes rules and shows the findings; each of these must come to an end by itself.
fn survive(text: &str) {
    for (config, report) in [parse(text), parse_toml(text)] {
        sound(&report);
        if !report.has_errors() {
            let rules = desired_rules(&config);
            assert!(rules.iter().map(|rule| rule.destinations.len() as u64).sum::<u64>() <= MAX_DESTINATIONS);
            keepalived::write(&config);
            toml::write(&config);
        }
    }
}

fn sound(report: &Report) {
    assert!(report.diagnostics().len() <= MAX_FINDINGS);
    for finding in report.diagnostics() {
        if let Some(span) = finding.span {
            assert!(report.text(span.file).get(span.start..span.end).is_some(), "{finding:?}");
        }
    }
    report.render(false);
}

fn files() -> Vec<String> {
    let entries = std::fs::read_dir(data()).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Pieces of the grammar, thrown together.
fn soup() -> impl Strategy<Value = String> {
    let word = proptest::sample::select(
        &[
            "virtual_server",
            "real_server",
            "203.0.113.1",
            "80",
            "{",
            "}",
            "{",
            "}",
            "\n",
            "\n",
            "\n",
            " ",
            "\t",
            "group",
            "fwmark",
            "virtual_server_group g {",
            "10.0.0.0/16",
            "1-5",
            "$A=",
            "$A",
            "${A}",
            "$B= \\\n",
            "\\",
            "~SEQ(A,1,9)",
            "~LST({A,B},{1,2})",
            "~SEQx(",
            "@east ",
            "@^east ",
            "include *",
            "\"",
            "'",
            "#",
            "!",
            "TCP_CHECK",
            "HTTP_GET",
            "url",
            "path /",
            "quorum 9",
            "weight",
            "-1",
            "99999999999",
            "protocol TCP",
            "lvs_sched rr",
            "global_defs",
            "lvs_timeouts tcp",
            "ä",
            "\\x",
            "\\777",
            "\u{2028}",
            "\r\n",
            "${_PWD}",
            "[[virtual_server]]\n",
            "service = \"1.2.3.4:5\"\n",
            "= [",
            "]",
            "check = {",
        ][..],
    );
    proptest::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        survive(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn pieces_of_the_grammar(text in soup()) {
        survive(&text);
    }

    #[test]
    fn good_files_with_faults(
        which in any::<prop::sample::Index>(),
        faults in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), soup()), 1..6),
    ) {
        let files = files();
        let mut text: Vec<char> = files[which.index(files.len())].chars().collect();
        for (from, to, new) in faults {
            let (a, b) = (from.index(text.len() + 1), to.index(text.len() + 1));
            // Cut at most some characters: what is left must stay a configuration, more or less.
            let (a, b) = (a.min(b), a.max(b).min(a.min(b) + 20));
            text.splice(a..b, new.chars().take(20));
        }
        survive(&text.into_iter().collect::<String>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_model_can_be_judged(config in models::config()) {
        survive(&keepalived::write(&config));
        survive(&toml::write(&config));
    }
}

#[test]
fn what_grows_is_bounded() {
    let laughs: String = (0..20).map(|n| format!("$A{}=${{A{n}}}${{A{n}}}\n", n + 1)).collect();
    for (text, why) in [
        (format!("$A0=lol\n{laughs}x ${{A20}}\n"), "definitions are replaced"),
        ("$A=$A x\n$A\n".to_owned(), "does one contain itself?"),
        ("$A= \\\nx \\\n$A\n$A\n".to_owned(), "definitions are more than 24 deep"),
        ("~SEQ(A,1,65000) ~SEQ(B,1,65000) x\n".to_owned(), "more than 200000 lines"),
        ("~SEQ(A,1,99999999) x\n".to_owned(), "more than 65536 values"),
        ("{\n".repeat(100_000), "this { belongs to no keyword"),
        ("a {\n".repeat(100_000), "blocks are more than 12 deep"),
        ("}\n".repeat(100_000), "this } closes nothing"),
        (format!("a {}\n", "b ".repeat(40_000)), "this line has more than 65536 bytes"),
        ("a b c d e f\n".repeat(190_000), "more than 1000000 words"),
        ("include keepalived.conf\n".to_owned(), "files include each other more than 16 deep"),
        ("include keepalived.conf\n".repeat(9), "files include each other more than 16 deep"),
        ("#".repeat(5 << 20), "it has more than 4194304 bytes"),
    ] {
        let (_, report) = parse(&text);
        sound(&report);
        let start: String = text.chars().take(60).collect();
        let said: String = report.render(false).chars().take(2000).collect();
        assert!(report.has_errors() && said.contains(why), "{start}\n{said}");
    }
    let many = "virtual_server_group g {\n10.0.0.0/16 80\n10.1.0.0/16 80\n}\nvirtual_server group g {\nprotocol TCP\n}\n";
    assert!(parse(many).1.render(false).contains("more than 65536 services"));
}
