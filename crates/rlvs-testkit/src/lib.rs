//! For tests: the packet path without a kernel.
//!
//! A [`World`] is everything that a director has around it, in plain memory: rules, connection table, routes,
//! neighbours, a clock that stands still until it is moved, randomness from a seed. [`receive`] tells the packet's
//! story in it and carries the decision out on bytes, as the XDP or the TC program would. So a test is: frame in,
//! frame out.
//!
//! | module | what |
//! |---|---|
//! | [`packet`] | builds TCP and UDP packets, right and wrong ones |
//! | [`lab`] | the small network that the recordings were made in, as a `World` |
//! | [`golden`] | recordings of the kernel as rows: sentence, rules, packets, what came out |
//! | [`rows`] | more such rows, of our own |
//! | [`reference`] | the schedulers again, as naive as possible, for comparison |
//! | [`choices`] | recordings of schedulers, replayed on any director |
//! | [`states`] | recordings of connection states, likewise |
//! | [`stories`] | recordings of persistence, gone servers, settings, likewise |
//! | [`random`] | seeded randomness that says its seed when a test fails |

mod audit;
mod brain;
pub mod choices;
pub mod golden;
mod handing;
mod hands;
mod hearing;
pub mod lab;
mod memory;
mod network;
pub mod order;
pub mod packet;
pub mod random;
pub mod reference;
pub mod rows;
mod rules;
pub mod states;
pub mod stories;
mod world;

pub use audit::audit;
pub use brain::{Brain, Driver, Stack, Where};
pub use hands::{Outcome, arrive, receive};
pub use memory::{Row, Rows};
pub use network::{Link, Mac, Network};
pub use order::{DestOrder, Order, ServiceOrder, mark};
pub use world::{Loads, Sizes, World};
