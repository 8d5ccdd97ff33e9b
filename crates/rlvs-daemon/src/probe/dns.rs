//! DNS_CHECK: a query over UDP (RFC 1035) that must be answered without an error. What the answer says does not matter.

use super::via::Vias;
use super::{Reason, socket, step};
use crate::config::model::{DnsCheck, DnsType};
use crate::machine::CheckSpec;

pub async fn check(spec: &CheckSpec, dns: &DnsCheck, vias: &Vias) -> Result<(), Reason> {
    let id = random_id();
    let query = query(id, dns.name.as_deref().unwrap_or("."), dns.query_type.unwrap_or(DnsType::Soa))?;
    let socket = socket::udp(spec, vias).await?;
    step(spec, "sending the query", socket.send(&query)).await?;
    let answer = async {
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).await.map_err(|error| error.to_string())?;
            // An answer to another question may be an old one, or forged.
            if let Some(verdict) = judge(&buffer[..length], &query) {
                return verdict;
            }
        }
    };
    step(spec, "the answer", answer).await
}

/// Only has to differ from that of the last tries.
fn random_id() -> u16 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() as u16 // any 16 bits
}

/// RFC 1035, section 4.1: a header with one question, recursion desired.
fn query(id: u16, name: &str, kind: DnsType) -> Result<Vec<u8>, Reason> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let start = query.len();
    for label in name.trim_end_matches('.').split('.').filter(|_| name != ".") {
        if label.is_empty() || label.len() > 63 {
            return Err(format!("{name:?} is no domain name"));
        }
        query.push(label.len() as u8); // fits: 63 at most
        query.extend(label.as_bytes());
    }
    query.push(0);
    if query.len() - start > 255 {
        return Err(format!("{name:?} is too long for a domain name"));
    }
    let number: u16 = match kind {
        DnsType::A => 1,
        DnsType::Ns => 2,
        DnsType::Cname => 5,
        DnsType::Soa => 6,
        DnsType::Mx => 15,
        DnsType::Txt => 16,
        DnsType::Aaaa => 28,
    };
    query.extend(number.to_be_bytes());
    query.extend([0, 1]); // class IN
    Ok(query)
}

/// `None` for what is no answer to this query.
fn judge(answer: &[u8], query: &[u8]) -> Option<Result<(), Reason>> {
    let (header, _) = answer.split_first_chunk::<12>()?;
    let is_answer = header[2] & 0x80 != 0;
    if header[..2] != query[..2] || !is_answer {
        return None;
    }
    match header[3] & 0x0f {
        0 => Some(Ok(())),
        code => {
            let words = ["", "format error", "server failure", "no such name", "not implemented", "refused"];
            let word = words.get(usize::from(code)).unwrap_or(&"an error");
            Some(Err(format!("{word} (rcode {code})")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let root = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
        assert_eq!(query(0x1234, ".", DnsType::Soa).unwrap(), root);
        let named = query(1, "a.example.", DnsType::Aaaa).unwrap();
        assert_eq!(named[12..], *b"\x01a\x07example\0\0\x1c\0\x01");
        for bad in ["a..b", &"a".repeat(64), &vec!["abcdefg"; 40].join("."), ".a"] {
            assert!(query(1, bad, DnsType::A).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers() {
        let query = query(7, ".", DnsType::Soa).unwrap();
        let answer = |id: u8, flags: u8, code: u8| [0, id, flags, code, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(judge(&answer(7, 0x81, 0x80), &query), Some(Ok(())));
        assert_eq!(judge(&answer(7, 0x81, 0x83), &query), Some(Err("no such name (rcode 3)".into())));
        assert_eq!(judge(&answer(8, 0x81, 0x80), &query), None, "another id");
        assert_eq!(judge(&answer(7, 0x01, 0x80), &query), None, "a query");
        assert_eq!(judge(&answer(7, 0x81, 0x80)[..11], &query), None, "cut off");
    }

    proptest::proptest! {
        /// Whatever comes from the network, it is judged.
        #[test]
        fn any_answer(answer: Vec<u8>, query: Vec<u8>) {
            if query.len() >= 2 {
                judge(&answer, &query);
            }
        }
    }
}
