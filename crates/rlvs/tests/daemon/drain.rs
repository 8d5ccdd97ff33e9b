//! A server is drained while clients use it in every way there is, and the daemon runs.

use super::lab::{Farm, SOON, name, service};
use super::load::Load;
use crate::common::{rlvs, try_as, wait_until, within};
use rlvs::lab::client::{self, Asker, Connection};
use rlvs::lab::{Host, VIP};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

/// Long TCP connections, UDP flows and a persistent client go on with it, new connections go elsewhere, and none of all
/// that fails. The command ends at its deadline; and once they have gone, it ends before.
#[test]
fn no_request_fails_while_a_server_is_drained_and_the_deadline_holds() {
    within(180, || {
        let mut farm = Farm::new();
        farm.write(&text(&farm));
        farm.start(&[]);
        wait_until("all up", SOON, || farm.serving(&name()).len() == 3);
        // The server that persistence gave this client to.
        let server = farm.lab.client().run(|| client::who(VIP, 80)).unwrap();
        let address = farm.lab.host(&server).addr();
        let client = farm.lab.client();
        let short = Load::of_requests(client, VIP, 8000);
        let long = [connections(client, &server), flows(client), persistent(client, &server)];
        wait_until("load of all kinds", SOON, || long.iter().chain([&short]).all(|load| load.done() > 2));

        let deadline = Duration::from_secs(4);
        let began = Instant::now();
        let drained = try_as(farm.lab.director(), "rlvs", &format!("drain {address} --deadline 4s"), "");
        let took = began.elapsed();
        let said = String::from_utf8_lossy(&drained.stdout).into_owned();
        assert_eq!(drained.status.code(), Some(2), "{said}");
        assert!(said.contains("the deadline passed"), "{said}");
        println!("a deadline of {deadline:?} took {:.2} of it", took.as_secs_f64() / deadline.as_secs_f64());
        // The rest is for a program that starts, on a busy machine.
        assert!(took >= deadline && took < deadline + Duration::from_secs(8), "{took:?}");
        for port in [53, 80, 8000] {
            let proto = if port == 53 { "UDP" } else { "TCP" };
            let serving = farm.serving(&format!("{proto} {VIP}:{port}"));
            assert!(serving.len() == 2 && !serving.contains(&server), "{serving:?}");
        }
        let seen = farm.lab.client().run(|| client::tally_tcp(VIP, 8000, 6)).unwrap();
        assert!(!seen.contains_key(&server), "{seen:?}");
        // Whoever was there is there still, also with the next daemon.
        let before: Vec<usize> = long.iter().map(Load::done).collect();
        farm.kill();
        farm.start(&[]);
        wait_until("they go on", SOON, || {
            long.iter().zip(&before).all(|(load, before)| load.done() > before + 2)
        });
        assert!(!farm.serving(&name()).contains(&server), "it stays drained");

        let mut served: Vec<usize> = long.into_iter().map(Load::end).collect();
        served.push(short.end());
        let short = Load::of_requests(farm.lab.client(), VIP, 8000);
        // (The persistent client is remembered as long as its closed connections are: minutes.)
        for of in ["tcp:10.0.0.100:8000", "udp:10.0.0.100:53"] {
            let command = format!("drain {address} {of} --deadline 25s");
            let drained = try_as(farm.lab.director(), "rlvs", &command, "");
            let said = String::from_utf8_lossy(&drained.stdout).into_owned();
            assert_eq!(drained.status.code(), Some(0), "{said}");
            assert!(said.contains("nothing is left"), "{said}");
        }
        rlvs(farm.lab.director(), &format!("undrain {address}"));
        assert_eq!(farm.serving(&name()).len(), 3);
        let seen = farm.lab.client().run(|| client::tally_tcp(VIP, 8000, 12)).unwrap();
        assert!(seen.contains_key(&server), "{seen:?}");
        served.push(short.end());
        println!("long, UDP, persistent, short: {served:?}; none failed");
    });
}

/// Short lives for what is over, so that the test need not wait.
fn text(farm: &Farm) -> String {
    let plain = service(farm, "", "TCP_CHECK {\n}");
    let persistent =
        plain.replace(" 8000 {", " 80 {").replace("lvs_sched rr", "lvs_sched rr\npersistence_timeout 6");
    let flows = service(farm, "", "PING_CHECK {\n}")
        .replace(" 8000 {", " 53 {")
        .replace("protocol TCP", "protocol UDP");
    format!("global_defs {{\nlvs_timeouts tcp 900 tcpfin 6 udp 6\n}}\n{plain}{persistent}{flows}")
}

/// Three connections that stay with the server, a request on each in turn.
fn connections(client: &Host, server: &str) -> Load {
    let server = server.to_owned();
    Load::start(client, move || {
        let mut open = Vec::new();
        while open.len() < 3 {
            let mut connection = Connection::open(VIP, 8000)?;
            if connection.who()? == server {
                open.push(connection);
            }
        }
        Ok(move || {
            for connection in &mut open {
                let who = connection.who()?;
                anyhow::ensure!(who == server, "{who} instead of {server}");
            }
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        })
    })
}

/// Six flows, two with each server, and each stays with its own.
fn flows(client: &Host) -> Load {
    Load::start(client, || {
        let mut flows = Vec::new();
        for _ in 0..6 {
            let flow = Asker::open(VIP, 53)?;
            let server = flow.ask("who?", PATIENCE)?;
            flows.push((flow, server));
        }
        Ok(move || {
            for (flow, server) in &flows {
                let who = flow.ask("who?", PATIENCE)?;
                anyhow::ensure!(who == *server, "{who} instead of {server}");
            }
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        })
    })
}

/// A client that persistence brings back to its server.
fn persistent(client: &Host, server: &str) -> Load {
    let server = server.to_owned();
    Load::start(client, move || {
        Ok(move || {
            let who = client::who(VIP, 80)?;
            anyhow::ensure!(who == server, "{who} instead of {server}");
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        })
    })
}
