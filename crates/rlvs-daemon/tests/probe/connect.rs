//! TCP_CHECK and PING_CHECK, and the ways to a server: connect_ip, connect_port, bindto, bind_port, bind_if.

use super::lab::{check, check_config, closed, config, fails, hang, tcp, tcp_at};
use rlvs_daemon::machine::Outcome;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn a_port_that_is_open_or_closed() {
    assert_eq!(check(tcp(drop), "TCP_CHECK {\n}"), Outcome::Passed);
    assert_eq!(check(tcp_at("[::1]:0", drop), "TCP_CHECK {\n}"), Outcome::Passed);
    fails(check(closed(), "TCP_CHECK {\n}"), "refused");
}

/// The connection is reset, so that it is not remembered (TIME_WAIT) when ten thousand are made a second.
#[test]
fn a_connection_is_reset() {
    let (seen, end) = mpsc::channel();
    let there = tcp(move |mut stream: TcpStream| {
        let _ = seen.send(stream.read(&mut [0]).map_err(|error| error.kind()));
    });
    assert_eq!(check(there, "TCP_CHECK {\n}"), Outcome::Passed);
    assert_eq!(end.recv().unwrap(), Err(ErrorKind::ConnectionReset));
}

/// It took the connection, whatever it did with it then; for whoever asks something that is not enough.
#[test]
fn a_server_that_resets_what_it_accepts() {
    let resets = || {
        tcp(|stream| {
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        })
    };
    for _ in 0..20 {
        assert_eq!(check(resets(), "TCP_CHECK {\n}"), Outcome::Passed);
    }
    fails(check(resets(), "HTTP_GET {\nurl {\npath /\n}\n}"), "the answer: ");
}

/// Its queue is full, so further connections are not answered.
#[test]
fn connect_timeout() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    for _ in 0..4 {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&address);
        held.push(client);
    }
    fails(check(address.as_socket().unwrap(), "TCP_CHECK {\n}"), "connecting: nothing within 700ms");
}

#[test]
fn connect_ip_and_connect_port() {
    let there = tcp(drop);
    let lines = format!("TCP_CHECK {{\nconnect_ip 127.0.0.1\nconnect_port {}\n}}", there.port());
    assert_eq!(check_config(&config("198.51.100.9 9", &lines)), Outcome::Passed);
}

#[test]
fn bindto_bind_port_and_bind_if() {
    let (seen, from) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listener.local_addr().unwrap();
    // The check is over with the handshake, so it is told from whom a connection is, but perhaps no more of it.
    std::thread::spawn(move || seen.send(listener.accept().unwrap().1).unwrap());
    let port = closed().port();
    let lines = format!("TCP_CHECK {{\nbindto 127.0.0.5\nbind_port {port}\nbind_if lo\n}}");
    assert_eq!(check(there, &lines), Outcome::Passed);
    assert_eq!(from.recv().unwrap(), SocketAddr::from(([127, 0, 0, 5], port)));
    fails(check(there, "TCP_CHECK {\nbind_if no-such-0\n}"), "a socket");
    fails(check(there, "TCP_CHECK {\nbindto 192.0.2.77\n}"), "a socket");
}

#[test]
fn ping() {
    for address in ["127.0.0.1:1", "[::1]:1"] {
        assert_eq!(check(address.parse().unwrap(), "PING_CHECK {\n}"), Outcome::Passed, "{address}");
    }
    assert!(matches!(check("240.0.0.1:1".parse().unwrap(), "PING_CHECK {\n}"), Outcome::Failed(_)));
}

/// Whoever accepts and says nothing has an open port.
#[test]
fn a_silent_server_is_open() {
    assert_eq!(check(tcp(|_stream| hang()), "TCP_CHECK {\n}"), Outcome::Passed);
}
