//! The only crate that loads, pins, attaches, reads and writes maps.
//!
//! Callers see [`model`] (plain data) and [`Balancer`] (the orders an operator can give).

pub mod attach;
mod balancer;
pub mod bpffs;
mod director;
mod error;
mod instance;
mod links;
pub mod model;
mod object;
pub mod realserver;
mod shared;

pub use balancer::Balancer;
pub use director::{
    Director, DropCount, MapFill, MarkSpec, Outcome, Source, Status, Sysctl, Totals, Trace, TraceFilter,
    Traced, Walk, drop_reasons,
};
pub use error::{Error, Result};
pub use object::jiffies_per_second;
