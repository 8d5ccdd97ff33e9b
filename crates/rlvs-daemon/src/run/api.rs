//! The API: JSON over HTTP on a Unix socket that only its owner can open; on TCP where that is asked for, and there only
//! requests that read, unless it was said otherwise.
//!
//! | request | answer |
//! |---|---|
//! | `GET /metrics`, `GET /metrics?names=rlvs` | the page for Prometheus |
//! | `GET /v1/status` | services, servers, checks |
//! | `GET /v1/events` | events as they happen, a JSON object in each line |
//! | `POST /v1/drain`, `POST /v1/undrain` | what is drained, or was |
//! | `POST /v1/reload`, `POST /v1/reload?dry_run=1` | what changed, or would |
//!
//! A further request is a line in [`answer`] and, if the loop has to answer it, a variant of [`Request`].

use super::drains;
use crate::metrics::Names;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Channel, Full, Limited};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};

/// What the loop answers.
pub enum Request {
    Status(oneshot::Sender<Value>),
    Reload { dry_run: bool, reply: oneshot::Sender<(StatusCode, Value)> },
    Drain(drains::Asked, oneshot::Sender<(StatusCode, Value)>),
    Metrics(Names, oneshot::Sender<Result<String, String>>),
}

/// What a connection needs.
#[derive(Clone)]
pub struct Api {
    pub requests: mpsc::Sender<Request>,
    pub events: broadcast::Sender<Arc<str>>,
    /// May requests change something?
    pub changes: bool,
}

/// Connections at a time, of each socket.
const MAX_CONNECTIONS: usize = 64;
/// For a request's head to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a request's body.
const MAX_BODY: usize = 16 << 10;

/// A socket of mode 0600, in place of one that a dead daemon left.
pub fn listen(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    nix::sys::stat::umask(before);
    let listener = listener?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Where clients come in.
pub trait Door: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn next(&self) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> std::io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> std::io::Result<TcpStream> {
        Ok(self.accept().await?.0)
    }
}

pub async fn serve(door: impl Door, api: Api) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match door.next().await {
            Ok(stream) => {
                let api = api.clone();
                tokio::spawn(async move {
                    connection(stream, api).await;
                    drop(place);
                });
            }
            // Out of file descriptors, say: others may get theirs back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, api: Api) {
    let service = service_fn(move |request| {
        let api = api.clone();
        async move { Ok::<_, Infallible>(answer(request, api).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(16 << 10);
    // A client that goes away is no error of ours.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(request: hyper::Request<Incoming>, api: Api) -> Response<Body> {
    let changing = request.method() != Method::GET;
    if changing && !api.changes {
        let why = "here requests only read; the daemon's socket takes others, and so does this port with --allow-changes";
        return refusal(StatusCode::FORBIDDEN, why.into());
    }
    // A page in the operator's browser must not have its way.
    if changing && request.headers().contains_key(hyper::header::ORIGIN) {
        return refusal(StatusCode::FORBIDDEN, "a page of another origin changes nothing here".into());
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => metrics(request.uri().query(), &api).await,
        (&Method::POST, path @ ("/v1/drain" | "/v1/undrain")) => {
            let undrain = path == "/v1/undrain";
            let body = Limited::new(request.into_body(), MAX_BODY).collect();
            let body = match tokio::time::timeout(PATIENCE, body).await {
                Ok(Ok(body)) => body.to_bytes(),
                _ => {
                    let why = format!("a body of at most {MAX_BODY} bytes was to come within {PATIENCE:?}");
                    return refusal(StatusCode::BAD_REQUEST, why);
                }
            };
            let asked = match drains::read(&body, undrain) {
                Ok(asked) => asked,
                Err(error) => return refusal(StatusCode::BAD_REQUEST, error),
            };
            let (reply, done) = oneshot::channel();
            match ask(&api, Request::Drain(asked, reply), done).await {
                Some((status, value)) => json_response(status, &value),
                None => stopping(),
            }
        }
        (&Method::GET, "/v1/status") => {
            let (reply, status) = oneshot::channel();
            match ask(&api, Request::Status(reply), status).await {
                Some(status) => json_response(StatusCode::OK, &status),
                None => stopping(),
            }
        }
        (&Method::GET, "/v1/events") => events(api.events.subscribe()),
        (&Method::POST, "/v1/reload") => {
            let dry_run = match request.uri().query() {
                None | Some("") => false,
                Some("dry_run=1") => true,
                Some(other) => {
                    return refusal(
                        StatusCode::BAD_REQUEST,
                        format!("unknown query {other:?}; dry_run=1 is known"),
                    );
                }
            };
            let (reply, done) = oneshot::channel();
            match ask(&api, Request::Reload { dry_run, reply }, done).await {
                Some((status, value)) => json_response(status, &value),
                None => stopping(),
            }
        }
        (_, "/metrics" | "/v1/status" | "/v1/events") => {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET".into())
        }
        (_, "/v1/reload" | "/v1/drain" | "/v1/undrain") => {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "only POST".into())
        }
        (_, path) => {
            let there = "there are /metrics, /v1/status, /v1/events, /v1/reload, /v1/drain and /v1/undrain";
            refusal(StatusCode::NOT_FOUND, format!("nothing is at {path:?}; {there}"))
        }
    }
}

async fn metrics(query: Option<&str>, api: &Api) -> Response<Body> {
    let names = match query {
        None | Some("" | "names=both") => Names::Both,
        Some("names=rlvs") => Names::Rlvs,
        Some("names=node") => Names::Node,
        Some(other) => {
            let why = format!("unknown query {other:?}; names=rlvs, names=node and names=both are known");
            return refusal(StatusCode::BAD_REQUEST, why);
        }
    };
    let (reply, page) = oneshot::channel();
    match ask(api, Request::Metrics(names, reply), page).await {
        Some(Ok(page)) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            response(StatusCode::OK, kind, Full::new(Bytes::from(page)).boxed())
        }
        Some(Err(error)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error),
        None => stopping(),
    }
}

async fn ask<T>(api: &Api, request: Request, answer: oneshot::Receiver<T>) -> Option<T> {
    api.requests.send(request).await.ok()?;
    answer.await.ok()
}

fn events(mut events: broadcast::Receiver<Arc<str>>) -> Response<Body> {
    let (mut lines, body) = Channel::<Bytes, Infallible>::new(64);
    tokio::spawn(async move {
        loop {
            let line = match events.recv().await {
                Ok(line) => Bytes::copy_from_slice(line.as_bytes()),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    Bytes::from(json!({ "event": "missed", "events": missed }).to_string() + "\n")
                }
                Err(broadcast::error::RecvError::Closed) => return,
            };
            if lines.send(Frame::data(line)).await.is_err() {
                return;
            }
        }
    });
    response(StatusCode::OK, "application/x-ndjson", body.boxed())
}

fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    response(status, "application/json", Full::new(Bytes::from(format!("{value}\n"))).boxed())
}

