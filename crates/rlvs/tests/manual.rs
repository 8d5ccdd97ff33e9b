//! Manual pages and completions: whatever `--help` and `ipvsadm -h` know is in them, a real bash completes with them,
//! and `make install` puts them where they are looked for. Nothing here needs root.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const RLVS: &str = env!("CARGO_BIN_EXE_rlvs");
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

#[test]
fn every_drop_reason_is_explained() {
    let page = fs::read_to_string(Path::new("../../docs/drop-reasons.md")).expect("docs/drop-reasons.md");
    for reason in rlvs_core::path::DropReason::ALL {
        assert!(page.contains(&format!("\n| `{}` | ", reason.word())), "{} is not explained", reason.word());
    }
}

#[test]
fn every_option_of_ipvsadm_is_in_the_page_and_in_every_completion() {
    let mut options = long_options(&text(Command::new(RLVS).arg0("ipvsadm").arg("-h")));
    // The original's help does not have these.
    options.extend(["--json".to_owned(), "--version".to_owned()]);
    assert!(options.len() > 50, "{options:?}");
    let page = plain(&rlvs("man ipvsadm"));
    for option in &options {
        assert!(has_word(&page, option), "{option} is not in ipvsadm(8)");
    }
    for letter in "AEDCRSaedLlZhvtuf6spMrgimwxycXonb".chars() {
        assert!(has_word(&page, &format!("-{letter}")), "-{letter} is not in ipvsadm(8)");
    }
    for shell in SHELLS {
        assert_completes(shell, &rlvs(&format!("completions {shell} --for ipvsadm")), &options);
    }
}

/// Also of those that are still to be written.
#[test]
fn every_verb_has_a_page_with_its_options_and_is_completed() {
    let completions = SHELLS.map(|s| (s, rlvs(&format!("completions {s}"))));
    let whole = plain(&rlvs("man"));
    let verbs = verbs_below("");
    assert!(verbs.len() > 8, "{verbs:?}");
    for verb in verbs {
        let name = format!("rlvs-{}", verb.replace(' ', "-"));
        let page = plain(&rlvs(&format!("man {name}")));
        assert!(page.contains(&format!(".TH {}", name.to_uppercase())), "{page}");
        // Its help is the original's.
        let help = if verb == "ipvsadm" { String::new() } else { rlvs(&format!("{verb} --help")) };
        let options = long_options(&help);
        for option in &options {
            assert!(has_word(&page, option), "{option} is not in {name}(8)");
        }
        let last = verb.rsplit(' ').next().expect("a word");
        for (shell, script) in &completions {
            assert!(script.contains(last), "{verb} is not completed by {shell}");
            assert_completes(shell, script, &options);
        }
        assert!(whole.contains(&name) || verb.contains(' '), "rlvs(8) does not name {name}(8)");
    }
}

#[test]
fn a_real_bash_completes() {
    for (program, line, expected) in [
        ("ipvsadm", "ipvsadm --sched", vec!["--scheduler", "--sched-flags"]),
        ("ipvsadm", "ipvsadm -A --json", vec!["--json"]),
        ("ipvsadm", "ipvsadm -A -t 10.0.0.1:80 -s w", vec!["wrr", "wlc"]),
        ("ipvsadm", "ipvsadm -A -t 10.0.0.1:80 -s two", vec!["twos"]),
        ("ipvsadm", "ipvsadm --start-daemon ", vec!["master", "backup"]),
        ("ipvsadm", "ipvsadm -a -i --tun-type g", vec!["gue", "gre"]),
        ("rlvs", "rlvs sta", vec!["status"]),
        ("rlvs", "rlvs attach eth0 --mode x", vec!["xdp"]),
        ("rlvs", "rlvs realserver u", vec!["up"]),
        ("rlvs", "rlvs completions bash --for ip", vec!["ipvsadm"]),
        ("rlvs", "rlvs ipvsadm -A --sched", vec!["--scheduler", "--sched-flags"]),
    ] {
        let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(complete_in_bash(program, line), expected, "{line:?}");
    }
    // All of a kind: nothing is offered twice, nothing is forgotten.
    let offered = complete_in_bash("ipvsadm", "ipvsadm --");
    assert!(offered.len() > 50, "{offered:?}");
}

#[test]
fn scripts_and_pages_are_well_formed() {
    let dir = Scratch::new("forms");
    for program in ["rlvs", "ipvsadm"] {
        for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
            let script = rlvs(&format!("completions {shell} --for {program}"));
            let path = dir.0.join(format!("{program}.{shell}"));
            fs::write(&path, &script).expect("written");
            match Command::new(shell).arg(check).arg(&path).output() {
                Ok(output) => assert!(output.status.success(), "{shell}: {}", said(&output)),
                Err(_) => {
                    eprintln!("{shell} is not installed: only the quotes of its script are checked");
                    let lines = script.lines().filter(|l| !l.trim_start().starts_with('#'));
                    let quotes: usize = lines.map(|l| l.replace("\\'", "").matches('\'').count()).sum();
                    assert_eq!(quotes % 2, 0, "{shell}: an odd number of quotes");
                }
            }
        }
    }
    rlvs(&format!("man --out {}", dir.0.join("man8").display()));
    let pages: Vec<PathBuf> =
        fs::read_dir(dir.0.join("man8")).expect("pages").map(|e| e.expect("an entry").path()).collect();
    assert!(pages.len() > 12, "{pages:?}");
    for page in pages {
        let roff = fs::read_to_string(&page).expect("a page");
        assert!(roff.is_ascii(), "{}", page.display());
        for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH \"SEE ALSO\""] {
            assert!(roff.contains(part), "{}: no {part}", page.display());
        }
        match Command::new("groff").args(["-man", "-ww", "-z", "-Tutf8"]).arg(&page).output() {
            Ok(output) => assert!(output.stderr.is_empty(), "{}: {}", page.display(), said(&output)),
            Err(_) => eprintln!("groff is not installed: {} is not set", page.display()),
        }
    }
}

