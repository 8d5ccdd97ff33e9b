//! SMTP_CHECK.

use super::lab::{check, fails, hang, tcp};
use rlvs_daemon::machine::Outcome;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::mpsc;

const SMTP: &str = "SMTP_CHECK {\nhelo_name lb.example.com\n}";

/// Greets, and answers HELO; tells what it was told.
fn serve(greeting: &'static str, reply: &'static str) -> (SocketAddr, mpsc::Receiver<String>) {
    let (send, told) = mpsc::channel();
    let address = tcp(move |mut stream| {
        let _ = stream.write_all(greeting.as_bytes());
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        if let Some(line) = lines.next() {
            let _ = send.send(line);
            let _ = stream.write_all(reply.as_bytes());
            let _ = lines.next();
        }
    });
    (address, told)
}

#[test]
fn greeting_and_helo() {
    let (server, told) = serve("220 mail.example.com\r\n", "250 hello\r\n");
    assert_eq!(check(server, SMTP), Outcome::Passed);
    assert_eq!(told.recv().unwrap(), "HELO lb.example.com");
    let (server, _told) = serve("220-a\r\n220-b\r\n220 c\r\n", "250-hello\r\n250 SIZE\r\n");
    assert_eq!(check(server, SMTP), Outcome::Passed, "replies of several lines");
    assert_eq!(check(serve("220 x\r\n", "250 x\r\n").0, "SMTP_CHECK {\n}"), Outcome::Passed);
}

#[test]
fn servers_that_do_not_want() {
    fails(check(serve("554 go away\r\n", "").0, SMTP), "the greeting is \"554 go away\", not 220");
    fails(check(serve("220 x\r\n", "502 what?\r\n").0, SMTP), "the reply to HELO is \"502 what?\", not 250");
    fails(check(tcp(drop), SMTP), "the greeting: ");
    fails(check(tcp(|_stream| hang()), SMTP), "the greeting: nothing within 700ms");
    fails(check(serve("220 x\r\n", "").0, SMTP), "the reply to HELO: ");
}

#[test]
fn a_greeting_that_never_ends() {
    let one_line = tcp(|mut stream| while stream.write_all(b"220-").is_ok() {});
    fails(check(one_line, SMTP), "the greeting: more than 8192 bytes");
    let many = tcp(|mut stream| while stream.write_all(b"220-x\r\n").is_ok() {});
    fails(check(many, SMTP), "the greeting: more than 8192 bytes");
}
