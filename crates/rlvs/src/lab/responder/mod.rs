//! The real servers of the lab: a small HTTP server and a UDP echo that both say who they are, so that a client can tell
//! which of them served it. `rlvs responder NAME --tcp PORT --udp PORT` runs them (a hidden verb; the lab starts it in
//! each real server's namespace) until it is killed.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the server's name |
//! | `GET /bytes/N` | N bytes everybody can compute ([`body`]) |
//! | `POST /upload` | length and SHA-256 of what was sent |
//! | any datagram | the server's name, a line feed, and the datagram |

pub mod body;
pub mod tcp;
pub mod udp;

use anyhow::Result;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::Arc;
use std::thread;

/// Printed when all sockets are open.
pub const READY: &str = "ready";

/// Serves for ever.
pub fn run(name: &str, tcp: &[u16], udp: &[u16]) -> Result<()> {
    let name: Arc<str> = name.into();
    let mut threads = vec![];
    for &port in tcp {
        // Of both families, unless this kernel has no IPv6.
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))?;
        let name = Arc::clone(&name);
        threads.push(thread::spawn(move || tcp::serve(&listener, &name)));
    }
    for &port in udp {
        for socket in [Some(udp::open(port)?), udp::open6(port).ok()].into_iter().flatten() {
            let name = Arc::clone(&name);
            threads.push(thread::spawn(move || udp::serve(&socket, &name)));
        }
    }
    println!("{READY}");
    std::io::stdout().flush()?;
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}
