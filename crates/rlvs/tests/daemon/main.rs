//! `rlvs daemon` in a cluster: servers that die and come back, a daemon that dies and comes back, a configuration that
//! changes. What is not concerned must not move: each test also looks at that.

#[path = "../common/mod.rs"]
mod common;

mod agents;
mod api;
mod checks;
mod death;
mod drain;
mod health;
mod keepalived;
mod lab;
mod load;
mod passive;
mod reload;
mod told;
mod unequal;
mod unit;
mod wild;
