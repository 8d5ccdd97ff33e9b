//! An answer, taken in as its bytes come (RFC 9112): httparse reads the head, and the head says how long the page is. Nothing
//! here waits or reads, so both the checks that share a loop and those with TLS use it.

use super::super::Reason;
use crate::config::model::Url;
use httparse::{EMPTY_HEADER, Response, Status};
use md5::{Digest, Md5};

/// The most bytes of a page whose content matters; of another one no more than [`GLANCE`] is read.
const MAX_PAGE: usize = 4 << 20;
const GLANCE: usize = 64 << 10;
/// The most bytes of an answer's head.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
/// Up to so many bytes each piece of a head is looked at, so that nonsense is seen at once; then only its end is looked for.
const SHORT_HEAD: usize = 4 << 10;
/// Answers that say that the answer will come (100 to 199).
const MAX_INTERIM: u8 = 16;
/// The line with a chunk's size.
const MAX_CHUNK_LINE: usize = 4 << 10;

pub struct Answer {
    /// Its content matters.
    keeps: bool,
    part: Part,
    interim: u8,
    /// The beginning of what is not whole yet: the head, a line.
    held: Vec<u8>,
    page: Vec<u8>,
    /// Bytes after the head.
    read: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    /// So much is left of a page whose length is known.
    Rest(u64),
    /// A page until the connection ends.
    UntilEnd,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    Done,
}

impl Answer {
    pub fn new(url: &Url) -> Answer {
        let keeps = url.digest.is_some() || url.regex.is_some();
        Answer { keeps, part: Part::Head, interim: 0, held: Vec::new(), page: Vec::new(), read: 0 }
    }

    pub fn has_head(&self) -> bool {
        self.part != Part::Head
    }

    /// What is waited for.
    pub fn part(&self) -> &'static str {
        if self.has_head() { "the page" } else { "the answer" }
    }

    /// Some more bytes. True: that was all, or all that matters.
    pub fn take(&mut self, mut bytes: &[u8], url: &Url) -> Result<bool, Reason> {
        if self.part == Part::Head {
            match self.head(bytes, url)? {
                Some(rest) => bytes = rest,
                None => return Ok(false),
            }
        }
        self.read += bytes.len();
        while self.part != Part::Done && !bytes.is_empty() {
            bytes = self.body(bytes).map_err(|what| format!("the page: {what}"))?;
        }
        if self.keeps && (self.page.len() > MAX_PAGE || self.read > 2 * MAX_PAGE) {
            return Err(format!("the page has more than {MAX_PAGE} bytes"));
        }
        Ok(self.part == Part::Done || (!self.keeps && self.read > GLANCE))
    }

    /// The connection has ended.
    pub fn end(&mut self, url: &Url) -> Result<(), Reason> {
        match self.part {
            Part::Done | Part::UntilEnd => self.judge(url),
            Part::Head => Err("the answer: the connection ended before it".into()),
            _ => Err("the page: the connection ended within it".into()),
        }
    }

    /// Is it the right page?
    pub fn judge(&self, url: &Url) -> Result<(), Reason> {
        let Some(wanted) = &url.digest else { return Ok(()) };
        let digest: String = Md5::digest(&self.page).iter().map(|byte| format!("{byte:02x}")).collect();
        match digest.eq_ignore_ascii_case(wanted) {
            true => Ok(()),
            false => Err(format!("{}: the digest is {digest}, not {wanted}", url.path)),
        }
    }

    pub fn into_page(self) -> Vec<u8> {
        self.page
    }

    /// Returns what comes after the head, when it is whole.
    fn head<'b>(&mut self, bytes: &'b [u8], url: &Url) -> Result<Option<&'b [u8]>, Reason> {
        let mut bytes = bytes;
        loop {
            let before = self.held.len();
            let whole = if before == 0 { read_head(bytes) } else { self.held_head(bytes) };
            let Some(head) = whole.map_err(|what| format!("the answer: {what}"))? else {
                if before == 0 {
                    self.held.extend_from_slice(bytes);
                }
                if self.held.len() > MAX_HEAD {
                    return Err(format!("the answer: its head has more than {MAX_HEAD} bytes"));
                }
                return Ok(None);
            };
            self.held.clear();
            bytes = &bytes[head.length - before..];
            if (100..=199).contains(&head.status) && head.status != 101 {
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    return Err("the answer: one after the other says that it will come".into());
                }
                continue;
            }
            if !url.accepts(head.status) {
                return Err(format!("{}: status {}", url.path, head.status));
            }
            self.part = head.part;
            return Ok(Some(bytes));
        }
    }

    /// The same where its beginning came before.
    fn held_head(&mut self, bytes: &[u8]) -> Result<Option<Head>, String> {
        // An end may lie across what was held and what has come.
        let from = self.held.len().saturating_sub(3);
        self.held.extend_from_slice(bytes);
        let new = &self.held[from..];
        let has_end =
            new.windows(2).any(|two| two == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n");
        if has_end || self.held.len() <= SHORT_HEAD { read_head(&self.held) } else { Ok(None) }
    }

    /// Takes from the front what belongs to one part, and returns the rest.
    fn body<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], String> {
        match self.part {
            Part::Rest(left) | Part::Chunk(left) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.keep(&bytes[..count]);
                let left = left - count as u64;
                self.part = match self.part {
                    Part::Rest(_) if left == 0 => Part::Done,
                    Part::Rest(_) => Part::Rest(left),
                    _ if left == 0 => Part::ChunkEnd,
                    _ => Part::Chunk(left),
                };
                Ok(&bytes[count..])
            }
            Part::UntilEnd => {
                self.keep(bytes);
                Ok(&[])
            }
            Part::ChunkSize | Part::ChunkEnd | Part::Trailer => {
                let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                    self.held.extend_from_slice(bytes);
                    return if self.held.len() > MAX_CHUNK_LINE {
                        Err("a line too long".into())
                    } else {
                        Ok(&[])
                    };
                };
                self.held.extend_from_slice(&bytes[..=end]);
                self.part = self.line()?;
                self.held.clear();
                Ok(&bytes[end + 1..])
            }
            Part::Head | Part::Done => Ok(&[]),
        }
    }

    /// A line is whole: what comes next?
    fn line(&self) -> Result<Part, String> {
        let is_empty = matches!(self.held.as_slice(), b"\n" | b"\r\n");
        match self.part {
            Part::ChunkEnd if is_empty => Ok(Part::ChunkSize),
            Part::ChunkEnd => Err("a chunk is longer than it says".into()),
            Part::Trailer if is_empty => Ok(Part::Done),
            Part::Trailer => Ok(Part::Trailer),
            _ => match httparse::parse_chunk_size(&self.held) {
                Ok(Status::Complete((_, 0))) => Ok(Part::Trailer),
                Ok(Status::Complete((_, size))) => Ok(Part::Chunk(size)),
                _ => Err("that is no size of a chunk".into()),
            },
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.keeps {
            // What is too long is refused by the caller; up to then no more than one reading of it comes.
            self.page.extend_from_slice(bytes);
        }
    }
}

