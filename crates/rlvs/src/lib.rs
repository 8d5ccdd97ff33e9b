//! What the `rlvs` program is made of, besides the crates it puts together: the laboratory of network namespaces that
//! demo and end-to-end tests share ([`lab`]), the demo ([`demo`]), and the simulator of schedulers ([`simulate`]).

pub mod demo;
pub mod lab;
pub mod simulate;
