//! Checkers against little servers on loopback: good ones, bad ones, slow ones, and those that never end.

mod connect;
mod datagrams;
mod fuzz;
mod http;
mod lab;
mod programs;
mod smtp;
mod tls;
