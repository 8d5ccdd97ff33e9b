//! The orders an operator can give. `Director` carries them out on the maps; tests use a balancer in memory.

use crate::error::{Error, Result};
use crate::model::*;
use std::net::IpAddr;

/// Rules and state of one network namespace. Where nothing was ever added, listings are empty and
/// `add_service` sets everything up.
pub trait Balancer {
    /// All services in the kernel's (hash table) order, which callers must not rely on.
    fn services(&mut self) -> Result<Vec<ServiceView>>;
    /// One service; `NoSuchService` if there is none.
    fn service(&mut self, key: &ServiceKey) -> Result<ServiceView>;
    fn connections(&mut self) -> Result<Vec<ConnectionView>>;

    fn add_service(&mut self, service: &Service) -> Result<()>;
    /// Replaces everything but the key.
    fn edit_service(&mut self, service: &Service) -> Result<()>;
    fn delete_service(&mut self, key: &ServiceKey) -> Result<()>;
    /// `-C`
    fn clear(&mut self) -> Result<()>;

    fn add_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<()>;
    /// Replaces everything but address and port.
    fn edit_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<()>;
    fn delete_destination(&mut self, key: &ServiceKey, addr: IpAddr, port: u16) -> Result<()>;
    /// Ends all connections of a destination of weight 0 at once: their next packets open new ones elsewhere, which is for
    /// UDP. Templates stay.
    fn expire_connections(&mut self, key: &ServiceKey, addr: IpAddr, port: u16) -> Result<()> {
        let _ = (key, addr, port);
        Err(Error::NotSupported("ending the connections of one destination".into()))
    }

    /// `-Z`: counters of one service with its destinations, or of everything.
    fn zero(&mut self, key: Option<&ServiceKey>) -> Result<()>;

    fn timeouts(&mut self) -> Result<Timeouts>;
    /// 0 leaves a timeout as it is.
    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<()>;

    fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>>;
    fn start_sync_daemon(&mut self, daemon: &SyncDaemon) -> Result<()>;
    fn stop_sync_daemon(&mut self, role: SyncRole) -> Result<()>;
}
