//! Scripts of the kind that have run on directors for twenty years, unchanged, with our `ipvsadm` in PATH: an init
//! script, a pipeline from save to restore, checks that take the listing apart.

mod common;

use common::{Cluster, RLVS, cluster, ipvsadm, listing, tally, within};
use rlvs::lab::client;
use rlvs::lab::{Topology, VIP};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// A director, and a directory with our programs under their names and the scripts.
struct Director {
    lab: Cluster,
    dir: PathBuf,
}

impl Director {
    fn new(name: &str) -> Director {
        let lab = cluster(Topology::Dr);
        let dir = std::env::temp_dir().join(format!("rlvs-scripts-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        for program in ["ipvsadm", "ipvsadm-save", "ipvsadm-restore"] {
            symlink(RLVS, dir.join(program)).expect("a link");
        }
        let scripts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts"));
        for entry in fs::read_dir(scripts).expect("scripts") {
            let script = entry.expect("an entry").path();
            let copy = dir.join(script.file_name().expect("a name"));
            fs::write(&copy, fs::read(&script).expect("a script")).expect("written");
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("made executable");
        }
        Director { lab, dir }
    }

    /// Runs a line of shell in the director; answers with what it wrote, and its exit status.
    fn sh(&self, line: &str) -> (String, i32) {
        let mut command = self.lab.director().command("sh");
        let path = format!("{}:{}", self.dir.display(), std::env::var("PATH").unwrap_or_default());
        command.args(["-c", line]).env("PATH", path).env("LOCK", self.dir.join("lock"));
        command.env("LVS_CONFIG", "/nonexistent");
        let Output { status, stdout, stderr } =
            self.lab.director().output(command, "", Duration::from_secs(30)).expect(line);
        let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        (text, status.code().expect("an exit status"))
    }

    fn must(&self, line: &str) -> String {
        let (text, status) = self.sh(line);
        assert_eq!(status, 0, "{line}: {text}");
        text
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn an_init_script_and_a_check() {
    within(60, || {
        let director = Director::new("init");
        assert_eq!(director.sh("lvs_dr status"), ("lvs_dr is stopped\n".to_owned(), 3));
        assert_eq!(director.sh("check_lvs").1, 2);

        assert_eq!(director.must("lvs_dr start"), "Starting lvs_dr: OK\n");
        let status = director.must("lvs_dr status");
        assert!(
            status.starts_with("lvs_dr is running...\nIP Virtual Server version 1.2.1 (size=4096)\n"),
            "{status}"
        );
        assert_eq!(listing(&director.lab).len(), 4);
        let seen = director.lab.client().run(|| client::tally_tcp(VIP, 80, 4)).expect("answers");
        assert_eq!(seen, tally([("rs1", 2), ("rs2", 2)]));
        let seen = director.lab.client().run(|| client::tally_udp(VIP, 53, 4)).expect("answers");
        assert_eq!(seen, tally([("rs1", 2), ("rs2", 2)]));
        let checked = director.must("check_lvs");
        assert!(checked.starts_with("LVS OK - 2 services|services=2;active="), "{checked}");

        // One server out, then both.
        director.must(&format!("ipvsadm -e -t {VIP}:80 -r 10.1.0.11:80 -g -w 0"));
        let (text, code) = director.sh("check_lvs");
        assert!(code == 1 && text.starts_with("LVS WARNING - TCP:10.0.0.100:80|"), "{code} {text}");
        director.must(&format!("ipvsadm -e -t {VIP}:80 -r 10.1.0.12:80 -g -w 0"));
        let (text, code) = director.sh("check_lvs");
        assert!(code == 2 && text.starts_with("LVS CRITICAL - TCP:10.0.0.100:80|"), "{code} {text}");

        assert_eq!(director.must("lvs_dr restart"), "Stopping lvs_dr: OK\nStarting lvs_dr: OK\n");
        assert_eq!(director.sh("check_lvs").1, 0);
        assert_eq!(director.must("lvs_dr stop"), "Stopping lvs_dr: OK\n");
        assert!(listing(&director.lab).is_empty());
        assert_eq!(director.sh("lvs_dr status").1, 3);
    });
}

#[test]
fn save_sed_restore() {
    within(60, || {
        let director = Director::new("sed");
        director.must("lvs_dr start");
        let before = director.must("ipvsadm-save -n");
        assert_eq!(before.lines().count(), 6, "{before}");
        director.must(
            "ipvsadm-save -n | sed -e 's/ -s wlc$/ -s wrr/' -e '/^-a -t/s/-w 1$/-w 3/' | ipvsadm-restore",
        );
        let after = director.must("ipvsadm-save -n");
        assert_eq!(after, before.replace("-s wlc", "-s wrr").replace("80 -g -w 1", "80 -g -w 3"));

        // One server is taken out of everything; the file is kept, with comments, and comes back.
        let rules = director.dir.join("rules");
        director.must(&format!("(echo '# by hand'; ipvsadm -S -n) > {}", rules.display()));
        director.must(&format!("grep -v -- '-r 10.1.0.11' {} | ipvsadm-restore", rules.display()));
        assert!(listing(&director.lab).iter().all(|l| l.server.starts_with("10.1.0.12:")));
        director.must(&format!("ipvsadm-restore < {}", rules.display()));
        assert_eq!(director.must("ipvsadm-save -n"), after);

        // A slip of sed leaves everything as it is.
        let (text, code) = director.sh("ipvsadm-save -n | sed 's/-s wrr/-s wrr -w 3/' | ipvsadm-restore");
        assert_eq!((text.as_str(), code), ("Illegal 'weight' option with the 'add-service' command\n", 2));
        assert_eq!(director.must("ipvsadm-save -n"), after);
        // Rules also come as one command each.
        director.must("ipvsadm -C");
        director.must(&format!("sed '/^#/d; s/^/ipvsadm /' {} | sh -e", rules.display()));
        assert_eq!(director.must("ipvsadm -S -n"), after);
    });
}

#[test]
fn programs_that_take_listings_apart() {
    within(60, || {
        let director = Director::new("listings");
        director.must("lvs_dr start");
        director.lab.client().run(|| client::tally_tcp(VIP, 80, 10)).expect("answers");
        // Connections that were made, by a service's row and by its servers' rows.
        let total = "ipvsadm -Ln --stats | awk '/^TCP/ { print $3 }'";
        common::wait_until("counters", Duration::from_secs(10), || director.must(total).trim() == "10");
        let sum = "ipvsadm -Ln --stats -t 10.0.0.100:80 | awk '$1 == \"->\" && $3 ~ /^[0-9]+$/ { n += $3 } END { print n }'";
        assert_eq!(director.must(sum).trim(), "10");
        // States of connections.
        let states = director.must("ipvsadm -Lnc | awk 'NR > 2 { print $3 }' | sort -u");
        assert!(
            states.lines().all(|s| ["ESTABLISHED", "FIN_WAIT", "CLOSE", "TIME_WAIT"].contains(&s)),
            "{states}"
        );
        assert!(!states.is_empty());
        let clients = director.must("ipvsadm -Lnc | grep -c '10.0.0.2:.*10.0.0.100:80'");
        assert_eq!(clients.trim(), "10");
        assert_eq!(director.must("ipvsadm -L --timeout | cut -d: -f2"), " 900 120 300\n");
        // Reading only the beginning is no error that anybody sees.
        assert_eq!(director.must("ipvsadm -Ln | head -n 1"), "IP Virtual Server version 1.2.1 (size=4096)\n");

        if Command::new("python3").arg("--version").output().is_err() {
            eprintln!("python3 is not installed: check_lvs.py is not run");
            return;
        }
        // Each connection is in a service's row and in a server's.
        assert_eq!(director.must("check_lvs.py"), "4 20\n");
        ipvsadm(&director.lab, &format!("-A -u {VIP}:54 -s wrr"));
        assert_eq!(director.must("check_lvs.py"), "4 20\n");
    });
}
