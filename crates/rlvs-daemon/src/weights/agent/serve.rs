//! Answering on a TCP port. Who asks with HTTP gets JSON; everybody else, also who says nothing (as HAProxy), gets the line of
//! words and the end of the connection. At most [`MOST_CLIENTS`] at once, each for seconds.

use super::{Forced, Options, RunQueueTask, Told, forced, machine, tell};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

pub const MOST_CLIENTS: usize = 64;
/// How long to wait for somebody to begin an HTTP request.
const SILENCE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers until it is dropped.
pub async fn serve(
    listener: &TcpListener,
    options: Options,
    over: Duration,
    state: PathBuf,
) -> io::Result<()> {
    let queue = RunQueueTask::start(over);
    let places = Arc::new(Semaphore::new(MOST_CLIENTS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) if is_passing(&e) => {
                tokio::time::sleep(SILENCE).await;
                continue;
            }
            Err(e) => return Err(e),
        };
        let told = told(&queue, &options, &state);
        tokio::spawn(async move {
            let _place = place;
            // A client that does not behave is its own affair.
            let _ = tokio::time::timeout(PATIENCE, answer(stream, told)).await;
        });
    }
}

/// The client's affair, or descriptors that will come back.
fn is_passing(e: &io::Error) -> bool {
    let kinds = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
    kinds.contains(&e.kind()) || e.raw_os_error() == Some(nix::errno::Errno::EMFILE as i32)
}

/// What would be said now. A state file that cannot be read is no order, and is told once it is asked by JSON.
fn told(queue: &RunQueueTask, options: &Options, state: &std::path::Path) -> (Told, Option<String>) {
    let (forced, trouble): (Option<Forced>, _) = match forced::read(state) {
        Ok(forced) => (forced, None),
        Err(why) => (None, Some(why)),
    };
    (tell(&queue.with(machine::sample), options, forced), trouble)
}

async fn answer(mut stream: TcpStream, told: (Told, Option<String>)) -> io::Result<()> {
    if begins_http(&stream).await {
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let response = page(&request, &told);
            async move { Ok::<_, Infallible>(response) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(8192).keep_alive(false);
        return http.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other);
    }
    stream.write_all(format!("{}\n", told.0.words).as_bytes()).await?;
    stream.shutdown().await?;
    // What it said is read, or closing would reset the connection, and the answer with it.
    let mut rest = [0; 512];
    let mut left = 64;
    while left > 0 && stream.read(&mut rest).await? > 0 {
        left -= 1;
    }
    Ok(())
}

async fn begins_http(stream: &TcpStream) -> bool {
    let mut first = [0; 4];
    let peek = async {
        loop {
            match stream.peek(&mut first).await {
                Ok(n) if n >= 4 => return matches!(&first, b"GET " | b"HEAD" | b"POST"),
                Ok(n) if n > 0 && b"GET ".starts_with(&first[..n]) => {
                    tokio::time::sleep(Duration::from_millis(5)).await
                }
                _ => return false,
            }
        }
    };
    tokio::time::timeout(SILENCE, peek).await.unwrap_or(false)
}

fn page(request: &Request<Incoming>, (told, trouble): &(Told, Option<String>)) -> Response<String> {
    if request.method() == Method::POST {
        let mut refused = Response::new("GET, please\n".to_string());
        *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return refused;
    }
    let mut value = serde_json::json!(told);
    value["trouble"] = serde_json::json!(trouble);
    let mut response = Response::new(format!("{value:#}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::super::super::answer::Admin;
    use super::super::super::poll;
    use super::*;
    use std::net::SocketAddr;

    fn serving(client: impl AsyncFnOnce(SocketAddr, PathBuf)) {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let state = std::env::temp_dir().join(format!("rlvs-agent-{}-{number}.state", std::process::id()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            tokio::select! {
                ended = serve(&listener, Options::default(), Duration::from_secs(5), state.clone()) => panic!("{ended:?}"),
                () = client(addr, state.clone()) => {}
            }
        });
        let _ = std::fs::remove_file(state);
    }

    async fn exchange(addr: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[test]
    fn words_and_json_on_one_port() {
        serving(async |addr, _| {
            let answer = poll(addr, Duration::from_secs(2)).await.unwrap();
            assert_eq!(answer.admin, Some(Admin::Ready));
            assert!(answer.weight_percent.is_some_and(|p| (1..=100).contains(&p)));
            // HAProxy's agent-send.
            assert!(exchange(addr, "hello there\n").await.starts_with("up ready "));
            let page = exchange(addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
            let (head, body) = page.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/json"), "{head}");
            let json: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(json["memory_total_bytes"].as_u64().is_some_and(|n| n > 0), "{json}");
            assert!(json["words"].as_str().is_some_and(|w| w.starts_with("up ready ")), "{json}");
        });
    }

    #[test]
    fn orders_overrule_the_formula() {
        serving(async |addr, state| {
            let words = async |order: &str| {
                forced::write(&state, forced::order(order).unwrap()).unwrap();
                exchange(addr, "\n").await
            };
            assert!(words("drain").await.starts_with("up drain "));
            assert_eq!(words("maint").await, "maint\n");
            assert_eq!(words("35%").await, "up ready 35%\n");
            assert!(words("ready").await.starts_with("up ready "));
            std::fs::write(&state, "nonsense").unwrap();
            assert!(exchange(addr, "\n").await.starts_with("up ready "));
            assert!(exchange(addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.contains("is no state"));
        });
    }

    #[test]
    fn those_who_hold_on_do_not_keep_others_waiting_for_long() {
        serving(async |addr, _| {
            let mut held = vec![];
            for _ in 0..MOST_CLIENTS + 10 {
                let mut stream = TcpStream::connect(addr).await.unwrap();
                stream.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
                held.push(stream);
            }
            poll(addr, PATIENCE * 3).await.unwrap();
        });
    }
}
