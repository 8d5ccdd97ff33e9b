//! Answering scrapes: `GET /metrics` over HTTP/1.1, on a TCP port or a Unix socket (mode 0600). At most [`MOST_CLIENTS`] at
//! once, each for [`PATIENCE`] at most, and what is asked is read within seconds.

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::stat::{Mode, umask};
use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub const MOST_CLIENTS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(30);
const HEADERS_WITHIN: Duration = Duration::from_secs(5);

/// Where to listen: `ADDR:PORT` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(word: &str) -> Result<Listen, String> {
        match word.strip_prefix("unix:") {
            Some("") => Err("unix: needs the socket's path, as in unix:/run/rlvs/metrics.sock".into()),
            Some(path) => Ok(Listen::Unix(path.into())),
            None => word.parse().map(Listen::Tcp).map_err(|_| {
                format!("{word:?} is no place to listen: give ADDR:PORT, [ADDR]:PORT or unix:PATH")
            }),
        }
    }
}

/// A socket that listens; one of a path is removed when it is dropped.
pub enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Socket {
    /// To be called in a tokio runtime.
    pub async fn open(listen: &Listen) -> io::Result<Socket> {
        match listen {
            Listen::Tcp(addr) => Ok(Socket::Tcp(TcpListener::bind(addr).await?)),
            Listen::Unix(path) => {
                make_way(path)?;
                // The mode is there from the beginning.
                let before = umask(Mode::from_bits_truncate(0o177));
                let bound = UnixListener::bind(path);
                umask(before);
                Ok(Socket::Unix(bound?, path.clone()))
            }
        }
    }

    /// The port that was given, if it was to be any (port 0).
    pub fn addr(&self) -> Option<SocketAddr> {
        match self {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix(..) => None,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Socket::Unix(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

/// A socket that nobody listens on any more goes; anything else at this path stays.
fn make_way(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else of this name"));
    }
    match StdUnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
    }
}

/// What a scrape gets; an error becomes a status 500 with its text.
pub type Page = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Answers until it is dropped. Pages are made in a thread for blocking work, which is in the network namespace of the thread
/// that started it, one at a time.
pub async fn serve(socket: &Socket, page: Page) -> io::Result<()> {
    let one_at_a_time = Arc::new(Semaphore::new(1));
    let places = Arc::new(Semaphore::new(MOST_CLIENTS));
    loop {
        // Who finds no place waits in the kernel's queue.
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let accepted = match socket {
            Socket::Tcp(listener) => {
                listener.accept().await.map(|(s, _)| start(s, &page, &one_at_a_time, place))
            }
            Socket::Unix(listener, _) => {
                listener.accept().await.map(|(s, _)| start(s, &page, &one_at_a_time, place))
            }
        };
        if let Err(e) = accepted {
            match e.kind() {
                // The client's affair.
                io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {}
                // No descriptors: some will come back.
                _ if e.raw_os_error() == Some(nix::errno::Errno::EMFILE as i32) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                _ => return Err(e),
            }
        }
    }
}

fn start<S>(stream: S, page: &Page, one_at_a_time: &Arc<Semaphore>, place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (page, turns) = (Arc::clone(page), Arc::clone(one_at_a_time));
    tokio::spawn(async move {
        let _place = place;
        let service = hyper::service::service_fn(move |request| {
            let (page, turns) = (Arc::clone(&page), Arc::clone(&turns));
            async move { Ok::<_, Infallible>(answer(&request, page, &turns).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_WITHIN)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        // A client that does not behave is its own affair.
        let _ = tokio::time::timeout(PATIENCE, connection).await;
    });
}

async fn answer(request: &Request<Incoming>, page: Page, turns: &Semaphore) -> Response<String> {
    let with = |status, kind: &'static str, body: String| {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
        response
    };
    let plain = |status, body: &str| with(status, "text/plain; charset=utf-8", body.to_string());
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "GET, please\n");
        refused.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => match made(page, turns).await {
            Ok(text) => with(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
            Err(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{why}\n")),
        },
        "/" => plain(StatusCode::OK, "rlvs: the metrics are at /metrics\n"),
        _ => plain(StatusCode::NOT_FOUND, "only /metrics is here\n"),
    }
}

async fn made(page: Page, turns: &Semaphore) -> Result<String, String> {
    let _turn = turns.acquire().await;
    tokio::task::spawn_blocking(move || page())
        .await
        .unwrap_or_else(|_| Err("the page could not be made".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn places_are_read() {
        let listen = |word: &str| word.parse::<Listen>();
        assert_eq!(listen("unix:/run/x").unwrap(), Listen::Unix("/run/x".into()));
        assert_eq!(listen("[::1]:9090").unwrap(), Listen::Tcp("[::1]:9090".parse().unwrap()));
        for bad in ["", "unix:", "9090", ":9090", "localhost:9090", "/run/x"] {
            assert!(listen(bad).is_err(), "{bad:?}");
        }
    }

    /// Runs a server on `listen` while `client` does its work.
    fn serving<C: AsyncFnOnce(Option<SocketAddr>)>(listen: &Listen, client: C) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let work = async {
            let socket = Socket::open(listen).await.unwrap();
            let pages = std::sync::atomic::AtomicU32::new(1);
            let page = Arc::new(move || match pages.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                // What a page may do that a task may not.
                n @ 1..3 => tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap()
                    .block_on(async { Ok(format!("page {n}\n")) }),
                _ => Err("no more".into()),
            });
            tokio::select! {
                ended = serve(&socket, page) => panic!("{ended:?}"),
                () = client(socket.addr()) => {}
            }
        };
        tokio::task::LocalSet::new()
            .block_on(&runtime, async { tokio::time::timeout(Duration::from_secs(20), work).await.unwrap() });
    }

    async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![];
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn scrapes_are_answered() {
        serving(&"127.0.0.1:0".parse().unwrap(), async |addr| {
            let ask = async |request: &str| {
                let stream = tokio::net::TcpStream::connect(addr.unwrap()).await.unwrap();
                exchange(stream, request).await
            };
            let get = async |path: &str| {
                ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
            };
            // Those who say nothing take a place each, and leave some.
            let mut silent = vec![];
            for _ in 0..MOST_CLIENTS - 1 {
                silent.push(tokio::net::TcpStream::connect(addr.unwrap()).await.unwrap());
            }
            let page = get("/metrics").await;
            assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("\r\n\r\npage 1\n"), "{page}");
            assert!(page.contains("content-type: text/plain; version=0.0.4"), "{page}");
            assert!(get("/other").await.starts_with("HTTP/1.1 404 "));
            assert!(get("/metrics").await.ends_with("page 2\n"));
            let broken = get("/metrics").await;
            assert!(broken.starts_with("HTTP/1.1 500 ") && broken.ends_with("no more\n"), "{broken}");
            let posted =
                ask("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    .await;
            assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
            let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
            let refused = tokio::time::timeout(Duration::from_secs(9), async {
                let mut stream = tokio::net::TcpStream::connect(addr.unwrap()).await.unwrap();
                let _ = stream.write_all(long.as_bytes()).await;
                let mut answer = vec![];
                let _ = stream.read_to_end(&mut answer).await;
                String::from_utf8(answer).unwrap()
            });
            assert!(!refused.await.unwrap().contains(" 200 "));
            drop(silent);
        });
    }

    #[test]
    fn a_socket_of_a_path_is_for_its_owner() {
        let path = std::env::temp_dir().join(format!("rlvs-metrics-{}.sock", std::process::id()));
        let listen = Listen::Unix(path.clone());
        // What somebody left behind is in nobody's way; what is something else is.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        serving(&listen, async |_| {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
            let answer =
                exchange(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            assert!(answer.ends_with("page 1\n"), "{answer}");
            assert_eq!(Socket::open(&listen).await.err().unwrap().kind(), io::ErrorKind::AddrInUse);
        });
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let refused = runtime.block_on(Socket::open(&listen)).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
        fs::remove_file(&path).unwrap();
    }
}
