//! `rlvs config check` and `rlvs config convert`, as an operator calls them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn rlvs(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rlvs")).arg("config").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Order and blank lines do not matter.
fn words(text: &str) -> Vec<&str> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    words.sort_unstable();
    words
}

fn data(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rlvs-daemon/tests/data/keepalived");
    dir.join(name).to_str().unwrap().to_owned()
}

/// A file of this test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &[u8]) -> Scratch {
        let path = std::env::temp_dir().join(format!("rlvs-config-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Scratch(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_good_file() {
    let done = rlvs(&["check", &data("04-ranges.conf")]);
    assert!(done.status.success());
    let said = text(&done.stdout);
    assert!(
        said.ends_with("04-ranges.conf: 1 virtual server, which come to 31 services and 62 destinations\n"),
        "{said}"
    );
    assert_eq!(text(&done.stderr), "");
}

#[test]
fn warnings_fail_only_when_strict_and_json_tells_them() {
    let file = data("11-quorum-and-vrrp.conf");
    let done = rlvs(&["check", "--json", &file]);
    assert!(done.status.success());
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&json["usable"], &json["services"]), (&true.into(), &1.into()));
    assert_eq!(json["findings"][0]["level"], "warning");
    assert_eq!((&json["findings"][0]["line"], &json["findings"][0]["column"]), (&3.into(), &5.into()));
    let done = rlvs(&["check", "--strict", &file]);
    assert!(!done.status.success() && text(&done.stderr).ends_with("0 errors, 10 warnings\n"));
}

#[test]
fn a_broken_file_is_not_converted() {
    let file = Scratch::new("broken.conf", b"virtual_server 192.0.2.1 80 {\n  bogus\n}\n");
    let done = rlvs(&["convert", file.path()]);
    assert!(!done.status.success() && done.stdout.is_empty());
    let said = text(&done.stderr);
    assert!(
        said.contains("error: unknown keyword bogus in virtual_server") && said.contains(":2:3"),
        "{said}"
    );
    assert!(said.ends_with("1 error; nothing was written\n"), "{said}");
    let done = rlvs(&["check", "/nowhere/keepalived.conf"]);
    assert!(!done.status.success() && text(&done.stderr).contains("/nowhere/keepalived.conf: No such file"));
}

#[test]
fn there_and_back() {
    let toml = rlvs(&["convert", &data("02-nat-ssl.conf")]);
    assert!(toml.status.success());
    assert_eq!(text(&toml.stdout), std::fs::read_to_string(data("02-nat-ssl.toml")).unwrap());
    let file = Scratch::new("there.toml", &toml.stdout);
    let conf = rlvs(&["convert", file.path()]);
    assert!(conf.status.success() && text(&conf.stdout).contains("\nvirtual_server 198.51.100.5 443 {\n"));
    let file = Scratch::new("back.conf", &conf.stdout);
    assert_eq!(rlvs(&["convert", "--to", "toml", file.path()]).stdout, toml.stdout);
}

/// What keepalived has no word for is said, with its place.
#[test]
fn via_is_lost_in_a_keepalived_conf() {
    let toml = "[[virtual_server]]\nservice = \"192.0.2.1:80\"\nvia = \"vip\"\nmethod = \"DR\"\n\
                [[virtual_server.real_server]]\naddress = \"10.0.0.1\"\n\
                check = [{ type = \"tcp\", via = \"vip\" }, { type = \"tcp\", via = \"rip\" }]\n";
    let file = Scratch::new("via.toml", toml.as_bytes());
    let done = rlvs(&["convert", file.path()]);
    let said = text(&done.stderr);
    assert!(!done.status.success() && done.stdout.is_empty() && said.contains("--lossy"), "{said}");
    let done = rlvs(&["convert", "--lossy", file.path()]);
    assert!(done.status.success());
    let said = text(&done.stderr);
    assert_eq!(said.matches("warning: a keepalived.conf has no word for via").count(), 2, "{said}");
    assert!(said.contains("via.toml:1:1") && said.contains("via.toml:7:10"), "{said}");
    assert!(text(&done.stdout).contains("TCP_CHECK {") && !text(&done.stdout).contains("via"));
    // In its own form nothing is lost.
    let done = rlvs(&["convert", "--to", "toml", file.path()]);
    assert!(text(&done.stderr).is_empty() && text(&done.stdout).matches("via = \"vip\"").count() == 2);
}

