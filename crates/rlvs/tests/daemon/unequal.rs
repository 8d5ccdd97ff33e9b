//! Three real servers, one of them at a third of the speed, under clients that wait for their answers: once with equal
//! weights that stay, once with weights that follow what the servers' agents say. The servers, their sockets and the daemon are
//! real, work is sleep; `-- --nocapture` prints the figures of docs/weights.md. The simulator does the same for longer
//! (`../dynamic.rs`).

use super::lab::{Farm, SOON};
use crate::common::{listing, wait_until, within};
use nix::sched::{CloneFlags, setns};
use rlvs::lab::{Host, VIP};
use rlvs_daemon::weights::agent::formula::{Options, Sample, percent};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

const PORT: u16 = 7000;
const AGENT: u16 = 3333;
/// What a server does at a time, and how long a piece of work takes on each.
const WORKERS: u32 = 2;
const WORK: [Duration; 3] =
    [Duration::from_millis(40), Duration::from_millis(40), Duration::from_millis(120)];
/// Who ask, one request at a time, and think between them.
const CLIENTS: u64 = 60;
const THINK: Duration = Duration::from_millis(600);
/// So long they ask before it counts, so long it counts.
const WARM_UP: Duration = Duration::from_secs(9);
const MEASURED: Duration = Duration::from_secs(10);
/// The agents' and the daemon's times are a fifth of the usual ones.
const AGENT_OVER: Duration = Duration::from_millis(200);
const AGENT_LOOKS: Duration = Duration::from_millis(50);
const WEIGHING: &str = "agent = { port = 3333, interval = \"400ms\", smoothing = \"2s\" }";

#[test]
fn unequal_servers_serve_better_by_what_they_say() {
    within(150, || {
        let fixed = run("");
        let dynamic = run(WEIGHING);
        fixed.show("fixed");
        dynamic.show("dynamic");
        let gains = [
            fixed.p99_secs / dynamic.p99_secs,
            fixed.deviation_secs / dynamic.deviation_secs,
            fixed.spread() / dynamic.spread(),
            dynamic.requests as f64 / fixed.requests as f64,
        ];
        println!(
            "fixed to dynamic: p99 {:.2}, deviation {:.2}, spread {:.2}, requests {:.2}",
            gains[0], gains[1], gains[2], gains[3]
        );
        let [p99, deviation, spread, _] = gains;
        assert!(p99 > 1.5 && deviation > 1.5 && spread > 1.25, "{gains:.2?}");
        let [one, other, slow] = dynamic.weights[..] else { panic!("{:?}", dynamic.weights) };
        assert!(slow < one.min(other), "{:?}", dynamic.weights);
        assert_eq!(fixed.weights, [100, 100, 100]);
    });
}

struct Figures {
    requests: usize,
    p50_secs: f64,
    p99_secs: f64,
    deviation_secs: f64,
    /// The part of its time that each server worked.
    busy: Vec<f64>,
    /// In the end, and the least and the most of the slow one's while it counted.
    weights: Vec<u32>,
    slow: (u32, u32),
}

impl Figures {
    fn show(&self, name: &str) {
        println!(
            "{name}: {} requests, p50 {:.3} s, p99 {:.3} s, deviation {:.3} s, busy {:.2?}, weights {:?}, the slow one's {:?}",
            self.requests,
            self.p50_secs,
            self.p99_secs,
            self.deviation_secs,
            self.busy,
            self.weights,
            self.slow
        );
    }

    /// Busiest less idlest.
    fn spread(&self) -> f64 {
        let (least, most) = self.busy.iter().fold((f64::MAX, 0f64), |(l, m), b| (l.min(*b), m.max(*b)));
        most - least
    }
}

