//! DNS_CHECK and UDP_CHECK.

use super::lab::{check, closed, fails, udp};
use rlvs_daemon::machine::Outcome;

const DNS: &str = "DNS_CHECK {\ntype A\nname www.example.com\n}";

/// The query as an answer with this code.
fn answer(query: &[u8], code: u8) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] |= 0x80;
    answer[3] = code;
    answer
}

#[test]
fn dns() {
    let good = udp(|query| {
        assert_eq!(query[12..], *b"\x03www\x07example\x03com\0\0\x01\0\x01");
        vec![answer(query, 0)]
    });
    assert_eq!(check(good, DNS), Outcome::Passed);
    fails(check(udp(|query| vec![answer(query, 3)]), DNS), "no such name (rcode 3)");
    fails(check(udp(|query| vec![answer(query, 2)]), DNS), "server failure");
    fails(check(udp(|_| vec![]), DNS), "nothing within");
    fails(check(closed(), DNS), "refused");
}

#[test]
fn dns_that_is_garbage_or_of_another_query_does_not_count() {
    let late = udp(|query| {
        let mut other = answer(query, 3);
        other[0] ^= 0xff;
        vec![vec![], b"garbage".to_vec(), query.to_vec(), other, answer(query, 0)]
    });
    assert_eq!(check(late, DNS), Outcome::Passed);
    fails(check(udp(|_| vec![vec![0xff; 60_000]]), DNS), "nothing within");
}

#[test]
fn udp_without_a_reply() {
    assert_eq!(check(udp(|_| vec![]), "UDP_CHECK {\n}"), Outcome::Passed, "silence is no failure");
    assert_eq!(check(udp(|_| vec![b"hello".to_vec()]), "UDP_CHECK {\n}"), Outcome::Passed);
    fails(check(closed(), "UDP_CHECK {\n}"), "refused");
}

#[test]
fn payload_and_require_reply() {
    let lines = "UDP_CHECK {\npayload 0AFF\nrequire_reply 01XX\nmin_reply_length 2\nmax_reply_length 4\n}";
    let echo = |reply: &'static [u8]| {
        udp(move |datagram| {
            assert_eq!(datagram, [0x0a, 0xff]);
            vec![reply.to_vec()]
        })
    };
    assert_eq!(check(echo(&[1, 99, 5]), lines), Outcome::Passed);
    fails(check(echo(&[2, 99, 5]), lines), "the reply begins with 026305, not with 01XX");
    fails(check(echo(&[1]), lines), "the reply has 1 bytes, not 2 to 4");
    fails(check(echo(&[1; 5]), lines), "the reply has 5 bytes");
    fails(check(udp(|_| vec![]), lines), "the reply: nothing within");
}
