//! MISC_CHECK and FILE_CHECK.

use super::lab::{check, check_config, closed, config, fails};
use rlvs_daemon::config::model::TrackFile;
use rlvs_daemon::machine::Outcome;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn misc(command: &str, lines: &str) -> Outcome {
    check(closed(), &format!("MISC_CHECK {{\nmisc_path \"{command}\"\n{lines}\n}}"))
}

#[test]
fn exit_status() {
    for status in [0, 1, 2, 255] {
        assert_eq!(misc(&format!("/bin/sh -c 'exit {status}'"), ""), Outcome::Exit(status));
    }
    fails(misc("/bin/sh -c 'kill -9 \\$\\$'", ""), "killed by signal 9");
    fails(misc("/nowhere/check", ""), "No such file");
}

/// The program and all that it started.
#[test]
fn misc_timeout() {
    let note = scratch("children");
    let command = format!("/bin/sh -c 'sleep 1000 & echo \\$! > {}; wait'", note.display());
    let began = Instant::now();
    fails(misc(&command, "misc_timeout 0.5"), "not done within 500ms, and killed");
    assert!(began.elapsed() < Duration::from_secs(3));
    let child: i32 = std::fs::read_to_string(&note).unwrap().trim().parse().unwrap();
    std::fs::remove_file(&note).unwrap();
    // It dies as soon as it gets a processor, and is gone when its new parent has looked; a zombie sleeps no more.
    let state = || std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    let end = Instant::now() + Duration::from_secs(20);
    while !(state().is_empty() || state().contains(") Z ")) {
        assert!(Instant::now() < end, "{}", state());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn user() {
    assert_eq!(misc("/bin/sh -c 'test \\$(id -u) = 65534'", "user nobody"), Outcome::Exit(0));
    assert_eq!(misc("/bin/sh -c 'test \\$(id -G) = 65534'", "user nobody nogroup"), Outcome::Exit(0));
    assert_eq!(misc("/bin/sh -c 'test \\$(id -u) = 0'", "user root"), Outcome::Exit(0));
    fails(misc("/bin/true", "user nobody-like-this"), "no user nobody-like-this");
}

/// Nothing of ours is given away.
#[test]
fn no_socket_is_inherited() {
    let _open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let look = "/bin/sh -c 'if ls -l /proc/self/fd | grep -q socket; then exit 1; fi'";
    assert_eq!(misc(look, ""), Outcome::Exit(0));
}

#[test]
fn script_security() {
    let script = scratch("open-to-all");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    let mode = |bits| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(bits)).unwrap();
    };
    let check = |secure: bool| {
        let lines = format!("MISC_CHECK {{\nmisc_path {}\nuser root\n}}", script.display());
        let mut config = config("127.0.0.1 9", &lines);
        config.global.script_security = secure;
        check_config(&config)
    };
    mode(0o777);
    fails(check(true), "can be changed by others than root");
    assert_eq!(check(false), Outcome::Exit(0));
    mode(0o755);
    assert_eq!(check(true), Outcome::Exit(0), "/tmp is open to all, but sticky");
    std::fs::remove_file(&script).unwrap();
}

#[test]
fn file() {
    let path = scratch("number");
    let says = |text: Option<&str>| {
        match text {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => drop(std::fs::remove_file(&path)),
        }
        let mut config = config("127.0.0.1 9", "FILE_CHECK {\ntrack_file m\n}");
        let file = path.to_str().unwrap().to_owned();
        config.track_files = vec![TrackFile { name: "m".into(), file, weight: None, init: None }];
        check_config(&config)
    };
    for (text, number) in
        [(Some("-42\n"), -42), (Some("7 of 9"), 7), (Some("no"), 0), (Some(""), 0), (None, 0)]
    {
        assert_eq!(says(text), Outcome::Number(number), "{text:?}");
    }
    // A pipe that nobody writes to does not hold us up.
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut config = config("127.0.0.1 9", "FILE_CHECK {\ntrack_file m\n}");
    config.track_files[0].file = path.to_str().unwrap().to_owned();
    assert_eq!(check_config(&config), Outcome::Number(0));
    std::fs::remove_file(&path).unwrap();
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("rlvs-probe-{}-{name}", std::process::id()))
}
