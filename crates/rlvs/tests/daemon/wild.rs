//! The wild keepalived.conf files, as they are, on a real director.

use super::lab::{Farm, SOON};
use crate::common::{ipvsadm, rlvs, try_as, wait_until, within};
use std::path::Path;

#[test]
fn wild_files_run() {
    within(180, || {
        let mut farm = Farm::new();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rlvs-daemon/tests/data/keepalived");
        let mut files: Vec<_> =
            std::fs::read_dir(data).unwrap().flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|e| e == "conf"));
        files.sort();
        assert_eq!(files.len(), 12);
        for file in files {
            let file = file.to_str().unwrap();
            // What this machine does not have is said, and nothing done: a client certificate, a group to run scripts as.
            let missing = [("02-nat-ssl", "/etc/keepalived/client.pem"), ("08-misc-dynamic", "no group dba")];
            if let Some((_, missing)) = missing.iter().find(|(name, _)| file.contains(name)) {
                let output = try_as(farm.lab.director(), "rlvs", &format!("daemon --config {file}"), "");
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(!output.status.success() && said.contains(missing), "{said}");
                assert!(!ipvsadm(&farm.lab, "-Ln").contains("TCP "), "nothing half done");
                continue;
            }
            farm.use_file(file);
            farm.start(&["-i", "west"]);
            let said = rlvs(farm.lab.director(), &format!("config check -i west --json {file}"));
            let summary: serde_json::Value = serde_json::from_str(&said).unwrap();
            let services = summary["services"].as_u64().unwrap() as usize;
            wait_until("its services", SOON, || count(&ipvsadm(&farm.lab, "-Ln")) == services);
            farm.signal(libc::SIGTERM);
            assert!(farm.ended().success(), "{file}");
            assert_eq!(count(&ipvsadm(&farm.lab, "-Ln")), 0, "{file}");
        }
    });
}

fn count(listing: &str) -> usize {
    listing
        .lines()
        .filter(|line| ["TCP ", "UDP ", "SCTP", "FWM "].iter().any(|p| line.starts_with(p)))
        .count()
}
