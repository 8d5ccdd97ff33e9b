//! The lab's client: HTTP and UDP, small enough to see what it does, with a time limit on everything. Call it inside the
//! client's namespace: `lab.client().run(|| client::who(VIP, 80))`.

use super::responder::body;
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// How long a single step (connecting, the next bytes, an answer) may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bulk is moved in pieces of at most so many bytes.
const PIECE: usize = 256 * 1024;

/// Requests served, by server.
pub type Tally = BTreeMap<String, usize>;

/// A bulk transfer that arrived unharmed.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    pub bytes: u64,
    pub took: Duration,
}

impl Transfer {
    pub fn gbit_per_s(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.took.as_secs_f64() / 1e9
    }
}

/// A connection that stays open for several requests.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(addr: impl Into<IpAddr>, port: u16) -> Result<Connection> {
        Connection::open_within(addr, port, PATIENCE)
    }

    pub fn open_within(addr: impl Into<IpAddr>, port: u16, limit: Duration) -> Result<Connection> {
        let to = SocketAddr::from((addr.into(), port));
        let stream = TcpStream::connect_timeout(&to, limit).with_context(|| format!("connecting to {to}"))?;
        Connection::over(stream)
    }

    /// Over a stream that was opened otherwise.
    pub fn over(stream: TcpStream) -> Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { stream: BufReader::with_capacity(256 * 1024, stream) })
    }

    /// Who is at the other end.
    pub fn who(&mut self) -> Result<String> {
        self.request("GET /", "")?;
        Ok(self.text()?.trim().to_owned())
    }

    /// Fetches `len` bytes and compares their SHA-256 with what was asked for. After each piece `brake` is told how many
    /// bytes there are, and may take its time.
    pub fn download(&mut self, len: u64, mut brake: impl FnMut(u64)) -> Result<Transfer> {
        let began = Instant::now();
        self.request(&format!("GET /bytes/{len}"), "")?;
        ensure!(self.response()? == len, "wrong length announced");
        let mut bytes = vec![0; len as usize];
        let mut done = 0;
        for piece in bytes.chunks_mut(PIECE) {
            self.stream.read_exact(piece).context("downloading")?;
            done += piece.len() as u64;
            brake(done);
        }
        let took = began.elapsed();
        let mut hash = Sha256::new();
        hash.update(&bytes);
        ensure!(body::hex(hash) == body::sha256(len), "{len} bytes came down, but not those that were sent");
        Ok(Transfer { bytes: len, took })
    }

    /// Sends `len` bytes; the server says which SHA-256 it saw. `brake` as in [`Connection::download`].
    pub fn upload(&mut self, len: u64, brake: impl FnMut(u64)) -> Result<Transfer> {
        let began = Instant::now();
        self.request("POST /upload", &format!("Content-Length: {len}\r\n"))?;
        let mut to = Braked { to: self.stream.get_mut(), done: 0, brake };
        body::write(&mut to, len).context("uploading")?;
        let text = self.text()?;
        let took = began.elapsed();
        let seen: Vec<&str> = text.split_whitespace().collect();
        let sent = [&len.to_string(), &body::sha256(len)];
        ensure!(seen.len() == 3 && seen[..2] == sent, "sent {} {}, the server saw {text}", sent[0], sent[1]);
        Ok(Transfer { bytes: len, took })
    }

    fn request(&mut self, what: &str, headers: &str) -> Result<()> {
        let text = format!("{what} HTTP/1.1\r\nHost: lab\r\n{headers}\r\n");
        self.stream.get_mut().write_all(text.as_bytes()).context("sending a request")
    }

    /// Reads a response up to its body, and returns the body's length.
    fn response(&mut self) -> Result<u64> {
        let mut len = None;
        let mut status = None;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).context("waiting for a response")? == 0 {
                bail!("the server closed the connection");
            }
            let line = line.trim_end();
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    len = Some(value.parse()?)
                }
                _ if line.is_empty() => break,
                _ => status = status.or_else(|| line.strip_prefix("HTTP/1.1 ").map(str::to_owned)),
            }
        }
        match status {
            Some(ok) if ok.starts_with("200") => len.context("a response without a length"),
            other => bail!("the server refused: {other:?}"),
        }
    }

    fn text(&mut self) -> Result<String> {
        let len = self.response()?;
        let mut text = String::new();
        (&mut self.stream).take(len).read_to_string(&mut text)?;
        Ok(text)
    }
}

