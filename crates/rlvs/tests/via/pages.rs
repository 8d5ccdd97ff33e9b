//! HTTP and TLS speak over it as over any other connection.

use super::world::{Case, PATIENT};
use crate::common::{cluster, within};
use rlvs::lab::{Topology, VIP};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

#[test]
fn pages_and_long_pages() {
    within(120, || {
        for (topology, method) in [(Topology::Dr, "DR"), (Topology::Tun, "TUN"), (Topology::Nat, "NAT")] {
            let lab = cluster(topology);
            let page =
                |url: &str| format!("type = \"http_get\"\nhttp_protocol = \"1.1\"\nurl = [{{ {url} }}]");
            let get = |url: &str, words: Option<&str>| {
                let lines = page(url);
                let case = Case { lines: &lines, ..Case::new(method, lab.server(2).addr()) };
                match words {
                    None => case.passes(&lab, url),
                    Some(words) => case.fails(&lab, words, url),
                }
            };
            get("path = \"/\", regex = \"^rs2$\"", None);
            get("path = \"/\", regex = \"^rs1$\"", Some("the expression is not found"));
            get("path = \"/nothing\"", Some("status 404"));
            // Of a page that matters all is read; it is far longer than what is taken in at once.
            get("path = \"/bytes/3000000\", regex = \".\"", None);
            get("path = \"/bytes/5000000\", regex = \".\"", Some("more than 4194304 bytes"));
        }
    });
}

/// A server with a certificate that nobody signed, for one connection after the other.
fn serve_tls(listener: &TcpListener) {
    let made = rcgen::generate_simple_self_signed(["some-name.example".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    for stream in listener.incoming().flatten() {
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if tls.read(&mut byte).unwrap_or(0) == 0 {
                break;
            }
            seen.push(byte[0]);
        }
        let _ = tls.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello");
        tls.conn.send_close_notify();
        let _ = tls.flush();
    }
}

#[test]
fn tls() {
    within(120, || {
        for (topology, method) in [(Topology::Dr, "DR"), (Topology::Tun, "TUN")] {
            let lab = cluster(topology);
            let server = lab.server(1);
            // Only at the virtual address.
            let listener = server.run(|| TcpListener::bind((VIP, 443))).unwrap();
            thread::spawn(move || serve_tls(&listener));
            let lines =
                "type = \"ssl_get\"\nurl = [{ path = \"/\", digest = \"5d41402abc4b2a76b9719d911017c592\" }]";
            let case = Case { port: 443, lines, ..Case::new(method, server.addr()) };
            case.passes(&lab, "a page over TLS");
            Case { via: "rip", timeout: PATIENT, ..case }.fails(&lab, "refused", "nobody serves at the RIP");
        }
    });
}

/// A server that wants to be told who the client is gets no page from an ordinary check, and one from this.
#[test]
fn proxy_protocol() {
    within(120, || {
        let lab = cluster(Topology::Nat);
        let server = lab.server(1);
        let listener = server.run(|| TcpListener::bind((server.addr(), 8600))).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut header = [0; 16];
                let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
                if stream.read_exact(&mut header).is_err() || header != *local {
                    continue;
                }
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    request.push(byte[0]);
                }
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello");
            }
        });
        let lines = "type = \"http_get\"\nurl = [{ path = \"/\", regex = \"^hello$\" }]";
        let case = Case { port: 8600, lines, ..Case::new("FULLNAT proxy", server.addr()) };
        case.passes(&lab, "a page");
        Case { method: "FULLNAT", ..case }.fails(&lab, "", "no header");
        Case { lines: "type = \"tcp\"", ..Case::new("FULLNAT proxy", server.addr()) }
            .passes(&lab, "a connection");
    });
}