fn run(weighing: &str) -> Figures {
    let mut farm = Farm::toml();
    let servers: Vec<Server> = (1..=3).map(|n| Server::start(farm.lab.server(n), WORK[n - 1])).collect();
    farm.write(&toml(&farm, weighing));
    farm.start(&[]);
    wait_until("the rules", SOON, || weights(&farm).len() == 3);
    let clients = Clients::start(farm.lab.client());
    sleep(WARM_UP);
    clients.take_times();
    let worked: Vec<u64> = servers.iter().map(Server::worked_nanos).collect();
    let began = Instant::now();
    let (mut least, mut most) = (u32::MAX, 0);
    while began.elapsed() < MEASURED {
        let slow = weights(&farm)[2];
        (least, most) = (least.min(slow), most.max(slow));
        sleep(MEASURED / 20);
    }
    let (elapsed, mut times) = (began.elapsed(), clients.take_times());
    let busy = servers.iter().zip(worked).map(|(server, before)| {
        (server.worked_nanos() - before) as f64 / elapsed.as_nanos() as f64 / f64::from(WORKERS)
    });
    let busy = busy.collect();
    let weights = weights(&farm);
    clients.end();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let variance = times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / times.len() as f64;
    let (p50_secs, p99_secs, deviation_secs) = (at(0.5), at(0.99), variance.sqrt());
    Figures { requests: times.len(), p50_secs, p99_secs, deviation_secs, busy, weights, slow: (least, most) }
}

fn toml(farm: &Farm, weighing: &str) -> String {
    let mut text = format!(
        "[[virtual_server]]\nservice = \"{VIP}:{PORT}\"\nscheduler = \"wrr\"\nweight = 100\n{weighing}\n"
    );
    for server in farm.lab.servers() {
        text += &format!("[[virtual_server.real_server]]\naddress = \"{}:{PORT}\"\n", server.addr());
    }
    text
}

/// Of the three servers.
fn weights(farm: &Farm) -> Vec<u32> {
    let (lines, name) = (listing(&farm.lab), format!("TCP {VIP}:{PORT}"));
    let of = |n| {
        let server = format!("{}:{PORT}", farm.lab.server(n).addr());
        lines.iter().find(|line| line.service == name && line.server == server).map(|line| line.weight)
    };
    (1..=3).filter_map(of).collect()
}

struct Clients {
    asking: Arc<Asking>,
    threads: Vec<JoinHandle<()>>,
}

/// What they share.
#[derive(Default)]
struct Asking {
    stop: AtomicBool,
    times: Mutex<Vec<f64>>,
}

impl Clients {
    fn start(host: &Host) -> Clients {
        let asking = Arc::new(Asking::default());
        let threads = (0..CLIENTS).map(|n| client(host, n, &asking)).collect();
        Clients { asking, threads }
    }

    /// Response times of the requests until now.
    fn take_times(&self) -> Vec<f64> {
        std::mem::take(&mut self.asking.times.lock().unwrap())
    }

    fn end(mut self) {
        self.asking.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|client| client.join().expect("no request fails"));
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.asking.stop.store(true, Ordering::Relaxed);
    }
}

/// Asks, waits for the answer, thinks.
fn client(host: &Host, n: u64, asking: &Arc<Asking>) -> JoinHandle<()> {
    let namespace = File::open(Path::new("/run/netns").join(host.namespace())).expect("a namespace");
    let asking = Arc::clone(asking);
    let mut random = n;
    std::thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("its namespace");
        while !asking.stop.load(Ordering::Relaxed) {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Even between nothing and twice the mean.
            sleep(THINK * 2 * (random >> 48) as u32 / (1 << 16));
            let began = Instant::now();
            request().unwrap_or_else(|error| panic!("a request: {error}"));
            asking.times.lock().unwrap().push(began.elapsed().as_secs_f64());
        }
    })
}

fn request() -> std::io::Result<()> {
    let mut stream = TcpStream::connect((VIP, PORT))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.0 200 ") { Ok(()) } else { Err(std::io::Error::other(answer)) }
}

