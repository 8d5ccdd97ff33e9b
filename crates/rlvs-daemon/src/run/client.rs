//! One request to a daemon's socket, for the verbs of the command line.

use anyhow::{Context, Result, anyhow};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The most bytes of an answer.
const MAX_ANSWER: u64 = 256 << 20;

/// Status and body. HTTP/1.0, so the answer ends with the connection.
pub fn ask(socket: &Path, method: &str, path: &str) -> Result<(u16, String)> {
    ask_with(socket, method, path, "")
}

/// Likewise, with a body.
pub fn ask_with(socket: &Path, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = connect(socket)?;
    write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut reader = BufReader::new(stream.take(MAX_ANSWER));
    let status = head(&mut reader)?;
    let mut body = String::new();
    reader.read_to_string(&mut body).context("the daemon's answer")?;
    Ok((status, body))
}

/// Lines as they come; ends with the daemon, or when the reader says so.
pub fn follow(socket: &Path, path: &str, mut line: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut stream = connect(socket)?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    head(&mut reader)?;
    for text in reader.lines() {
        line(&text.context("the daemon's events")?)?;
    }
    Ok(())
}

fn connect(socket: &Path) -> Result<UnixStream> {
    let stream = UnixStream::connect(socket);
    stream.with_context(|| format!("no daemon answers at {}; is `rlvs daemon` running?", socket.display()))
}

fn head(reader: &mut impl BufRead) -> Result<u16> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
    }
    status.ok_or_else(|| anyhow!("the daemon's answer begins with {line:?}"))
}
