//! Dynamic weights: a real server says how much it can take, and its weight follows.
//!
//! [`answer`] reads what it says (HAProxy's agent-check words), [`poll`] asks an agent over TCP or a script, and
//! [`policy`] makes weights of answers: smoothed, bounded, not at every whim, and back to the configured weight when nobody
//! answers. [`agent`] is the other side, on the real server.
//!
//! Nothing here sets a weight: a [`Weigher`] says what it should be and why, and the daemon's machine (`machine::health`)
//! decides. docs/weights.md is the operator's page.

pub mod agent;
pub mod answer;
pub mod policy;
pub mod poll;

pub use answer::Answer;
pub use policy::{Heard, Policy, Report, Weigher, Why};
pub use poll::{Script, poll, poll_command, poll_json};