/// A server of [`WORKERS`], with an agent.
struct Server {
    works: Arc<Works>,
    threads: Vec<JoinHandle<()>>,
    /// Ends the threads that wait for somebody, one each.
    poke: Box<dyn Fn() + Send>,
}

#[derive(Default)]
struct Works {
    stop: AtomicBool,
    at_work: Mutex<u32>,
    one_less: Condvar,
    /// Requests that are worked on or wait.
    inside: AtomicU64,
    worked_nanos: AtomicU64,
}

impl Server {
    fn start(host: &Host, work: Duration) -> Server {
        let works = Arc::new(Works::default());
        let bind = |port| host.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).expect("a listener");
        let namespace = Arc::new(File::open(Path::new("/run/netns").join(host.namespace())).expect("it"));
        let poke = move || {
            let namespace = Arc::clone(&namespace);
            let poking = std::thread::spawn(move || {
                setns(&*namespace, CloneFlags::CLONE_NEWNET).expect("its namespace");
                for port in [PORT, AGENT] {
                    let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
                }
            });
            let _ = poking.join();
        };
        let (serving, telling, looking) = (Arc::clone(&works), Arc::clone(&works), Arc::clone(&works));
        let (requests, questions) = (bind(PORT), bind(AGENT));
        let queue = Arc::new(Mutex::new(0.0));
        let queue_told = Arc::clone(&queue);
        let threads = vec![
            std::thread::spawn(move || {
                serving.each(&requests, |stream| {
                    let works = Arc::clone(&serving);
                    std::thread::spawn(move || works.serve(stream, work));
                });
            }),
            std::thread::spawn(move || {
                telling.each(&questions, |mut stream| {
                    let percent = left(*queue_told.lock().unwrap());
                    let _ = stream.write_all(format!("up ready {percent}%\n").as_bytes());
                });
            }),
            std::thread::spawn(move || {
                let part = 1.0 - (-AGENT_LOOKS.as_secs_f64() / AGENT_OVER.as_secs_f64()).exp();
                while !looking.stop.load(Ordering::Relaxed) {
                    let now = looking.inside.load(Ordering::Relaxed) as f64;
                    let mut queue = queue.lock().unwrap();
                    *queue += part * (now - *queue);
                    drop(queue);
                    sleep(AGENT_LOOKS);
                }
            }),
        ];
        Server { works, threads, poke: Box::new(poke) }
    }

    fn worked_nanos(&self) -> u64 {
        self.works.worked_nanos.load(Ordering::Relaxed)
    }
}

/// By the formula of `rlvs realserver agent`, the workers taken for processors.
fn left(queue: f64) -> u8 {
    let sample = Sample {
        cores: WORKERS,
        run_queue_tasks: queue,
        load_average_1m_tasks: 0.0,
        load_average_5m_tasks: 0.0,
        load_average_15m_tasks: 0.0,
        memory_total_bytes: 1,
        memory_available_bytes: 1,
        tcp_connections: 0,
    };
    percent(&sample, &Options::default())
}

impl Works {
    fn each(&self, listener: &TcpListener, mut serve: impl FnMut(TcpStream)) {
        for stream in listener.incoming().flatten() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            serve(stream);
        }
    }

    fn serve(&self, mut stream: TcpStream, work: Duration) {
        self.inside.fetch_add(1, Ordering::Relaxed);
        let mut at_work = self.at_work.lock().unwrap();
        while *at_work >= WORKERS {
            at_work = self.one_less.wait(at_work).unwrap();
        }
        *at_work += 1;
        drop(at_work);
        let began = Instant::now();
        sleep(work);
        self.worked_nanos.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
        *self.at_work.lock().unwrap() -= 1;
        self.one_less.notify_one();
        self.inside.fetch_sub(1, Ordering::Relaxed);
        let mut request = [0; 1024];
        if stream.read(&mut request).is_ok() {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.works.stop.store(true, Ordering::Relaxed);
        (self.poke)();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