fn refusal(status: StatusCode, error: String) -> Response<Body> {
    json_response(status, &json!({ "error": error }))
}

fn stopping() -> Response<Body> {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping".into())
}

fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let value = hyper::header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, value);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;
    use std::sync::LazyLock;

    /// An API that knows nothing and reloads nothing, served until the tests end.
    static SOCKET: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = std::env::temp_dir().join(format!("rlvs-api-{}.sock", std::process::id()));
        let (shown, listening) = (path.clone(), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = listen(&path).unwrap();
                let (requests, mut requested) = mpsc::channel(1);
                tokio::spawn(serve(
                    listener,
                    Api { requests, events: broadcast::channel(1).0, changes: true },
                ));
                listening.0.send(()).unwrap();
                while let Some(request) = requested.recv().await {
                    match request {
                        Request::Status(reply) => drop(reply.send(json!("fine"))),
                        Request::Reload { reply, .. } | Request::Drain(_, reply) => {
                            drop(reply.send((StatusCode::OK, json!("done"))));
                        }
                        Request::Metrics(_, reply) => drop(reply.send(Ok("fine".into()))),
                    }
                }
            })
        });
        listening.1.recv().unwrap();
        shown
    });

    /// What is answered; `is_all` also ends our half of the connection, which most clients leave open until then.
    fn say(bytes: &[u8], is_all: bool) -> String {
        let mut stream = UnixStream::connect(&*SOCKET).unwrap();
        stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        // It may have had enough before the end.
        let _ = stream.write_all(bytes);
        if is_all {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => String::from_utf8_lossy(&answer).into_owned(),
        }
    }

    fn requests() -> impl Strategy<Value = Vec<u8>> {
        let words = &[
            "GET ",
            "POST ",
            "/v1/status",
            "/v1/reload",
            "/v1/events",
            "?dry_run=1",
            "?",
            " HTTP/1.1\r\n",
            " HTTP/1.0\r\n",
            "Host: x\r\n",
            "Content-Length: 7\r\n",
            "Content-Length: -7\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Expect: 100-continue\r\n",
            "Connection: upgrade\r\nUpgrade: h2c\r\n",
            "\r\n",
            "\r\n\r\n",
            "ffffffffffffffff\r\n",
            "{}",
        ][..];
        let word = prop_oneof![
            8 => proptest::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..40),
            1 => (any::<u8>(), 1..40_000usize).prop_map(|(byte, times)| vec![byte; times]),
        ];
        proptest::collection::vec(word, 0..14).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

        /// It is answered or ended; and the next who asks is answered.
        #[test]
        fn any_call(bytes in requests()) {
            let answer = say(&bytes, true);
            prop_assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{answer}");
            let good = say(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false);
            prop_assert!(good.starts_with("HTTP/1.1 200 ") && good.ends_with("\"fine\"\n"), "{good}");
        }
    }
}
