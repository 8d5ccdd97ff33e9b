//! The only crate that loads, pins, attaches, reads and writes maps.
//!
//! Callers see [`model`] (plain data) and [`Balancer`] (the orders an operator can give).

mod balancer;
pub mod bpffs;
mod error;
pub mod model;
pub mod realserver;

pub use balancer::Balancer;
pub use error::{Error, Result};
