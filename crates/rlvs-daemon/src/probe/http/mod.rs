//! HTTP_GET and SSL_GET: one URL; its status, and if that is asked for, the digest of its page or what is found in it.
//!
//! [`request`] writes what is asked, [`Answer`] takes in what comes. Here is the way of those with TLS or with a regular
//! expression, which may take long; the others go with the [`crowd`](super::crowd).

mod answer;
mod request;

pub use answer::Answer;
pub use request::request;

use super::tls::Lenient;
use super::{Means, Reason, socket, step};
use crate::config::model::{HttpCheck, TlsOptions, Url};
use crate::machine::CheckSpec;
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// What is read at a time.
const BUFFER: usize = 16 << 10;

pub async fn check(spec: &CheckSpec, http: &HttpCheck, index: usize, means: &Means) -> Result<(), Reason> {
    let Some(url) = http.urls.get(index) else { return Err("no such URL".into()) };
    let host = url.virtualhost.as_ref().or(http.virtualhost.as_ref());
    let request = request(spec, http, url)?;
    let stream = socket::tcp(spec, &means.via).await?;
    let page = match &http.tls {
        None => exchange(spec, url, &request, stream).await,
        Some(options) => {
            let name = server_name(options, host, spec.target.addr)?;
            let connector = TlsConnector::from(Arc::clone(&means.tls));
            let stream = step(spec, "TLS", connector.connect(name, stream)).await?;
            exchange(spec, url, &request, Lenient { stream, strict: options.tls_compliant }).await
        }
    };
    search(url, page?, means).await
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

/// The page, or of one that does not matter its beginning.
async fn exchange(
    spec: &CheckSpec,
    url: &Url,
    request: &[u8],
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<Vec<u8>, Reason> {
    let ask = async {
        stream.write_all(request).await?;
        stream.flush().await
    };
    step(spec, "the answer", ask).await?;
    let mut answer = Answer::new(url);
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = step(spec, answer.part(), stream.read(&mut buffer)).await?;
        if count == 0 {
            answer.end(url)?;
            return Ok(answer.into_page());
        }
        if answer.take(&buffer[..count], url)? {
            answer.judge(url)?;
            return Ok(answer.into_page());
        }
    }
}

async fn search(url: &Url, page: Vec<u8>, means: &Means) -> Result<(), Reason> {
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
