//! Draining: a real server takes no new connections, those it has go on, and somebody waits for the last of them.
//!
//! The weight of each drained destination becomes 0. What it was before, and how the drain shall end, is noted in the
//! [`Ledger`], a small file under /run for each network namespace. So a drain needs no process of ours: whoever waits may
//! be interrupted and another one goes on; `rlvs undrain` finds the weight to restore; a daemon that keeps weights in step
//! with health and load sees which of them are not its to set.
//!
//! [`Watch`] decides, on plain data and a clock that is handed in: who is empty, whose time is up, who was taken out of our
//! hands. [`order`] is the thin shell around it, on any [`Balancer`](rlvs_control::Balancer).
//!
//! # For whoever else sets weights
//!
//! A destination that is [`Ledger::find`]-able is draining or drained: its weight stays 0 until it is undrained, also when
//! it is deleted and added again (a health check that failed and recovered). The ledger is locked while it is open; hold
//! it from reading it to writing weights. A weight that would have been set meanwhile goes into the ledger
//! ([`Ledger::set_former_weight`]), and undraining restores that one. If it is found with another weight than 0, an operator
//! set that by hand: it is theirs, and [`Ledger::forget`] ends the drain. To look without waiting there is [`ledger::peek`].
//!
//! docs/drain.md is the operator's page.

pub mod ledger;
pub mod left;
pub mod order;
pub mod watch;
pub mod words;

pub use ledger::{Drain, Ledger};
pub use left::Left;
pub use watch::{Event, Outcome, Seen, Watch};
pub use words::{RealServer, ServiceWord, name_of};

use serde::{Deserialize, Serialize};

/// What becomes of what is not a TCP or SCTP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It goes to another server from its next packet, or connection, on.
    Expire,
    /// It stays with the server, and the drain waits for it.
    Keep,
}

/// What becomes of the destination when the drain is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    Remove,
    Keep,
}
