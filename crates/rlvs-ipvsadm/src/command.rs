//! What a command line asks for, and its execution: one call of the balancer each, and its answer printed.

use crate::errors::{FAILED, LISTING_FAILED, report};
use crate::list::ListRequest;
use crate::{Io, help, restore, save};
use rlvs_control::model::{Destination, Service, ServiceKey, SyncDaemon, SyncRole, Timeouts};
use rlvs_control::{Balancer, Result};
use std::io::ErrorKind;
use std::net::IpAddr;

/// An order that is legal as far as words go; only the balancer can still refuse it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Help,
    Version,
    AddService(Service),
    EditService(Service),
    DeleteService(ServiceKey),
    Clear,
    AddServer { service: ServiceKey, server: Destination },
    EditServer { service: ServiceKey, server: Destination },
    DeleteServer { service: ServiceKey, addr: IpAddr, port: u16 },
    List(ListRequest),
    Zero(Option<ServiceKey>),
    SetTimeouts(Timeouts),
    StartDaemon(SyncDaemon),
    StopDaemon(SyncRole),
    Save { numeric: bool },
    Restore,
}

impl Command {
    /// Whether carrying it out may change something. Callers can show help, say, without a kernel.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Command::Help | Command::Version | Command::List(_) | Command::Save { .. })
    }

    /// Carries it out; the answer is the exit status.
    pub fn execute(&self, balancer: &mut dyn Balancer, io: &mut Io) -> i32 {
        match self {
            Command::Help => print(&help::usage(), io),
            Command::Version => print(help::VERSION, io),
            Command::Restore => restore::restore(balancer, io),
            Command::List(request) => answer(request.text(balancer, io.names), LISTING_FAILED, io),
            Command::Save { numeric } => answer(save::text(*numeric, balancer, io.names), FAILED, io),
            _ => match self.give_order(balancer) {
                Ok(()) => 0,
                Err(error) => report(&error, FAILED, io),
            },
        }
    }

    fn give_order(&self, balancer: &mut dyn Balancer) -> Result<()> {
        match self {
            Command::AddService(service) => balancer.add_service(service),
            Command::EditService(service) => balancer.edit_service(service),
            Command::DeleteService(key) => balancer.delete_service(key),
            Command::Clear => balancer.clear(),
            Command::AddServer { service, server } => balancer.add_destination(service, server),
            Command::EditServer { service, server } => balancer.edit_destination(service, server),
            Command::DeleteServer { service, addr, port } => {
                balancer.delete_destination(service, *addr, *port)
            }
            Command::Zero(key) => balancer.zero(key.as_ref()),
            Command::SetTimeouts(timeouts) => balancer.set_timeouts(*timeouts),
            Command::StartDaemon(daemon) => balancer.start_sync_daemon(daemon),
            Command::StopDaemon(role) => balancer.stop_sync_daemon(*role),
            Command::Help | Command::Version | Command::Restore | Command::List(_) | Command::Save { .. } => {
                Ok(())
            }
        }
    }
}

fn answer(text: Result<String>, failed: i32, io: &mut Io) -> i32 {
    match text {
        Ok(text) => print(&text, io),
        Err(error) => report(&error, failed, io),
    }
}

fn print(text: &str, io: &mut Io) -> i32 {
    match io.stdout.write_all(text.as_bytes()).and_then(|()| io.stdout.flush()) {
        Ok(()) => 0,
        // The reader (`head`, say) has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => FAILED,
        Err(error) => {
            let _ = writeln!(io.stderr, "cannot write the answer: {error}");
            FAILED
        }
    }
}
