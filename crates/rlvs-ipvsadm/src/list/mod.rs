//! `-L`: what is asked for, and who writes it: [`services`] (with [`stats`] for the columns of counters),
//! [`connections`], [`daemon`] and timeouts, or everything as [`json`].

mod connections;
mod daemon;
mod json;
mod services;
mod sort;
mod stats;

use crate::address::Printer;
use crate::names::Names;
use crate::options::{Filled, Slot};
use rlvs_control::model::*;
use rlvs_control::{Balancer, Result};

pub use sort::sorted;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    pub what: What,
    pub numeric: bool,
    pub exact: bool,
    pub nosort: bool,
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// All services, or one.
    Services(Option<ServiceKey>, Columns),
    Connections {
        with_engine: bool,
    },
    Timeouts,
    Daemons,
}

impl Default for What {
    fn default() -> What {
        What::Services(None, Columns::Plain)
    }
}

/// What is shown of each server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    Plain,
    TunnelInfo,
    Stats,
    Rate,
    Thresholds,
    Persistent,
}

impl ListRequest {
    pub(crate) fn from_filled(filled: Filled, key: Option<ServiceKey>) -> ListRequest {
        let what = if filled.has(Slot::Connection) {
            What::Connections { with_engine: filled.has(Slot::PersistentConn) }
        } else if filled.has(Slot::Timeout) {
            What::Timeouts
        } else if filled.has(Slot::Daemon) {
            What::Daemons
        } else {
            What::Services(key, Columns::from_filled(filled))
        };
        ListRequest {
            what,
            numeric: filled.has(Slot::Numeric),
            exact: filled.has(Slot::Exact),
            nosort: filled.has(Slot::NoSort),
            json: filled.has(Slot::Json),
        }
    }

    /// The whole listing.
    pub(crate) fn text(&self, balancer: &mut dyn Balancer, names: &dyn Names) -> Result<String> {
        let printer = Printer { names, numeric: self.numeric };
        Ok(match self.what {
            What::Services(key, columns) => {
                let views = self.services(key.as_ref(), balancer)?;
                if self.json {
                    json::services(&views)
                } else {
                    let listing = services::Listing { columns, exact: self.exact, printer };
                    listing.text(&views, key.is_none())
                }
            }
            What::Connections { .. } if self.json => json::connections(&balancer.connections()?),
            What::Connections { with_engine } => {
                connections::text(&balancer.connections()?, with_engine, &printer)
            }
            What::Timeouts if self.json => json::timeouts(&balancer.timeouts()?),
            What::Timeouts => daemon::timeouts(&balancer.timeouts()?),
            What::Daemons if self.json => json::daemons(&balancer.sync_daemons()?),
            What::Daemons => daemon::daemons(&balancer.sync_daemons()?),
        })
    }

    fn services(&self, key: Option<&ServiceKey>, balancer: &mut dyn Balancer) -> Result<Vec<ServiceView>> {
        let views = match key {
            Some(key) => vec![balancer.service(key)?],
            None => balancer.services()?,
        };
        Ok(if self.nosort { views } else { sorted(views) })
    }
}

impl Columns {
    /// Of several the first in this order is shown.
    fn from_filled(filled: Filled) -> Columns {
        let order = [
            (Slot::Stats, Columns::Stats),
            (Slot::Rate, Columns::Rate),
            (Slot::Thresholds, Columns::Thresholds),
            (Slot::PersistentConn, Columns::Persistent),
            (Slot::TunInfo, Columns::TunnelInfo),
        ];
        order.iter().find(|(slot, _)| filled.has(*slot)).map_or(Columns::Plain, |(_, c)| *c)
    }
}

/// The protocol that names the ports of a service and its servers; those of a mark have no names.
pub fn protocol_of(key: &ServiceKey) -> Option<Protocol> {
    match *key {
        ServiceKey::Address { protocol, .. } => Some(protocol),
        ServiceKey::Fwmark { .. } => None,
    }
}

/// A persistence mask that is not the default, as typed after `-M`.
pub fn mask_of(service: &Service) -> Option<String> {
    match (service.key.family(), service.netmask) {
        (Family::Inet, Some(mask)) => (!mask.is_broadcast()).then(|| mask.to_string()),
        (Family::Inet, None) => None,
        (Family::Inet6, _) => (service.prefix_len != 128).then(|| service.prefix_len.to_string()),
    }
}