#[test]
fn a_line_for_this_machine() {
    let file = data("07-conditions-and-definitions.conf");
    let schedulers = |id| text(&rlvs(&["convert", "-i", id, &file]).stdout);
    assert!(
        schedulers("west").contains("scheduler = \"rr\"")
            && !schedulers("east").contains("scheduler = \"rr\"")
    );
}

/// The daemon cannot see the brain's list, so the two are compared here.
#[test]
fn the_daemon_knows_every_scheduler_of_the_brain() {
    for name in rlvs_daemon::config::model::SCHEDULERS {
        assert!(rlvs_core::sched::Scheduler::from_word(name).is_some(), "{name}");
    }
}

/// What the other form has no words for is named, and not dropped in silence.
#[test]
fn agents_are_not_lost_in_silence() {
    let service = "[[virtual_server]]\nservice = \"192.0.2.1:80\"\nweight = 100\nagent = { port = 3333 }\n\
                   [[virtual_server.real_server]]\naddress = \"10.0.0.1:80\"\n";
    let file = Scratch::new("agents.toml", service.as_bytes());
    let checked = rlvs(&["check", file.path()]);
    assert!(checked.status.success() && text(&checked.stderr).is_empty(), "{}", text(&checked.stderr));
    let refused = rlvs(&["convert", file.path()]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && text(&refused.stdout).is_empty());
    assert!(
        said.contains("no word for agent") && said.contains("agents.toml:1:1") && said.contains("--lossy"),
        "{said}"
    );
    let done = rlvs(&["convert", "--lossy", file.path()]);
    assert!(
        done.status.success() && text(&done.stderr).contains("warning: a keepalived.conf has no word"),
        "{}",
        text(&done.stderr)
    );
    assert!(text(&done.stdout).contains("virtual_server 192.0.2.1 80 {"));
    let same = rlvs(&["convert", "--to", "toml", file.path()]);
    assert!(same.status.success() && text(&same.stdout).contains("port = 3333"), "{}", text(&same.stdout));
}

#[test]
fn passive_checks_are_shown_and_not_lost_in_silence() {
    let toml = "[global.passive]\nmode = \"advise\"\n\n[[virtual_server]]\nservice = \"192.0.2.1:80\"\n\n\
                [virtual_server.passive]\nmode = \"act\"\nhold = \"60s\"\n\n\
                [[virtual_server.real_server]]\naddress = \"10.0.0.1:80\"\n";
    let file = Scratch::new("passive.toml", toml.as_bytes());
    let same = rlvs(&["convert", "--to", "toml", file.path()]);
    let shown = text(&same.stdout);
    assert!(same.status.success() && words(&shown) == words(toml), "{shown}");
    let refused = rlvs(&["convert", file.path()]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && refused.stdout.is_empty());
    assert!(said.contains("no word for passive") && said.contains("passive.toml:1:2"), "{said}");
    let done = rlvs(&["convert", "--lossy", file.path()]);
    assert!(done.status.success() && text(&done.stdout).contains("virtual_server 192.0.2.1 80 {"));
}

/// Settings of agents that cannot work are said with their line.
#[test]
fn agents_that_cannot_be_asked() {
    for (agent, says) in [
        ("port = 0", "an agent without a port"),
        ("port = 1, script = { command = \"x\" }", "more than one of port, address and script"),
        ("address = \"10.0.0.9:3333\"", "one agent would speak for all real servers"),
        ("port = 3333, interval = \"1ms\"", "below 100 ms"),
        ("port = 3333, timeout = \"0s\"", "timeout of 0"),
        ("port = 3333, floor_percent = 0", "0 as a part of the weight"),
        ("port = 3333, floor_percent = 90, ceiling_percent = 80", "a floor of 90 % above a ceiling of 80 %"),
        ("port = 3333, missed = 0", "0 answers that may be missed"),
        ("port = 3333, colour = 1", "unknown field `colour`"),
    ] {
        let service = format!(
            "[[virtual_server]]\nservice = \"192.0.2.1:80\"\nweight = 100\nagent = {{ {agent} }}\n\
             [[virtual_server.real_server]]\naddress = \"10.0.0.1:80\"\n"
        );
        let file = Scratch::new("bad-agent.toml", service.as_bytes());
        let checked = rlvs(&["check", file.path()]);
        let said = text(&checked.stderr);
        assert!(!checked.status.success() && said.contains(says), "{agent}: {said}");
    }
}
