//! HTTP_GET and SSL_GET: one URL; its status, and if that is asked for, the digest of its page or what is found in it.

use super::tls::Lenient;
use super::{Means, Reason, socket, step};
use crate::config::model::{HttpCheck, HttpVersion, TlsOptions, Url};
use crate::machine::CheckSpec;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Version, header};
use hyper_util::rt::TokioIo;
use md5::{Digest, Md5};
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// The most bytes of a page whose content matters; of another one no more than [`GLANCE`] is read.
const MAX_PAGE: usize = 4 << 20;
const GLANCE: usize = 64 << 10;
/// The most bytes of an answer's head.
const MAX_HEAD: usize = 64 << 10;

pub async fn check(spec: &CheckSpec, http: &HttpCheck, index: usize, means: &Means) -> Result<(), Reason> {
    let Some(url) = http.urls.get(index) else { return Err("no such URL".into()) };
    let host = url.virtualhost.as_ref().or(http.virtualhost.as_ref());
    let stream = socket::tcp(spec, &means.via).await?;
    match &http.tls {
        None => exchange(spec, http, url, host, stream, means).await,
        Some(options) => {
            let name = server_name(options, host, spec.target.addr)?;
            let connector = TlsConnector::from(Arc::clone(&means.tls));
            let stream = step(spec, "TLS", connector.connect(name, stream)).await?;
            let stream = Lenient { stream, strict: options.tls_compliant };
            exchange(spec, http, url, host, stream, means).await
        }
    }
}

/// What the server is told as its name; an address is not told.
fn server_name(
    options: &TlsOptions,
    host: Option<&String>,
    addr: IpAddr,
) -> Result<ServerName<'static>, Reason> {
    let wanted = options.sni_name.as_ref().or(host.filter(|_| options.enable_sni));
    let Some(name) = wanted else { return Ok(ServerName::from(addr)) };
    let name = name.split_once(':').map_or(name.as_str(), |(name, _)| name);
    ServerName::try_from(name.to_owned()).map_err(|_| format!("{name:?} is no name for SNI; set sni_name"))
}

async fn exchange(
    spec: &CheckSpec,
    http: &HttpCheck,
    url: &Url,
    host: Option<&String>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    means: &Means,
) -> Result<(), Reason> {
    let request = request(spec, http, url, host)?;
    let mut client = http1::Builder::new();
    client.max_buf_size(MAX_HEAD);
    let (mut sender, connection) =
        client.handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    let _connection = Background(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let answer = async { sender.send_request(request).await.map_err(|error| text(&error)) };
    let response = step(spec, "the answer", answer).await?;
    let status = response.status().as_u16();
    if !url.accepts(status) {
        return Err(format!("{}: status {status}", url.path));
    }
    let matters = url.digest.is_some() || url.regex.is_some();
    let page = page(spec, response.into_body(), matters).await?;
    judge(url, page, means).await
}

fn request(
    spec: &CheckSpec,
    http: &HttpCheck,
    url: &Url,
    host: Option<&String>,
) -> Result<Request<Empty<Bytes>>, Reason> {
    let own = || match (spec.target.addr, spec.target.port) {
        (IpAddr::V6(addr), port) => format!("[{addr}]:{port}"),
        (addr, 80) if http.tls.is_none() => addr.to_string(),
        (addr, 443) if http.tls.is_some() => addr.to_string(),
        (addr, port) => format!("{addr}:{port}"),
    };
    let mut request = Request::get(url.path.as_str())
        .version(match http.version {
            HttpVersion::V1_0 | HttpVersion::V1_0Close => Version::HTTP_10,
            HttpVersion::V1_1 => Version::HTTP_11,
        })
        .header(header::HOST, host.cloned().unwrap_or_else(own))
        .header(header::USER_AGENT, concat!("rlvs/", env!("CARGO_PKG_VERSION")));
    if http.version != HttpVersion::V1_0 {
        request = request.header(header::CONNECTION, "close");
    }
    request.body(Empty::new()).map_err(|error| format!("{}: {error}", url.path))
}

/// The page, or of one that does not matter its beginning.
async fn page(spec: &CheckSpec, mut body: Incoming, matters: bool) -> Result<Vec<u8>, Reason> {
    let mut page = Vec::new();
    loop {
        let frame = async { body.frame().await.transpose().map_err(|error| text(&error)) };
        let Some(frame) = step(spec, "the page", frame).await? else { return Ok(page) };
        if let Ok(data) = frame.into_data() {
            page.extend_from_slice(&data);
        }
        if matters && page.len() > MAX_PAGE {
            return Err(format!("the page has more than {MAX_PAGE} bytes"));
        }
        if !matters && page.len() > GLANCE {
            return Ok(page);
        }
    }
}

async fn judge(url: &Url, page: Vec<u8>, means: &Means) -> Result<(), Reason> {
    if let Some(wanted) = &url.digest {
        let digest: String = Md5::digest(&page).iter().map(|byte| format!("{byte:02x}")).collect();
        if !digest.eq_ignore_ascii_case(wanted) {
            return Err(format!("{}: the digest is {digest}, not {wanted}", url.path));
        }
    }
    if url.regex.is_none() {
        return Ok(());
    }
    let pattern = means.patterns.get(url)?;
    // An expression can take long; others must not wait for it.
    let searched = tokio::task::spawn_blocking(move || pattern.is_found(&page)).await;
    let found = searched.map_err(|error| error.to_string())??;
    match (found, url.regex_no_match) {
        (true, false) | (false, true) => Ok(()),
        (false, false) => Err(format!("{}: the expression is not found", url.path)),
        (true, true) => Err(format!("{}: the expression is found", url.path)),
    }
}

/// An error with its causes.
fn text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// A task that ends with us.
struct Background(tokio::task::JoinHandle<()>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}
