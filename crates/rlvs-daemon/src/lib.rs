//! What keepalived does around IPVS.
//!
//! Three rooms, to be read in this order: [`config`] (what an operator wants, as data), [`machine`] (how the servers'
//! health becomes orders for the rules; no socket, no clock), [`run`] (the shell that carries it out). [`probe`] has the
//! checkers; [`drain`], [`weights`] and [`metrics`] are beside it. What an operator sees of it is in `docs/daemon.md`.

pub mod config;
pub mod drain;
pub mod machine;
pub mod metrics;
pub mod probe;
pub mod run;
pub mod weights;
