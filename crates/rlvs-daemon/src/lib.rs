//! What keepalived does around IPVS: this crate reads what an operator wants ([`config`]) and will keep the rules of a
//! director that way. So far it holds the configuration; nothing here runs checks yet.

pub mod config;
pub mod drain;
pub mod metrics;
pub mod weights;
