//! SMTP_CHECK (RFC 5321): greeting, HELO, QUIT.

use super::via::{Io, Vias};
use super::{Reason, socket, step};
use crate::config::model::SmtpCheck;
use crate::machine::CheckSpec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The most bytes of one reply.
const MAX_REPLY: usize = 8 << 10;

pub async fn check(spec: &CheckSpec, smtp: &SmtpCheck, vias: &Vias) -> Result<(), Reason> {
    let mut stream = socket::tcp(spec, vias).await?;
    expect(spec, &mut *stream, "the greeting", "220").await?;
    let name = match &smtp.helo_name {
        Some(name) => name.clone(),
        None => nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    if name.is_empty() || name.bytes().any(|b| b.is_ascii_control() || b == b' ') {
        return Err(format!("{name:?} is no name for HELO; set helo_name"));
    }
    step(spec, "HELO", stream.write_all(format!("HELO {name}\r\n").as_bytes())).await?;
    expect(spec, &mut *stream, "the reply to HELO", "250").await?;
    // It has answered; whether it says goodbye does not matter.
    let _ = step(spec, "QUIT", stream.write_all(b"QUIT\r\n")).await;
    Ok(())
}

/// A reply of one or more lines, the last one without `-` after its code.
async fn expect(
    spec: &CheckSpec,
    stream: &mut (impl Io + ?Sized),
    what: &str,
    code: &str,
) -> Result<(), Reason> {
    let read = async {
        let mut reply = Vec::new();
        while !is_whole(&reply) {
            let mut buffer = [0; 512];
            let length = stream.read(&mut buffer).await.map_err(|e| e.to_string())?;
            if length == 0 {
                return Err("the connection was closed".to_owned());
            }
            reply.extend(&buffer[..length]);
            if reply.len() > MAX_REPLY {
                return Err(format!("more than {MAX_REPLY} bytes"));
            }
        }
        Ok(reply)
    };
    let reply = step(spec, what, read).await?;
    if reply.starts_with(code.as_bytes()) {
        return Ok(());
    }
    let line = String::from_utf8_lossy(&reply);
    let line: String = line.lines().next().unwrap_or_default().chars().take(100).collect();
    Err(format!("{what} is {line:?}, not {code}"))
}

fn is_whole(reply: &[u8]) -> bool {
    let Some(text) = reply.strip_suffix(b"\n") else { return false };
    let last = text.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    last.get(3) != Some(&b'-')
}
