//! `ipvsadm`, `ipvsadm-save` and `ipvsadm-restore`: the program called by one of these names, or as `rlvs ipvsadm …`.

use rlvs_control::model::*;
use rlvs_control::{Balancer, Director, Error, Result};
use rlvs_ipvsadm::{Io, SystemNames};
use std::ffi::OsString;
use std::net::IpAddr;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// What ipvsadm takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
    args: Vec<OsString>,
}

/// `rlvs ipvsadm …`
pub fn verb(args: Args) -> ExitCode {
    run("ipvsadm", &args.args).unwrap_or(ExitCode::FAILURE)
}

/// Runs the program with this name, if it is one of the three.
pub fn run(name: &str, args: &[OsString]) -> Option<ExitCode> {
    let program = match name {
        "ipvsadm" => rlvs_ipvsadm::run::<OsString>,
        "ipvsadm-save" => rlvs_ipvsadm::run_save::<OsString>,
        "ipvsadm-restore" => rlvs_ipvsadm::run_restore::<OsString>,
        _ => return None,
    };
    let names = SystemNames::default();
    let mut io = Io {
        stdin: &mut std::io::stdin().lock(),
        stdout: &mut std::io::BufWriter::new(std::io::stdout().lock()),
        stderr: &mut std::io::stderr().lock(),
        names: &names,
    };
    let status = program(args, &mut Late(None), &mut io);
    let _ = io.stdout.flush();
    Some(ExitCode::from(status as u8))
}

/// A director that is opened by the first order: help and refusals need no permission.
struct Late(Option<Director>);

impl Late {
    fn director(&mut self) -> Result<&mut Director> {
        if self.0.is_none() {
            check_permission()?;
            self.0 = Some(Director::here()?);
        }
        self.0.as_mut().ok_or(Error::NoSuchService)
    }
}

/// What the kernel asks of who loads and attaches programs (capabilities(7)); the table of IPVS needs the first.
const CAP_NET_ADMIN: u64 = 1 << 12;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_BPF: u64 = 1 << 39;

/// Says beforehand what would fail halfway, and in other words at every place.
fn check_permission() -> Result<()> {
    // Without /proc we cannot know; then the kernel says no when it comes to it.
    let held = std::fs::read_to_string("/proc/self/status").ok().and_then(|s| effective_capabilities(&s));
    match held {
        Some(held) if held & CAP_NET_ADMIN == 0 => {
            Err(Error::PermissionDenied("CAP_NET_ADMIN is missing".into()))
        }
        Some(held) if held & (CAP_BPF | CAP_SYS_ADMIN) == 0 => {
            Err(Error::PermissionDenied("CAP_BPF is missing".into()))
        }
        _ => Ok(()),
    }
}

/// The line `CapEff:` of /proc/PID/status (proc(5)).
fn effective_capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

impl Balancer for Late {
    fn services(&mut self) -> Result<Vec<ServiceView>> {
        self.director()?.services()
    }
    fn service(&mut self, key: &ServiceKey) -> Result<ServiceView> {
        self.director()?.service(key)
    }
    fn connections(&mut self) -> Result<Vec<ConnectionView>> {
        self.director()?.connections()
    }
    fn add_service(&mut self, service: &Service) -> Result<()> {
        self.director()?.add_service(service)
    }
    fn edit_service(&mut self, service: &Service) -> Result<()> {
        self.director()?.edit_service(service)
    }
    fn delete_service(&mut self, key: &ServiceKey) -> Result<()> {
        self.director()?.delete_service(key)
    }
    fn clear(&mut self) -> Result<()> {
        self.director()?.clear()
    }
    fn add_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<()> {
        self.director()?.add_destination(key, destination)
    }
    fn edit_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<()> {
        self.director()?.edit_destination(key, destination)
    }
    fn delete_destination(&mut self, key: &ServiceKey, addr: IpAddr, port: u16) -> Result<()> {
        self.director()?.delete_destination(key, addr, port)
    }
    fn zero(&mut self, key: Option<&ServiceKey>) -> Result<()> {
        self.director()?.zero(key)
    }
    fn timeouts(&mut self) -> Result<Timeouts> {
        self.director()?.timeouts()
    }
    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<()> {
        self.director()?.set_timeouts(timeouts)
    }
    fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>> {
        self.director()?.sync_daemons()
    }
    fn start_sync_daemon(&mut self, daemon: &SyncDaemon) -> Result<()> {
        self.director()?.start_sync_daemon(daemon)
    }
    fn stop_sync_daemon(&mut self, role: SyncRole) -> Result<()> {
        self.director()?.stop_sync_daemon(role)
    }
}
