//! The verbs of `rlvs VERB …`, one module each: its arguments and what it does, in a few lines, the work being elsewhere.

pub mod agent;
pub mod attach;
pub mod completions;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod drain;
mod health;
pub mod ipvsadm;
pub mod man;
pub mod mark;
pub mod metrics;
pub mod proc;
pub mod realserver;
pub mod responder;
pub mod simulate;
pub mod source;
pub mod status;
pub mod sysctl;
pub mod trace;
