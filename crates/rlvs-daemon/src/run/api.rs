//! The API: JSON over HTTP on a Unix socket that only its owner can open.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | services, servers, checks |
//! | `GET /v1/events` | events as they happen, a JSON object in each line |
//! | `POST /v1/reload`, `POST /v1/reload?dry_run=1` | what changed, or would |
//!
//! A further request is a line in [`answer`] and, if the loop has to answer it, a variant of [`Request`].

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Channel, Full};
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
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};

/// What the loop answers.
pub enum Request {
    Status(oneshot::Sender<Value>),
    Reload { dry_run: bool, reply: oneshot::Sender<(StatusCode, Value)> },
}

/// What a connection needs.
#[derive(Clone)]
pub struct Api {
    pub requests: mpsc::Sender<Request>,
    pub events: broadcast::Sender<Arc<str>>,
}

/// Connections at a time.
const MAX_CONNECTIONS: usize = 64;
/// For a request's head to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

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

pub async fn serve(listener: UnixListener, api: Api) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
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

async fn connection(stream: UnixStream, api: Api) {
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
    match (request.method(), request.uri().path()) {
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
        (_, "/v1/status" | "/v1/events") => refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET".into()),
        (_, "/v1/reload") => refusal(StatusCode::METHOD_NOT_ALLOWED, "only POST".into()),
        // GET /metrics and POST /v1/drain belong here.
        (_, path) => {
            let there = "there are /v1/status, /v1/events and /v1/reload";
            refusal(StatusCode::NOT_FOUND, format!("nothing is at {path:?}; {there}"))
        }
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
