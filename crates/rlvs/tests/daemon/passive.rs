//! Passive checks: a server that answers the director's own checks, and no client.

use super::lab::{Farm, name};
use crate::common::{rlvs, wait_for, wait_until, within};
use rlvs::lab::VIP;
use rlvs::lab::client::Connection;
use rlvs_daemon::run::{client, place_here};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// For what comes some looks later, on a machine that has much else to do.
const LATER: Duration = Duration::from_secs(120);

/// Clients that come all the time, and do not wait for long.
struct Crowd {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn start(farm: &Farm) -> Crowd {
        let over = Arc::new(AtomicBool::new(false));
        let threads = (0..4).map(|_| {
            let over = Arc::clone(&over);
            farm.lab.client().run(|| {
                thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        if let Ok(mut connection) =
                            Connection::open_within(VIP, 8000, Duration::from_millis(300))
                        {
                            let _ = connection.who();
                        }
                        thread::sleep(Duration::from_millis(50));
                    }
                })
            })
        });
        Crowd { threads: threads.collect(), over }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn toml(farm: &Farm, mode: &str) -> String {
    let mut text = format!(
        "[[virtual_server]]\nservice = \"{VIP}:8000\"\nscheduler = \"rr\"\n\
         passive = {{ mode = \"{mode}\", window = \"8s\", connections = 3, percent = 30, hold = \"5s\", recovery = \"check\" }}\n\
         timing = {{ delay_loop = \"1s\", warmup = \"0s\", connect_timeout = \"20s\" }}\n"
    );
    for server in farm.lab.servers() {
        text += &format!(
            "[[virtual_server.real_server]]\naddress = \"{}:8000\"\ncheck = [{{ type = \"tcp\" }}]\n",
            server.addr()
        );
    }
    text
}

/// The server's part of the status.
fn server(farm: &Farm, n: usize) -> Value {
    farm.try_health().map_or(Value::Null, |health| health["services"][0]["servers"][n - 1].clone())
}

fn standing(farm: &Farm, n: usize) -> Value {
    server(farm, n)["passive"]["standing"].clone()
}

#[test]
fn a_server_that_answers_no_client_is_told_and_taken_out() {
    within(600, || {
        let mut farm = Farm::toml();
        farm.write(&toml(&farm, "advise"));
        farm.start(&["--listen", "127.0.0.1:9323"]);
        let events = Arc::new(Mutex::new(Vec::<Value>::new()));
        let heard = Arc::clone(&events);
        let listener = farm.lab.director().run(|| {
            thread::spawn(move || {
                let socket = place_here().expect("a place").socket();
                let _ = client::follow(&socket, "/v1/events", |line| {
                    heard.lock().expect("events").push(serde_json::from_str(line)?);
                    Ok(())
                });
            })
        });
        let told = |n: usize, standing: &str| {
            let server = format!("{}:8000", farm.lab.server(n).addr());
            let all = events.lock().expect("events");
            all.iter().any(|e| e["event"] == "passive" && e["server"] == server && e["standing"] == standing)
        };
        let crowd = Crowd::start(&farm);
        wait_until("all three are seen and clear", LATER, || {
            (1..=3).all(|n| {
                let server = server(&farm, n);
                server["passive"]["standing"] == "clear" && server["passive"]["opened"].as_u64() >= Some(10)
            })
        });
        let all = ["rs1", "rs2", "rs3"];
        assert_eq!(farm.serving(&name()), all);

        // Without its route to the clients, its answers go nowhere; those to the director's own checks arrive.
        let silent = farm.lab.server(2);
        silent.set_link("eth0", false).unwrap();
        silent.set_link("eth0", true).unwrap();
        wait_until("the advice", LATER, || standing(&farm, 2) == "suspect" && told(2, "suspect"));
        assert_eq!(farm.serving(&name()), all, "advice changes nothing");
        let shown = rlvs(farm.lab.director(), "status");
        assert!(shown.contains("passive check (advice) suspect: "), "{shown}");
        let page = farm.lab.director().run(|| {
            ureq::get("http://127.0.0.1:9323/metrics").call().unwrap().body_mut().read_to_string().unwrap()
        });
        let sample = |n: usize, value: u8| {
            let server = farm.lab.server(n).addr();
            format!(
                "rlvs_server_suspect{{virtual_server=\"TCP {VIP}:8000\",server=\"{server}:8000\"}} {value}"
            )
        };
        assert!(page.lines().any(|l| l == sample(2, 1)) && page.lines().any(|l| l == sample(1, 0)), "{page}");

        // Now it acts.
        farm.write(&toml(&farm, "act"));
        farm.reload("");
        wait_until("rs2 out", LATER, || farm.serving(&name()) == ["rs1", "rs3"]);
        wait_until("its event", LATER, || told(2, "out"));
        let reason = wait_for("the reason", LATER, || server(&farm, 2)["reason"].as_str().map(str::to_owned));
        assert!(reason.starts_with("taken out by its passive check"), "{reason}");
        assert_eq!(server(&farm, 2)["checks"][0]["health"], "up", "nothing else finds it");

        // It is repaired: let in on trial, and clear when its clients are answered.
        silent.add_default_route(Ipv4Addr::new(10, 1, 0, 1)).unwrap();
        wait_until("rs2 back", LATER, || farm.serving(&name()) == all && standing(&farm, 2) == "clear");
        drop(crowd);
        for n in [1, 3] {
            assert!(!told(n, "suspect") && !told(n, "out"), "rs{n} was well all the time");
        }
        farm.kill();
        listener.join().expect("the listener");
    });
}
