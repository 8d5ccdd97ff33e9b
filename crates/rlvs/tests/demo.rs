//! The demo as a newcomer runs it: all modes succeed in less than half a minute and leave nothing; kept labs stay until
//! they are removed; Ctrl-C removes what there is.

mod common;

use common::{RLVS, within};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

#[test]
fn all_modes_in_half_a_minute() {
    within(100, || {
        let began = Instant::now();
        let output = demo(&[]);
        let text = text(&output);
        assert!(output.status.success(), "{text}");
        // Unoptimised, the hashes alone can take longer than everything else together.
        let limit = if cfg!(debug_assertions) { 60 } else { 30 };
        assert!(began.elapsed() < Duration::from_secs(limit), "took {:?}", began.elapsed());
        for word in ["NAT", "DR", "TUN", "Masq", "Route", "Tunnel", "rs3", "SHA-256", "What to try next"] {
            assert!(text.contains(word), "no {word} in\n{text}");
        }
        assert!(!text.contains('\x1b'), "colours, though nobody is looking");
        let wide = |line: &&str| line.chars().count() > 100 && !line.contains(RLVS);
        assert_eq!(text.lines().find(wide), None, "too wide");
    });
}

#[test]
fn a_kept_lab_stays_until_it_is_removed() {
    within(60, || {
        let output = demo(&["--mode", "dr", "--keep"]);
        let text = text(&output);
        assert!(output.status.success(), "{text}");
        let words: Vec<_> = text.split_whitespace().collect();
        let director = words
            .iter()
            .find(|w| w.starts_with("rlvs-") && w.ends_with("-director"))
            .expect("how to enter it");
        let path = format!("/run/netns/{director}");
        assert!(fs::exists(&path).unwrap());
        assert!(demo(&["--remove"]).status.success());
        assert!(!fs::exists(&path).unwrap());
    });
}

#[test]
fn ctrl_c_removes_the_lab() {
    within(60, || {
        let mut child = Command::new(RLVS)
            .args(["demo", "--mode", "nat"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The rules are shown: it is in the middle of its work.
        lines.find(|l| l.as_ref().unwrap().contains("IP Virtual Server")).expect("the listing").unwrap();
        assert!(labs_of(pid) > 0);
        // SAFETY: no memory is touched; the child is ours and not yet waited for.
        unsafe { libc::kill(pid as i32, libc::SIGINT) };
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output));
        assert_eq!(text(&output), "", "nothing but silence on standard error");
        assert_eq!(labs_of(pid), 0);
    });
}

fn demo(args: &[&str]) -> Output {
    let output = Command::new(RLVS).arg("demo").args(args).output().unwrap();
    let text = text(&output);
    if !output.status.success() {
        eprintln!("{text}");
    }
    output
}

/// Namespaces made by this process.
fn labs_of(pid: u32) -> usize {
    let all = fs::read_dir("/run/netns").map(|dir| dir.flatten().collect::<Vec<_>>()).unwrap_or_default();
    all.iter()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("rlvs-{pid}-")))
        .count()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
