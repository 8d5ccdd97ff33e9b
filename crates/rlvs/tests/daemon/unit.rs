//! `dist/rlvs-daemon.service`: systemd understands it, and the daemon understands what it says.

use crate::common::RLVS;
use std::path::PathBuf;
use std::process::{Command, Output};

const UNIT: &str = include_str!("../../../../dist/rlvs-daemon.service");

/// The unit with the program that was built for the tests, in a directory of its own.
struct Unit(PathBuf);

impl Unit {
    fn new(name: &str, text: &str) -> Unit {
        let directory = std::env::temp_dir().join(format!("rlvs-unit-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("rlvs-daemon.service"), text.replace("/usr/local/sbin/rlvs", RLVS))
            .unwrap();
        Unit(directory)
    }

    /// What systemd-analyze has against it.
    fn verify(&self) -> String {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]).arg(self.0.join("rlvs-daemon.service"));
        let output = command.output().expect("systemd-analyze (apt-get install systemd; make test does it)");
        String::from_utf8_lossy(&output.stderr).into_owned()
            + if output.status.success() { "" } else { "it failed" }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn systemd_understands_the_unit() {
    assert_eq!(Unit::new("good", UNIT).verify(), "");
    let wrong = Unit::new("wrong", &UNIT.replace("KillMode=", "KilMode=")).verify();
    assert!(wrong.contains("Unknown key") && wrong.contains("KilMode"), "it would be seen: {wrong}");
}

#[test]
fn the_daemon_understands_the_unit() {
    let value = |key: &str| {
        let line = UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {key}")).to_owned()
    };
    assert_eq!(value("Type"), "notify");
    let start = value("ExecStart").replace("${RLVS_CONFIG}", "/nowhere/rlvs.toml");
    // What is proposed for RLVS_OPTIONS.
    for options in ["", "--dont-release-ipvs"] {
        let said = run(&start.replace("$RLVS_OPTIONS", options));
        let error = String::from_utf8_lossy(&said.stderr);
        assert!(
            error.contains("/nowhere/rlvs.toml") && !error.contains("Usage"),
            "it gets to the file: {error}"
        );
    }
    let reload = run(&format!("{} --help", value("ExecReload")));
    assert!(reload.status.success(), "{reload:?}");
    let wrong = run(&start.replace("$RLVS_OPTIONS", "--no-such-option"));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("Usage"), "it would be seen: {wrong:?}");
}

fn run(line: &str) -> Output {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("/usr/local/sbin/rlvs"));
    Command::new(RLVS).args(words).output().expect("our program")
}
