//! The whole daemon, with a configuration in TOML.

use crate::common::{self, Cluster, RLVS, cluster, listing, rlvs, wait_until, within};
use rlvs::lab::{Topology, VIP};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

struct Running {
    daemon: Child,
    config: PathBuf,
}

impl Running {
    fn start(lab: &Cluster, text: &str) -> Running {
        let config = std::env::temp_dir().join(format!("rlvs-via-{}.toml", std::process::id()));
        std::fs::write(&config, text).expect("the configuration");
        let mut command = lab.director().command(RLVS);
        command.arg("daemon").arg("--config").arg(&config).stdin(Stdio::null());
        Running { daemon: lab.director().start(command).expect("a daemon"), config }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: a system call on a number; the process is a child that was not waited for, so the number is its own.
        unsafe { libc::kill(self.daemon.id() as i32, libc::SIGTERM) };
        let _ = self.daemon.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

fn serving(lab: &Cluster) -> Vec<String> {
    let lines = listing(lab).into_iter();
    lines.filter(|line| line.weight > 0).map(|line| line.server).collect()
}

#[test]
fn a_server_without_the_vip_is_out_and_comes_back() {
    within(240, || {
        let lab = cluster(Topology::Dr);
        let mut text = format!(
            "[[virtual_server]]\nservice = \"{VIP}:80\"\nscheduler = \"rr\"\nmethod = \"DR\"\nvia = \"vip\"\nalpha = true\n\
             [virtual_server.timing]\ndelay_loop = \"300ms\"\nwarmup = \"0s\"\nconnect_timeout = \"5s\"\n\
             delay_before_retry = \"100ms\"\n"
        );
        for server in lab.servers() {
            text += &format!(
                "[[virtual_server.real_server]]\naddress = \"{}\"\ncheck = [{{ type = \"tcp\" }}, {{ type = \"ping\" }}]\n",
                server.addr()
            );
        }
        let _daemon = Running::start(&lab, &text);
        wait_until("all three", SOON, || serving(&lab).len() == 3);
        rlvs(lab.server(2), "realserver down");
        wait_until("rs2 out", SOON, || serving(&lab) == ["10.1.0.11:80", "10.1.0.13:80"]);
        let shown = rlvs(lab.director(), "status");
        assert!(shown.contains("does 10.1.0.12 have 10.0.0.100 on lo?"), "{shown}");
        let status = rlvs(lab.director(), "status --json");
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        let checks = &status["health"]["services"][0]["servers"][1]["checks"];
        assert_eq!(
            (&checks[0]["check"], &checks[0]["health"]),
            (&"TCP_CHECK 10.0.0.100:80 via DR".into(), &"down".into())
        );
        assert_eq!(checks[1]["health"], "up", "it is there");
        rlvs(lab.server(2), &format!("realserver up --vip {VIP}"));
        wait_until("rs2 back", SOON, || serving(&lab).len() == 3);
        let counted = common::ipvsadm(&lab, "-Ln --stats --exact");
        let total: u64 = counted
            .lines()
            .skip(3)
            .flat_map(|l| l.split_whitespace().rev().take(5))
            .filter_map(|w| w.parse::<u64>().ok())
            .sum();
        assert_eq!(total, 0, "{counted}");
    });
}
