//! The brain of rlvs: what happens to a packet, decided with plain data.
//!
//! **Read [`path`] first**: it tells the packet's story on one screen. Everything else is a room behind one of its
//! steps: [`wire`] reads and sums headers, [`maps`] fixes what every map holds, [`conn`] is the connection table,
//! [`proto`] the state tables, [`sched`] the schedulers, [`fwd`] the forwarding methods.
//!
//! This crate knows no aya, no clock, no randomness and no I/O: memory, time and tables come in as arguments
//! ([`path::Tables`]). The same code runs in the kernel (crate `rlvs-ebpf`) and on the host, where it is tested.
#![no_std]
#![forbid(unsafe_code)]

pub mod conn;
pub mod fwd;
pub mod maps;
pub mod mem;
pub mod path;
pub mod proto;
pub mod sched;
pub mod wire;
