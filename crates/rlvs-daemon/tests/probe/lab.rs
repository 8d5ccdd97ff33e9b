//! A check from lines of a keepalived.conf, and servers that do one thing.

use rlvs_daemon::config::source::Memory;
use rlvs_daemon::config::{Format, load, model::Config};
use rlvs_daemon::machine::{CheckSpec, Outcome};
use rlvs_daemon::probe::{self, Means, tls_config};
use rlvs_daemon::run::scripts::Scripts;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a busy machine, short enough for a test.
const TIMES: &str = "delay_loop 1.5\nconnect_timeout 0.7\nretry 0";

pub fn config(server: &str, check: &str) -> Config {
    let text = format!(
        "track_file m {{\nfile /nowhere/rlvs\n}}\nvirtual_server 192.0.2.1 80 {{\nprotocol TCP\nvirtualhost of-the-service\n{TIMES}\n\
         lvs_method TUN\nreal_server {server} {{\n{check}\n}}\n}}\n"
    );
    let files = Memory::one("/test.conf", &text);
    let (config, report) = load(Path::new("/test.conf"), Format::Keepalived, "", &files);
    assert!(!report.has_errors(), "{report}");
    config
}

/// Makes a check, once for each URL.
pub fn check(to: SocketAddr, lines: &str) -> Outcome {
    check_config(&config(&format!("{} {}", to.ip(), to.port()), lines))
}

pub fn check_config(config: &Config) -> Outcome {
    let vs = &config.virtual_servers[0];
    let real = &vs.real_servers[0];
    let spec = Arc::new(CheckSpec::of(config, vs, real, &real.checks[0]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (failures, _keep) = tokio::sync::mpsc::unbounded_channel();
        let means = Means {
            tls: tls_config(None).unwrap(),
            scripts: Scripts::new(&config.global, &[], failures).unwrap(),
            patterns: Default::default(),
            via: Default::default(),
        };
        let mut outcome = Outcome::Passed;
        for step in 0..spec.steps() {
            let began = Instant::now();
            outcome = probe::run(&spec, step, &means).await;
            assert!(began.elapsed() < Duration::from_secs(5), "{outcome:?} took {:?}", began.elapsed());
            if outcome != Outcome::Passed {
                break;
            }
        }
        outcome
    })
}

/// It must fail, and the reason must have these words.
pub fn fails(outcome: Outcome, words: &str) {
    match outcome {
        Outcome::Failed(reason) if reason.contains(words) => {}
        other => panic!("{other:?}, not a failure with {words:?}"),
    }
}

/// Serves connections, each in a thread, until the tests end.
pub fn tcp(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    tcp_at("127.0.0.1:0", serve)
}

pub fn tcp_at(address: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Answers datagrams.
pub fn udp(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            for reply in answer(&buffer[..length]) {
                let _ = socket.send_to(&reply, from);
            }
        }
    });
    address
}

/// A port where nobody listens.
pub fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub fn hang() {
    thread::sleep(Duration::from_secs(60));
}