#[test]
fn a_page_that_is_not_there_is_an_error_that_names_those_that_are() {
    let output = Command::new(RLVS).args(["man", "ipvs"]).output().expect("rlvs");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("ipvsadm-save"), "{}", said(&output));
    assert!(output.stdout.is_empty());
}

/// With the program under test in the place of a release build.
#[test]
fn make_install_installs_everything() {
    let dir = Scratch::new("install");
    let built = dir.0.join("target/release");
    fs::create_dir_all(&built).expect("a directory");
    fs::copy(RLVS, built.join("rlvs")).expect("copied");
    let root = dir.0.join("root");
    let output = Command::new("make")
        .args(["install", "CARGO=true", "PREFIX=/usr"])
        .arg(format!("DESTDIR={}", root.display()))
        .env("CARGO_TARGET_DIR", dir.0.join("target"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("make");
    assert!(output.status.success(), "{}", said(&output));
    for path in [
        "sbin/rlvs",
        "sbin/ipvsadm",
        "sbin/ipvsadm-save",
        "sbin/ipvsadm-restore",
        "share/man/man8/ipvsadm.8",
        "share/man/man8/ipvsadm-save.8",
        "share/man/man8/ipvsadm-restore.8",
        "share/man/man8/rlvs.8",
        "share/man/man8/rlvs-status.8",
        "share/bash-completion/completions/ipvsadm",
        "share/bash-completion/completions/rlvs",
        "share/zsh/site-functions/_ipvsadm",
        "share/fish/vendor_completions.d/ipvsadm.fish",
    ] {
        let path = root.join("usr").join(path);
        assert!(fs::metadata(&path).is_ok_and(|m| m.len() > 0), "{}", path.display());
    }
    let version = text(Command::new(root.join("usr/sbin/ipvsadm")).arg("-v"));
    assert!(version.starts_with("ipvsadm v1.31"), "{version}");
}

/// Verbs, and verbs below verbs, as `--help` lists them.
fn verbs_below(verb: &str) -> Vec<String> {
    let help = rlvs(&format!("{verb} --help"));
    let Some((_, listed)) = help.split_once("Commands:\n") else { return Vec::new() };
    let mut verbs = Vec::new();
    for line in listed.lines().take_while(|l| !l.is_empty()) {
        let Some(name) = line.strip_prefix("  ").filter(|l| !l.starts_with(' ')) else { continue };
        let name = name.split(' ').next().expect("a word");
        if name == "help" {
            continue;
        }
        let whole = format!("{verb} {name}").trim().to_owned();
        if name != "ipvsadm" {
            verbs.extend(verbs_below(&whole));
        }
        verbs.push(whole);
    }
    verbs
}

/// The words of a help text that begin with two dashes and are at the place of an option.
fn long_options(help: &str) -> BTreeSet<String> {
    let lines = help.lines().filter(|l| l.trim_start().starts_with('-'));
    let words = lines.filter_map(|l| l.split([' ', '|', '[', '<', '=']).find(|w| w.starts_with("--")));
    words.map(str::to_owned).collect()
}

fn assert_completes(shell: &str, script: &str, options: &BTreeSet<String>) {
    for option in options {
        let found = match shell {
            "fish" => {
                script.contains(&format!(" -l {} ", &option[2..]))
                    || script.contains(&format!(" -l {}\n", &option[2..]))
            }
            _ => has_word(script, option),
        };
        assert!(found, "{option} is not completed by {shell}");
    }
}

/// Whether a word is there and not just as the beginning or the end of another.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.match_indices(word)
        .any(|(i, _)| !text[..i].ends_with(part) && !text[i + word.len()..].starts_with(part))
}

/// Roff without its escapes.
fn plain(roff: &str) -> String {
    let text = roff.replace("\\-", "-");
    ["\\fB", "\\fR", "\\fI"].iter().fold(text, |text, font| text.replace(font, " ").replace("  ", " "))
}

/// What bash offers at the end of a line.
fn complete_in_bash(program: &str, line: &str) -> BTreeSet<String> {
    let script = rlvs(&format!("completions bash --for {program}"));
    let words: Vec<&str> = line.split(' ').collect();
    let ask = format!(
        "{script}
compopt() {{ :; }}
COMP_WORDS=({})
COMP_CWORD={}
_{program} {program} '{}' '{}'
printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1,
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let offered = text(Command::new("bash").args(["--norc", "-c", &ask]));
    let lines: Vec<&str> = offered.lines().filter(|l| !l.is_empty()).collect();
    let set: BTreeSet<String> = lines.iter().map(|l| (*l).to_owned()).collect();
    assert_eq!(set.len(), lines.len(), "{line:?} is offered something twice: {lines:?}");
    set
}

fn rlvs(args: &str) -> String {
    text(Command::new(RLVS).args(args.split_whitespace()))
}

/// The standard output of a command that must succeed.
fn text(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: impl AsRef<OsStr>) -> Scratch {
        let name = format!("rlvs-manual-{}-{}", std::process::id(), Path::new(name.as_ref()).display());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).expect("a directory");
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