struct Head {
    /// In bytes.
    length: usize,
    status: u16,
    /// What comes after it.
    part: Part,
}

fn read_head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut response = Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let status = response.code.unwrap_or_default();
    Ok(Some(Head { length, status, part: after(&response, status)? }))
}

/// RFC 9112, section 6.3.
fn after(response: &Response<'_, '_>, status: u16) -> Result<Part, String> {
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(Part::Done);
    }
    let all = |name: &'static str| {
        response.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    };
    if let Some(last) = all("transfer-encoding").next_back() {
        if response.version == Some(0) {
            return Err("HTTP/1.0 knows no Transfer-Encoding".into());
        }
        let last = last.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
        return Ok(if last.eq_ignore_ascii_case(b"chunked") { Part::ChunkSize } else { Part::UntilEnd });
    }
    let mut length = None;
    for value in all("content-length").flat_map(|value| value.split(|byte| *byte == b',')) {
        let value = value.trim_ascii();
        let number = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let Some(number) = number.and_then(|text| text.parse::<u64>().ok()) else {
            return Err("that is no Content-Length".into());
        };
        if length.replace(number).is_some_and(|other| other != number) {
            return Err("it has two lengths".into());
        }
    }
    Ok(match length {
        Some(0) => Part::Done,
        Some(length) => Part::Rest(length),
        None => Part::UntilEnd,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of an answer that comes in pieces of so many bytes and then ends.
    fn heard(text: &str, piece: usize, digest: bool) -> Result<Vec<u8>, Reason> {
        let url = Url { path: "/x".into(), ..Url::default() };
        let mut answer = Answer::new(&Url { digest: digest.then(String::new), ..url.clone() });
        for bytes in text.as_bytes().chunks(piece) {
            if answer.take(bytes, &url)? {
                return Ok(answer.into_page());
            }
        }
        answer.end(&url).map(|()| answer.into_page())
    }

    #[test]
    fn pages_of_all_lengths_in_pieces_of_all_sizes() {
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: x, Chunked\r\n\r\n3;a=b\r\nhel\r\n02\r\nlo\r\n0\r\nA: b\r\n\r\n";
        for text in [
            "HTTP/1.0 200 OK\r\n\r\nhello",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello, and more",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello",
            chunks,
        ] {
            for piece in 1..=text.len() {
                assert_eq!(heard(text, piece, true).as_deref(), Ok(&b"hello"[..]), "{text:?} by {piece}");
                assert_eq!(heard(text, piece, false).as_deref(), Ok(&b""[..]), "{text:?} by {piece}");
            }
        }
        assert_eq!(heard("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", 9, true), Ok(vec![]));
    }

    #[test]
    fn faults_are_named() {
        let many = "A: b\r\n".repeat(MAX_HEADERS + 1);
        let long = format!("A: {}\r\n", "x".repeat(MAX_HEAD));
        for (text, reason) in [
            ("", "the answer: the connection ended before it"),
            ("HTTP/1.1 200 OK\r\nA: b\r\n", "the answer: the connection ended before it"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "the page: the connection ended within it"),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", "the answer: that is no Content-Length"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
                "the answer: that is no Content-Length",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                "the answer: it has two lengths",
            ),
            (
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "the answer: HTTP/1.0 knows no Transfer-Encoding",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
                "the page: that is no size of a chunk",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhello\r\n",
                "the page: a chunk is longer than it says",
            ),
            ("HTTP/1.1 503 No\r\n\r\n", "/x: status 503"),
            (
                &"HTTP/1.1 100 Wait\r\n\r\n".repeat(20),
                "the answer: one after the other says that it will come",
            ),
            (&format!("HTTP/1.1 200 OK\r\n{many}\r\n"), "the answer: too many headers"),
            (&format!("HTTP/1.1 200 OK\r\n{long}{long}"), "the answer: its head has more than 65536 bytes"),
            ("SSH-2.0-OpenSSH\r\n", "the answer: invalid HTTP version"),
        ] {
            for piece in [1, 7, 1 << 20] {
                assert_eq!(heard(text, piece, true), Err(reason.to_owned()), "{:.60} by {piece}", text);
            }
        }
    }
}
