//! A check as it is carried out: with everything filled in that it inherits from its real server and virtual server.
//!
//! Two services with the same real server often ask for the same check. What is equal here is one check, made once; its
//! [`identity`](CheckSpec::identity) says what is equal, also after a reload and after a restart.

use crate::config::model::*;
use md5::{Digest, Md5};
use std::net::IpAddr;
use std::time::Duration;

/// FILE_CHECK has no times of its own: the file is read so often.
const FILE_DELAY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSpec {
    /// The same for checks that are the same in every respect.
    pub identity: String,
    /// The real server as it is written, for those who read of it.
    pub server: Endpoint,
    /// Where the check goes to.
    pub target: Endpoint,
    /// By which way, if not straight.
    pub way: Option<Way>,
    pub kind: CheckKind,
    pub connect: Connect,
    pub timing: EffectiveTiming,
    /// Path and weight of FILE_CHECK.
    pub file: Option<(String, FileWeight)>,
    /// Each failed try is told, not only the last.
    pub log_all_failures: bool,
}

/// The way of clients' packets (`via = "vip"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub vip: IpAddr,
    /// Where the director sends them, and how.
    pub rip: IpAddr,
    pub forwarding: Forwarding,
}

impl CheckSpec {
    pub fn of(config: &Config, vs: &VirtualServer, server: &RealServer, check: &Check) -> CheckSpec {
        let mut kind = check.kind.clone();
        if let CheckKind::Http(http) = &mut kind {
            let inherited = server.virtualhost.as_ref().or(vs.virtualhost.as_ref());
            http.virtualhost = http.virtualhost.take().or(inherited.cloned());
        }
        let mut timing = vs.effective_timing(server, check);
        let file = match &kind {
            CheckKind::File(file) => {
                timing = EffectiveTiming {
                    delay_loop: FILE_DELAY,
                    retry: 0,
                    delay_before_retry: FILE_DELAY,
                    warmup: Duration::ZERO,
                    ..timing
                };
                config.track_files.iter().find(|f| f.name == file.track_file).map(|tracked| {
                    let plain = FileWeight { factor: 1, reverse: false };
                    (tracked.file.clone(), file.weight.or(tracked.weight).unwrap_or(plain))
                })
            }
            _ => None,
        };
        let mut spec = CheckSpec {
            identity: String::new(),
            server: server.address,
            target: vs.check_target(server, check),
            way: (vs.effective_via(server, check) == Via::Vip).then(|| Way {
                vip: vs.check_vip(check).unwrap_or(server.address.addr),
                rip: server.address.addr,
                forwarding: server.effective_method(vs),
            }),
            // The way says it.
            connect: Connect { via: None, ..check.connect.clone() },
            timing,
            file,
            log_all_failures: check.log_all_failures.unwrap_or(config.global.log_all_failures),
            kind,
        };
        // Of a check, everything is in what `Debug` writes, as it is derived.
        let digest = Md5::digest(format!("{spec:?}").as_bytes());
        spec.identity = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        spec
    }

    /// How many tries in a row must pass: one for each URL.
    pub fn steps(&self) -> usize {
        match &self.kind {
            CheckKind::Http(http) => http.urls.len().max(1),
            _ => 1,
        }
    }

    pub fn fast_recovery(&self) -> bool {
        matches!(&self.kind, CheckKind::Http(HttpCheck { fast_recovery: true, .. }))
    }

    /// `TCP_CHECK 192.0.2.1:80`, `TCP_CHECK 192.0.2.1:80 via DR`
    pub fn label(&self) -> String {
        let way = self.way.map_or(String::new(), |way| format!(" via {}", way.forwarding));
        match &self.kind {
            CheckKind::Misc(misc) => format!("MISC_CHECK {}", misc.script.command),
            CheckKind::File(file) => format!("FILE_CHECK {}", file.track_file),
            CheckKind::Ping => format!("PING_CHECK {}", self.target.addr),
            kind => format!("{} {}{way}", kind.keyword(), self.target),
        }
    }
}
