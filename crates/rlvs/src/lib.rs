//! What the `rlvs` program is made of, besides the crates it puts together: the laboratory of network namespaces that
//! demo and end-to-end tests share ([`lab`]), and the demo ([`demo`]).

pub mod demo;
pub mod lab;
