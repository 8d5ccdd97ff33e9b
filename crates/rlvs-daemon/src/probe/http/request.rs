//! What is asked.

use super::super::Reason;
use crate::config::model::{HttpCheck, HttpVersion, Url};
use crate::machine::CheckSpec;
use std::io::Write;
use std::net::IpAddr;

/// A GET (RFC 9112). What cannot be said in one is refused, so that nobody adds a header by a line break in a name.
pub fn request(spec: &CheckSpec, http: &HttpCheck, url: &Url) -> Result<Vec<u8>, Reason> {
    let path = if url.path.is_empty() { "/" } else { &url.path };
    if path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(format!("{path:?} cannot be asked for: there is a space or a control character in it"));
    }
    let host = url.virtualhost.as_ref().or(http.virtualhost.as_ref());
    if let Some(host) = host.filter(|host| host.bytes().any(|byte| byte < b' ' || byte == 0x7f)) {
        return Err(format!("{host:?} is no virtual host: there is a control character in it"));
    }
    let version = match http.version {
        HttpVersion::V1_0 | HttpVersion::V1_0Close => "1.0",
        HttpVersion::V1_1 => "1.1",
    };
    let mut text = Vec::with_capacity(128 + path.len());
    // A vector takes everything.
    let _ = write!(text, "GET {path} HTTP/{version}\r\nHost: ");
    let _ = match (host, spec.target.addr, spec.target.port) {
        (Some(host), ..) => write!(text, "{host}"),
        (None, IpAddr::V6(addr), port) => write!(text, "[{addr}]:{port}"),
        (None, addr, 80) if http.tls.is_none() => write!(text, "{addr}"),
        (None, addr, 443) if http.tls.is_some() => write!(text, "{addr}"),
        (None, addr, port) => write!(text, "{addr}:{port}"),
    };
    text.extend_from_slice(concat!("\r\nUser-Agent: rlvs/", env!("CARGO_PKG_VERSION"), "\r\n").as_bytes());
    if http.version != HttpVersion::V1_0 {
        text.extend_from_slice(b"Connection: close\r\n");
    }
    text.extend_from_slice(b"\r\n");
    Ok(text)
}