/// One request on a connection of its own: which server answers.
pub fn who(addr: impl Into<IpAddr>, port: u16) -> Result<String> {
    Connection::open(addr, port)?.who()
}

/// `requests` connections one after the other; the names of the servers in this order.
pub fn order_tcp(addr: impl Into<IpAddr>, port: u16, requests: usize) -> Result<Vec<String>> {
    let addr = addr.into();
    in_turn(requests, || who(addr, port))
}

/// The same, counted.
pub fn tally_tcp(addr: impl Into<IpAddr>, port: u16, requests: usize) -> Result<Tally> {
    Ok(count(&order_tcp(addr, port, requests)?))
}

/// One datagram from a port of its own; which server answers.
pub fn ask(addr: impl Into<IpAddr>, port: u16, limit: Duration) -> Result<String> {
    Asker::open(addr, port)?.ask("what is your name?", limit)
}

/// `requests` datagrams, each from a port of its own; the names of the servers in this order.
pub fn order_udp(addr: impl Into<IpAddr>, port: u16, requests: usize) -> Result<Vec<String>> {
    let addr = addr.into();
    // A port that was given back could be given out again, and would not be a new connection.
    let mut open = vec![];
    in_turn(requests, || {
        open.push(Asker::open(addr, port)?);
        open[open.len() - 1].ask("what is your name?", PATIENCE)
    })
}

/// The same, counted.
pub fn tally_udp(addr: impl Into<IpAddr>, port: u16, requests: usize) -> Result<Tally> {
    Ok(count(&order_udp(addr, port, requests)?))
}

/// As a whole: a new connection and a download as fast as it goes.
pub fn download(addr: impl Into<IpAddr>, port: u16, len: u64) -> Result<Transfer> {
    Connection::open(addr, port)?.download(len, |_| ())
}

/// As a whole: a new connection and an upload as fast as it goes.
pub fn upload(addr: impl Into<IpAddr>, port: u16, len: u64) -> Result<Transfer> {
    Connection::open(addr, port)?.upload(len, |_| ())
}

/// A UDP socket that talks to one address and takes answers from nowhere else.
pub struct Asker {
    socket: UdpSocket,
}

impl Asker {
    pub fn open(addr: impl Into<IpAddr>, port: u16) -> Result<Asker> {
        let addr = addr.into();
        let socket = match addr {
            IpAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
            IpAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
        };
        socket.connect((addr, port))?;
        Ok(Asker { socket })
    }

    /// Sends `text`, checks the echo, returns the server's name.
    pub fn ask(&self, text: &str, limit: Duration) -> Result<String> {
        self.socket.set_read_timeout(Some(limit))?;
        self.socket.send(text.as_bytes()).context("sending a datagram")?;
        let mut answer = vec![0; 65_536];
        let len = match self.socket.recv(&mut answer) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => bail!("no answer within {limit:?}"),
            other => other.context("waiting for a datagram")?,
        };
        let answer = std::str::from_utf8(&answer[..len]).context("not what was sent")?;
        let (name, echo) = answer.split_once('\n').context("an answer without a name")?;
        ensure!(echo == text, "the echo is {echo:?}");
        Ok(name.to_owned())
    }
}

fn in_turn(requests: usize, mut one: impl FnMut() -> Result<String>) -> Result<Vec<String>> {
    (1..=requests).map(|n| one().with_context(|| format!("request {n} of {requests}"))).collect()
}

fn count(names: &[String]) -> Tally {
    let mut tally = Tally::new();
    names.iter().for_each(|name| *tally.entry(name.clone()).or_default() += 1);
    tally
}

/// A writer that tells after each piece how much was written.
struct Braked<'a, F> {
    to: &'a mut TcpStream,
    done: u64,
    brake: F,
}

impl<F: FnMut(u64)> Write for Braked<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.to.write(&bytes[..bytes.len().min(PIECE)])?;
        self.done += n as u64;
        (self.brake)(self.done);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
