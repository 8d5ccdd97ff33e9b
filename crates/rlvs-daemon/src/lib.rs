//! What keepalived does around IPVS.
//!
//! Read [`config`] first (what an operator wants, as data), then [`machine`] (how the servers' health becomes orders for
//! the rules; no socket, no clock).

pub mod config;
pub mod drain;
pub mod machine;
pub mod metrics;
pub mod probe;
pub mod run;
pub mod weights;
