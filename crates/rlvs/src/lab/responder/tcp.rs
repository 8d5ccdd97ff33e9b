//! As much HTTP/1.1 (RFC 9112) as a test needs: `Content-Length` bodies, connections that stay open, `100 Continue` for
//! clients that wait for it. A thread per connection: some dozens at a time, and simple to read.

use super::body;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// An idle or stuck connection is given up after this.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn serve(listener: &TcpListener, name: &Arc<str>) {
    for stream in listener.incoming().flatten() {
        let name = Arc::clone(name);
        // A connection that fails is the client's affair: it sees it.
        thread::spawn(move || talk(stream, &name));
    }
}

struct Request {
    method: String,
    path: String,
    body_len: u64,
    expects_continue: bool,
    close: bool,
}

/// Requests on one connection until the client closes it or says so.
fn talk(stream: TcpStream, name: &str) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut from = BufReader::with_capacity(256 * 1024, stream.try_clone()?);
    let mut to = stream;
    while let Some(request) = read_request(&mut from)? {
        answer(&request, name, &mut from, &mut to)?;
        if request.close {
            break;
        }
    }
    Ok(())
}

fn answer(request: &Request, name: &str, from: &mut impl Read, to: &mut impl Write) -> Result<()> {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => respond(to, request, "200 OK", &format!("{name}\n")),
        ("GET", path) if path.starts_with("/bytes/") => {
            let Ok(len) = path["/bytes/".len()..].parse() else {
                return respond(to, request, "400 Bad Request", "a number of bytes, please\n");
            };
            head(to, request, "200 OK", len)?;
            Ok(body::write(to, len)?)
        }
        ("POST", "/upload") => {
            if request.expects_continue {
                to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let (len, sha256) = digest(from.take(request.body_len))?;
            respond(to, request, "200 OK", &format!("{len} {sha256} {name}\n"))
        }
        _ => respond(to, request, "404 Not Found", "GET /, GET /bytes/N or POST /upload\n"),
    }
}

fn respond(to: &mut impl Write, request: &Request, status: &str, text: &str) -> Result<()> {
    head(to, request, status, text.len() as u64)?;
    Ok(to.write_all(text.as_bytes())?)
}

fn head(to: &mut impl Write, request: &Request, status: &str, len: u64) -> Result<()> {
    let connection = if request.close { "close" } else { "keep-alive" };
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: {connection}\r\n\r\n");
    Ok(to.write_all(text.as_bytes())?)
}

fn digest(mut from: impl Read) -> Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut len = 0;
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok((len, body::hex(hash))),
            n => {
                hash.update(&buffer[..n]);
                len += n as u64;
            }
        }
    }
}

/// `None` when the client has closed the connection.
fn read_request(from: &mut impl BufRead) -> Result<Option<Request>> {
    let mut line = String::new();
    if from.take(8192).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else { bail!("not a request: {line:?}") };
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        body_len: 0,
        expects_continue: false,
        close: words.next() != Some("HTTP/1.1"),
    };
    loop {
        let mut line = String::new();
        from.take(8192).read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(request));
        }
        let (name, value) = line.split_once(':').context("a header without a colon")?;
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", len) => request.body_len = len.parse()?,
            ("expect", "100-continue") => request.expects_continue = true,
            ("connection", how) => request.close = how.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_requests_on_one_connection() {
        let mut wire: &[u8] =
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST /upload HTTP/1.1\r\nContent-Length: 3\r\n\
            Connection: close\r\n\r\nabcREST";
        let mut out = vec![];
        for _ in 0..2 {
            let request = read_request(&mut wire).unwrap().unwrap();
            answer(&request, "rs7", &mut wire, &mut out).unwrap();
        }
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\nrs7\n"),
            "{out}"
        );
        assert!(
            out.ends_with("3 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad rs7\n"),
            "{out}"
        );
        assert_eq!(wire, b"REST");
    }
}
