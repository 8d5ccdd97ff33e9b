//! HTTP_GET.

use super::lab::{check, closed, fails, hang, tcp, tcp_at};
use md5::{Digest, Md5};
use rlvs_daemon::machine::Outcome;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Reads a request's head and answers with these bytes.
fn serve(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    tcp(move |mut stream| {
        head(&stream);
        let _ = stream.write_all(&answer);
    })
}

pub fn head(stream: &TcpStream) -> Vec<String> {
    let lines = BufReader::new(stream).lines();
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect()
}

fn get(lines: &str) -> String {
    format!("HTTP_GET {{\nurl {{\npath /x?y=1\n{lines}\n}}\n}}")
}

fn page(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn status_code() {
    for (status, lines, good) in [
        ("200 OK", "", true),
        ("299 Odd", "", true),
        ("301 Moved", "", false),
        ("404 Not Found", "", false),
        ("301 Moved", "status_code 200 300-302", true),
        ("200 OK", "status_code 301", false),
        ("503 Busy", "status_code 503", true),
    ] {
        let outcome = check(serve(page(status, "hello")), &get(lines));
        match good {
            true => assert_eq!(outcome, Outcome::Passed, "{status} {lines}"),
            false => fails(outcome, &format!("/x?y=1: status {}", &status[..3])),
        }
    }
}

#[test]
fn digest() {
    let digest: String = Md5::digest(b"hello").iter().map(|byte| format!("{byte:02X}")).collect();
    let lines = get(&format!("digest {digest}"));
    assert_eq!(check(serve(page("200 OK", "hello")), &lines), Outcome::Passed);
    assert_eq!(check(serve("HTTP/1.0 200 OK\r\n\r\nhello"), &lines), Outcome::Passed, "up to the end");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    let modern = lines.replacen('{', "{\nhttp_protocol 1.1", 1);
    assert_eq!(check(serve(chunked), &modern), Outcome::Passed);
    fails(check(serve(page("200 OK", "hullo")), &lines), "the digest is");
}

#[test]
fn regex_and_its_settings() {
    let body = "status: good\n";
    for (lines, good) in [
        ("regex \"status: (ok|good)$\"", true),
        ("regex \"^ok\"", false),
        ("regex \"GOOD\"\nregex_options caseless", true),
        ("regex \"good\"\nregex_no_match", false),
        ("regex \"bad\"\nregex_no_match", true),
        ("regex \"good\"\nregex_min_offset 9", false),
        ("regex \"good\"\nregex_max_offset 7", false),
        ("regex \"good\"\nregex_max_offset 8", true),
    ] {
        let outcome = check(serve(page("200 OK", body)), &get(lines));
        match good {
            true => assert_eq!(outcome, Outcome::Passed, "{lines}"),
            false => fails(outcome, "the expression is"),
        }
    }
}

/// What is asked: the request line and headers, in each version, and the virtual host that is nearest.
#[test]
fn http_protocol_and_virtualhost() {
    let asked = |lines: &str| {
        let (send, seen) = mpsc::channel();
        let server = tcp(move |mut stream| {
            send.send(head(&stream)).unwrap();
            let _ = stream.write_all(page("200 OK", "").as_bytes());
        });
        assert_eq!(check(server, lines), Outcome::Passed);
        let lines: Vec<String> = seen.recv().unwrap().iter().map(|line| line.to_lowercase()).collect();
        (lines[0].clone(), lines[1..].to_vec())
    };
    let (line, headers) = asked(&get(""));
    assert_eq!(line, "get /x?y=1 http/1.0");
    assert!(headers.contains(&"host: of-the-service".into()), "{headers:?}");
    assert!(!headers.iter().any(|h| h.starts_with("connection")), "{headers:?}");
    let (line, headers) = asked(&get("").replacen('{', "{\nhttp_protocol 1.0C\nvirtualhost of-the-check", 1));
    assert_eq!(line, "get /x?y=1 http/1.0");
    assert!(headers.contains(&"host: of-the-check".into()) && headers.contains(&"connection: close".into()));
    let (line, headers) = asked(&get("virtualhost of-the-url").replacen('{', "{\nhttp_protocol 1.1", 1));
    assert_eq!(line, "get /x?y=1 http/1.1");
    assert!(headers.contains(&"host: of-the-url".into()) && headers.contains(&"connection: close".into()));
}

#[test]
fn ipv6_and_several_urls() {
    let server = tcp_at("[::1]:0", |mut stream| {
        let found = head(&stream)[0].contains("/b");
        let _ = stream.write_all(page(if found { "404 No" } else { "200 OK" }, "").as_bytes());
    });
    assert_eq!(check(server, "HTTP_GET {\nurl {\npath /a\n}\n}"), Outcome::Passed);
    fails(check(server, "HTTP_GET {\nurl {\npath /a\n}\nurl {\npath /b\n}\n}"), "/b: status 404");
}

#[test]
fn servers_that_are_not_there_or_say_nothing() {
    fails(check(closed(), &get("")), "connecting: Connection refused");
    fails(check(tcp(|_stream| hang()), &get("")), "the answer: nothing within 700ms");
    fails(check(tcp(drop), &get("")), "the answer: ");
    fails(check(serve(""), &get("")), "the answer: ");
}

#[test]
fn garbage() {
    for answer in [
        "\0\u{1}\u{2}\r\n\r\n",
        "HELLO\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/9 200 OK\r\n\r\n",
        "SSH-2.0-x\r\n",
    ] {
        fails(check(serve(answer), &get("")), "the answer: ");
    }
    // Half a page is none.
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    fails(check(serve(cut), &get("digest 00000000000000000000000000000000")), "the page: ");
}

#[test]
fn a_head_that_never_ends() {
    let server = tcp(|mut stream| {
        head(&stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(format!("X-Header: {}\r\n", "x".repeat(1000)).as_bytes()).is_ok() {}
    });
    fails(check(server, &get("")), "the answer: ");
}

#[test]
fn a_page_that_never_ends() {
    let endless = || {
        tcp(|mut stream| {
            head(&stream);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 65_536]).is_ok() {}
        })
    };
    fails(check(endless(), &get("regex \"y\"")), "the page has more than 4194304 bytes");
    assert_eq!(check(endless(), &get("")), Outcome::Passed, "what is in it does not matter");
}

/// Each byte is in time, the whole is not.
#[test]
fn a_page_that_drips() {
    let server = tcp(|mut stream| {
        head(&stream);
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    fails(check(server, &get("regex \"y\"")), "not done within 1.5s");
    let stuck = tcp(|mut stream| {
        head(&stream);
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nx");
        hang();
    });
    fails(check(stuck, &get("regex \"y\"")), "the page: nothing within 700ms");
}
