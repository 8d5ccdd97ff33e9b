//! SSL_GET.

use super::http::head;
use super::lab::{check, fails, hang, tcp};
use rlvs_daemon::config::model::Tls;
use rlvs_daemon::machine::Outcome;
use rlvs_daemon::probe::tls_config;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};

/// A server with a certificate that nobody signed. Tells the name it was asked for.
fn serve(close_notify: bool) -> (SocketAddr, mpsc::Receiver<Option<String>>) {
    let made = rcgen::generate_simple_self_signed(["some-name.example".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let (send, names) = mpsc::channel();
    let address = tcp(move |stream| talk(stream, &config, &send, close_notify));
    (address, names)
}

fn talk(
    mut stream: TcpStream,
    config: &Arc<ServerConfig>,
    names: &mpsc::Sender<Option<String>>,
    close_notify: bool,
) {
    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
    while connection.is_handshaking() {
        if connection.complete_io(&mut stream).is_err() {
            return;
        }
    }
    names.send(connection.server_name().map(str::to_owned)).unwrap();
    let mut tls = StreamOwned::new(connection, stream);
    // One byte after the other, as the head's reader wants a TcpStream.
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if std::io::Read::read(&mut tls, &mut byte).unwrap_or(0) == 0 {
            return;
        }
        seen.push(byte[0]);
    }
    let _ = tls.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello");
    if close_notify {
        tls.conn.send_close_notify();
    }
    let _ = tls.flush();
}

fn get(lines: &str) -> String {
    format!("SSL_GET {{\n{lines}\nurl {{\npath /\ndigest 5d41402abc4b2a76b9719d911017c592\n}}\n}}")
}

#[test]
fn any_certificate_will_do() {
    assert_eq!(check(serve(true).0, &get("")), Outcome::Passed);
}

#[test]
fn enable_sni_and_sni_name() {
    for (lines, name) in [
        ("", None),
        ("enable_sni", Some("of-the-service")),
        ("enable_sni\nvirtualhost www.example.com:8443", Some("www.example.com")),
        ("sni_name other.example.com", Some("other.example.com")),
    ] {
        let (server, names) = serve(true);
        assert_eq!(check(server, &get(lines)), Outcome::Passed, "{lines}");
        assert_eq!(names.recv().unwrap().as_deref(), name, "{lines}");
    }
    fails(check(serve(true).0, &get("sni_name \"not a name\"")), "no name for SNI");
}

#[test]
fn tls_compliant() {
    assert_eq!(check(serve(false).0, &get("")), Outcome::Passed, "many servers just close");
    fails(check(serve(false).0, &get("tls_compliant")), "close_notify");
    assert_eq!(check(serve(true).0, &get("tls_compliant")), Outcome::Passed);
}

#[test]
fn servers_without_tls() {
    let plain = tcp(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
        head(&stream);
    });
    fails(check(plain, &get("")), "TLS: ");
    fails(check(tcp(|_stream| hang()), &get("")), "TLS: nothing within 700ms");
    fails(check(tcp(drop), &get("")), "TLS: ");
}

#[test]
fn a_client_certificate_that_is_not_there() {
    let tls = Tls {
        certificate: Some("/nowhere/client.pem".into()),
        key: Some("/nowhere/client.key".into()),
        ..Tls::default()
    };
    let said = format!("{:#}", tls_config(Some(&tls)).unwrap_err());
    assert!(said.contains("/nowhere/client.pem"), "{said}");
}
