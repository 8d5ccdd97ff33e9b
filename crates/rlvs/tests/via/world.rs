//! One check, made in the director by the daemon's own code.

use rlvs::lab::{Lab, VIP};
use rlvs_daemon::config::model::Config;
use rlvs_daemon::config::source::Memory;
use rlvs_daemon::config::{Format, load};
use rlvs_daemon::machine::{CheckSpec, Outcome};
use rlvs_daemon::probe::via::{Around, Vias};
use rlvs_daemon::probe::{self, Means, tls_config};
use rlvs_daemon::run::scripts::Scripts;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// For what must come, however slow the machine is; and for what must not.
pub const PATIENT: &str = "30s";
pub const SHORT: &str = "1500ms";

/// A check of one server of a service, in lines of TOML.
pub struct Case<'a> {
    pub vip: IpAddr,
    pub port: u16,
    pub method: &'a str,
    pub rip: IpAddr,
    pub timeout: &'a str,
    pub via: &'a str,
    /// Of the check.
    pub lines: &'a str,
}

impl<'a> Case<'a> {
    /// TCP_CHECK at port 80 of the VIP.
    pub fn new(method: &'a str, rip: impl Into<IpAddr>) -> Case<'a> {
        Case {
            vip: VIP.into(),
            port: 80,
            method,
            rip: rip.into(),
            timeout: PATIENT,
            via: "vip",
            lines: "type = \"tcp\"",
        }
    }

    pub fn config(&self) -> Config {
        let endpoint = |addr| std::net::SocketAddr::new(addr, self.port);
        let (service, server) = (endpoint(self.vip), endpoint(self.rip));
        let (method, timeout, via, lines) = (self.method, self.timeout, self.via, self.lines);
        let text = format!(
            "[[virtual_server]]\nservice = \"{service}\"\nmethod = \"{method}\"\nvia = \"{via}\"\n\
             [virtual_server.timing]\nconnect_timeout = \"{timeout}\"\n\
             [[virtual_server.real_server]]\naddress = \"{server}\"\n\
             [[virtual_server.real_server.check]]\n{lines}\n"
        );
        let (config, report) = load(Path::new("f.toml"), Format::Toml, "", &Memory::one("f.toml", &text));
        assert!(!report.has_errors(), "{report}");
        config
    }

    /// Makes it once.
    pub fn run(&self, lab: &Lab) -> Outcome {
        self.run_often(lab, 1, 1).pop().expect("an outcome")
    }

    /// Makes it some times, so many at once.
    pub fn run_often(&self, lab: &Lab, times: usize, at_once: usize) -> Vec<Outcome> {
        let config = self.config();
        let vs = &config.virtual_servers[0];
        let real = &vs.real_servers[0];
        let spec = Arc::new(CheckSpec::of(&config, vs, real, &real.checks[0]));
        lab.director().run(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (failures, _keep) = tokio::sync::mpsc::unbounded_channel();
                let means = Arc::new(Means {
                    tls: tls_config(None).expect("TLS"),
                    scripts: Scripts::new(&config.global, &[], failures).expect("scripts"),
                    patterns: Default::default(),
                    via: Vias { around: Around::of(&config), ..Vias::default() },
                });
                let mut outcomes = Vec::new();
                while outcomes.len() < times {
                    let batch: Vec<_> = (0..at_once)
                        .map(|_| {
                            let (spec, means) = (Arc::clone(&spec), Arc::clone(&means));
                            tokio::spawn(async move { probe::run(&spec, 0, &means).await })
                        })
                        .collect();
                    for task in batch {
                        outcomes.push(task.await.expect("no panic"));
                    }
                }
                outcomes
            })
        })
    }

    pub fn passes(&self, lab: &Lab, what: &str) {
        assert_eq!(self.run(lab), Outcome::Passed, "{what} by {}", self.method);
    }

    /// It must fail, and the reason must have these words.
    pub fn fails(&self, lab: &Lab, words: &str, what: &str) {
        match self.run(lab) {
            Outcome::Failed(reason) if reason.contains(words) => {}
            other => panic!("{what} by {}: {other:?}, not a failure with {words:?}", self.method),
        }
    }
}
