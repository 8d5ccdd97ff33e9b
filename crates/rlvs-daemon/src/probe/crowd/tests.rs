//! One after the other, and many at once.

use super::*;
use crate::config::source::Memory;
use crate::config::{Format, load};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

fn spec(to: SocketAddr, check: &str) -> Arc<CheckSpec> {
    let text = format!(
        "virtual_server 192.0.2.1 80 {{\nprotocol TCP\nreal_server {} {} {{\n{check}\n}}\n}}",
        to.ip(),
        to.port()
    );
    let (config, report) = load(Path::new("f"), Format::Keepalived, "", &Memory::one("f", &text));
    assert!(!report.has_errors(), "{report}");
    let vs = &config.virtual_servers[0];
    let real = &vs.real_servers[0];
    Arc::new(CheckSpec::of(&config, vs, real, &real.checks[0]))
}

fn in_a_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

/// All of them, as they ended.
async fn all(
    crowd: &mut Crowd<usize>,
    tries: impl IntoIterator<Item = Arc<CheckSpec>>,
) -> Vec<(usize, Outcome)> {
    let tries = tries.into_iter().enumerate();
    let count = tries.map(|(n, spec)| crowd.begin(n, spec, 0)).count();
    let mut ended = Vec::new();
    while ended.len() < count {
        ended.extend(crowd.turn().await);
    }
    ended.sort_by_key(|(n, _)| *n);
    ended
}

#[test]
fn one_socket_serves_one_check_after_the_other() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = server.local_addr().unwrap();
    std::thread::spawn(move || server.incoming().for_each(drop));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    in_a_runtime(async {
        let mut crowd = Crowd::new().unwrap();
        for _ in 0..20 {
            let ended = all(&mut crowd, [spec(open, "TCP_CHECK {\n}")]).await;
            assert_eq!(ended, [(0, Outcome::Passed)]);
        }
        assert_eq!((crowd.places.len(), crowd.idle[0].len()), (1, 1));
        // What failed, and what is bound, leaves no socket to others.
        for (to, check) in [(closed, "TCP_CHECK {\n}"), (open, "TCP_CHECK {\nbindto 127.0.0.7\n}")] {
            all(&mut crowd, [spec(to, check)]).await;
            assert!(crowd.idle[0].len() <= 1 && crowd.under_way == 0);
        }
        assert_eq!(crowd.places.iter().filter(|place| place.socket.is_some()).count(), crowd.idle[0].len());
        assert_eq!(all(&mut crowd, [spec(open, "TCP_CHECK {\n}")]).await, [(0, Outcome::Passed)]);
    });
}

#[test]
fn many_at_once_each_get_their_own_answer() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let mut request = [0; 1024];
            let count = stream.read(&mut request).unwrap_or(0);
            let found = !request[..count].starts_with(b"GET /odd ");
            let status = if found { "200 OK" } else { "404 No" };
            let _ = io::Write::write_all(&mut stream, format!("HTTP/1.0 {status}\r\n\r\n").as_bytes());
        }
    });
    let of = |path: &str| spec(open, &format!("HTTP_GET {{\nurl {{\npath {path}\n}}\n}}"));
    let (even, odd) = (of("/even"), of("/odd"));
    in_a_runtime(async {
        let mut crowd = Crowd::new().unwrap();
        for _ in 0..3 {
            let tries = (0..100).map(|n| Arc::clone(if n % 2 == 0 { &even } else { &odd }));
            for (n, outcome) in all(&mut crowd, tries).await {
                match n % 2 {
                    0 => assert_eq!(outcome, Outcome::Passed),
                    _ => assert_eq!(outcome, Outcome::Failed("/odd: status 404".into())),
                }
            }
        }
        assert_eq!(crowd.idle[0].len(), crowd.places.len() - crowd.free.len());
    });
}
