//! Checks that go the way of clients' packets (`via = "vip"`), in clusters whose real servers `rlvs realserver up` prepared:
//! what they find that others do not, and that nobody notices them.

#[path = "../common/mod.rs"]
mod common;

mod daemon;
mod faults;
mod pages;
mod quiet;
mod reasons;
mod world;
