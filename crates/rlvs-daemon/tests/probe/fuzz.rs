//! Whatever a server answers, a check comes to its end: it passed, or it failed for a reason that can be shown. The answer is
//! pieces of the protocol thrown together, or a good answer with faults.

use super::http::head;
use super::lab::{check, tcp, udp};
use proptest::prelude::*;
use rlvs_daemon::machine::Outcome;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};

type Answer = Arc<Mutex<Vec<u8>>>;

fn pieces(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        8 => proptest::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 1..70_000usize).prop_map(|(byte, times)| vec![byte; times]),
    ];
    proptest::collection::vec(word, 0..14).prop_map(|words| words.concat())
}

fn with_faults(good: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let fault = (any::<prop::sample::Index>(), 0..6usize, proptest::collection::vec(any::<u8>(), 0..6));
    proptest::collection::vec(fault, 0..5).prop_map(move |faults| {
        let mut bytes = good.as_bytes().to_vec();
        for (at, cut, new) in faults {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..(at + cut).min(bytes.len()), new);
        }
        bytes
    })
}

fn ends_well(outcome: Outcome) {
    match outcome {
        Outcome::Passed => {}
        Outcome::Failed(reason) => {
            assert!(!reason.is_empty() && reason.len() < 1000, "{} bytes: {reason:?}", reason.len());
            assert!(!reason.chars().any(char::is_control), "it goes to logs and terminals: {reason:?}");
        }
        other => panic!("{other:?}"),
    }
}

/// Closes its side and waits until the client has read all there is, or has had enough.
fn say(mut stream: TcpStream, answer: &Answer) {
    let answer = answer.lock().unwrap().clone();
    let _ = stream.write_all(&answer);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

fn server(serve: impl Fn(TcpStream, &Answer) + Send + Sync + 'static) -> (SocketAddr, Answer) {
    let answer = Answer::default();
    let said = Arc::clone(&answer);
    (tcp(move |stream| serve(stream, &said)), answer)
}

static HTTP: LazyLock<(SocketAddr, Answer)> = LazyLock::new(|| {
    server(|stream, answer| {
        head(&stream);
        say(stream, answer);
    })
});
static SMTP: LazyLock<(SocketAddr, Answer)> = LazyLock::new(|| server(say));
static DATAGRAMS: LazyLock<(SocketAddr, Answer)> = LazyLock::new(|| {
    let answer = Answer::default();
    let said = Arc::clone(&answer);
    let address = udp(move |query| {
        // With the number of the query, or it would be nobody's answer.
        let mut answer = said.lock().unwrap().clone();
        let length = answer.len().min(2);
        answer[..length].copy_from_slice(&query[..length]);
        vec![answer]
    });
    (address, answer)
});

fn against((address, answer): &(SocketAddr, Answer), bytes: Vec<u8>, lines: &str) {
    *answer.lock().unwrap() = bytes;
    ends_well(check(*address, lines));
}

const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nall is well";
const CHUNKS: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nall i\r\n6\r\ns well\r\n0\r\n\r\n";

fn http() -> impl Strategy<Value = Vec<u8>> {
    let words = &[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 503\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/9.9 99999 \r\n",
        "Content-Length: 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: upgrade\r\n",
        "X: \u{1b}[2J\r\n",
        " folded\r\n",
        "\r\n",
        "\n",
        "5\r\nhello\r\n",
        "ffffffffffffffff\r\n",
        "fffffffffffffffff\r\n",
        "0\r\n\r\n",
        "5;x=y\r\n",
        "all is well",
    ];
    prop_oneof![pieces(words), with_faults(PAGE), with_faults(CHUNKS)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_page(bytes in http(), form in 0..3usize) {
        let lines = ["", "regex \"well$\"", "digest 5eb63bbbe01eeed093cb22bb8f5acdc3"][form];
        against(&HTTP, bytes, &format!("HTTP_GET {{\nhttp_protocol 1.1\nurl {{\npath /\n{lines}\n}}\n}}"));
    }

    #[test]
    fn any_tls(bytes in prop_oneof![
        pieces(&["\x16\x03\x01", "\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03", "\x15\x03\x03\0\x02\x02\x28", "\x17\x03\x03", "\0"]),
        http(),
    ]) {
        against(&HTTP_RAW, bytes, "SSL_GET {\nurl {\npath /\n}\n}");
    }

    #[test]
    fn any_greeting(bytes in prop_oneof![
        pieces(&["220 ", "220-", "250 ", "250-", "421 ", "\r\n", "\n", "hello", "\u{1b}[2J", "99999 "]),
        with_faults("220 mx.example.org ESMTP\r\n250-mx.example.org\r\n250 SIZE 1000\r\n221 bye\r\n"),
    ]) {
        against(&SMTP, bytes, "SMTP_CHECK {\n}");
    }

    #[test]
    fn any_datagram(bytes in proptest::collection::vec(any::<u8>(), 12..600), dns: bool) {
        if dns {
            let mut answer = bytes;
            answer[2] |= 0x80; // an answer, or it would be waited for
            against(&DATAGRAMS, answer, "DNS_CHECK {\n}");
        } else {
            against(&DATAGRAMS, bytes, "UDP_CHECK {\nrequire_reply 0aXX\n}");
        }
    }
}

static HTTP_RAW: LazyLock<(SocketAddr, Answer)> = LazyLock::new(|| server(say));
