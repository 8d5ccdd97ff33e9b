//! Rules change while traffic flows. An operator edits, removes and adds servers in the middle of transfers, neighbours
//! are forgotten, a server goes silent: no transfer may notice, and nobody but the clients of the silent server.

mod common;

use common::{MB, Proto, attach, cluster, ipvsadm, method, real, serve, within};
use rlvs::lab::client::{self, Connection};
use rlvs::lab::{Lab, Topology, VIP};
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn nat_transfers_survive_changes_of_the_rules() {
    within(60, || transfers_survive_changes(Topology::Nat, "tc"));
}

#[test]
fn nat_transfers_survive_changes_of_the_rules_under_xdp() {
    within(60, || transfers_survive_changes(Topology::Nat, "xdp"));
}

#[test]
fn dr_transfers_survive_changes_of_the_rules() {
    within(60, || transfers_survive_changes(Topology::Dr, "tc"));
}

#[test]
fn tun_transfers_survive_changes_of_the_rules() {
    within(60, || transfers_survive_changes(Topology::Tun, "tc"));
}

fn transfers_survive_changes(topology: Topology, mode: &str) {
    let lab = cluster(topology);
    attach(&lab, mode);
    serve(&lab, Proto::Tcp, 80, "rr", &[1, 1]);
    during_transfers(&lab, |serving, idle| {
        let step = || thread::sleep(Duration::from_millis(100));
        let key = Proto::Tcp.key(80);
        let (serving, idle) = (real(&lab, serving, 80), real(&lab, idle, 80));
        step();
        ipvsadm(&lab, &format!("-e {key} -r {serving} {} -w 0", method(&lab)));
        step();
        ipvsadm(&lab, &format!("-e {key} -r {serving} {} -w 7", method(&lab)));
        ipvsadm(&lab, &format!("-E {key} -s wlc"));
        step();
        ipvsadm(&lab, &format!("-d {key} -r {idle}"));
        ipvsadm(&lab, &format!("-a {key} -r {} {}", real(&lab, 3, 80), method(&lab)));
        step();
        ipvsadm(&lab, &format!("-d {key} -r {serving}"));
        ipvsadm(&lab, &format!("-a {key} -r {serving} {}", method(&lab)));
        step();
        ipvsadm(&lab, "-Z");
        // The first service of IPv6 puts other programs on all interfaces.
        ipvsadm(&lab, "-A -t [fd00::100]:80 -s rr");
        step();
    });
}

/// Runs `work` in the middle of a download and an upload that one server serves; it gets the number of that server, and
/// of another. The transfers go slowly until it is done, and keep their last bytes for after that.
fn during_transfers(lab: &Lab, work: impl FnOnce(usize, usize)) {
    const LEN: u64 = 100 * MB;
    let ([(serving, mut down), (_, mut up)], idle) = two_with_one_server(lab);
    let done = AtomicBool::new(false);
    let brake = |moved: u64| {
        thread::sleep(Duration::from_millis(if done.load(Ordering::Relaxed) { 0 } else { 5 }));
        while moved > LEN * 9 / 10 && !done.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
    };
    thread::scope(|scope| {
        let down = scope.spawn(|| down.download(LEN, brake));
        let up = scope.spawn(|| up.upload(LEN, brake));
        let worked = catch_unwind(AssertUnwindSafe(|| work(serving, idle)));
        done.store(true, Ordering::Relaxed);
        down.join().unwrap().unwrap_or_else(|e| panic!("the download failed: {e:#}"));
        up.join().unwrap().unwrap_or_else(|e| panic!("the upload failed: {e:#}"));
        worked.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

/// Two connections to the same one of servers 1 and 2, and the number of the other.
fn two_with_one_server(lab: &Lab) -> ([(usize, Connection); 2], usize) {
    let open = |_| {
        let mut connection = Connection::open(VIP, 80).expect("a connection");
        let name = connection.who().expect("a name");
        (name.trim_start_matches("rs").parse().expect("a number"), connection)
    };
    let [first, _, third, _] = lab.client().run(|| [0; 4].map(open));
    assert_eq!(first.0, third.0, "rr takes turns");
    let idle = if first.0 == 1 { 2 } else { 1 };
    ([first, third], idle)
}

#[test]
fn forgotten_neighbours_lose_no_connection() {
    within(60, || {
        for (topology, mode) in [(Topology::Nat, "tc"), (Topology::Nat, "xdp"), (Topology::Dr, "skb")] {
            let lab = cluster(topology);
            attach(&lab, mode);
            serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
            serve(&lab, Proto::Udp, 53, "rr", &[1, 1, 1]);
            neighbours_come_and_go(&lab);
        }
    });
}

fn neighbours_come_and_go(lab: &Lab) {
    let flush = || {
        let hosts = lab.servers().chain([lab.client()]);
        hosts.filter(|host| lab.director().flush_neighbour(host.addr()).expect("flushing")).count()
    };
    exchanges_while(lab, &flush);
    transfers_while(lab, &flush);
}

/// Short exchanges, with neighbours forgotten between them. Not within them: the kernel itself drops what waits for an
/// address, or is just being sent, when its neighbour is deleted.
fn exchanges_while(lab: &Lab, flush: &(impl Fn() -> usize + Sync)) {
    lab.client().run(|| {
        let end = Instant::now() + Duration::from_secs(1);
        let (mut longest, mut flushed, mut next) = (Duration::ZERO, 0, Instant::now());
        while Instant::now() < end {
            if Instant::now() >= next {
                flushed += flush();
                next = Instant::now() + Duration::from_millis(20);
            }
            let began = Instant::now();
            client::who(VIP, 80).expect("TCP while neighbours are flushed");
            client::ask(VIP, 53, Duration::from_secs(3)).expect("UDP while neighbours are flushed");
            longest = longest.max(began.elapsed());
        }
        assert!(flushed > 10, "{flushed} neighbours were forgotten");
        // A lost SYN would have cost a second.
        assert!(longest < Duration::from_millis(900), "an exchange took {longest:?}");
    });
}

fn transfers_while(lab: &Lab, flush: &(impl Fn() -> usize + Sync)) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let flusher = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                flush();
                thread::sleep(Duration::from_millis(20));
            }
        });
        let traffic = || {
            lab.client().run(|| {
                client::download(VIP, 80, 20 * MB).expect("download");
                client::upload(VIP, 80, 20 * MB).expect("upload");
            });
        };
        let outcome = catch_unwind(AssertUnwindSafe(traffic));
        stop.store(true, Ordering::Relaxed);
        flusher.join().expect("the flusher");
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

#[test]
fn a_silent_server_hurts_only_its_own_clients() {
    within(60, || {
        for topology in [Topology::Nat, Topology::Dr] {
            let lab = cluster(topology);
            serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
            // Its cable is cut: nobody answers the director's question for its hardware address.
            lab.server(3).set_link("eth0", false).unwrap();
            lab.director().flush_neighbour(lab.server(3).addr()).unwrap();
            lab.client().run(|| {
                let limit = Duration::from_millis(1500);
                assert!(Connection::open_within(VIP, 80, limit).is_err(), "rs3 cannot have answered");
                assert_eq!(client::who(VIP, 80).unwrap(), "rs2");
                assert_eq!(client::who(VIP, 80).unwrap(), "rs1");
            });
            // The next in turn is rs3 again; it comes back while the client is still trying.
            thread::scope(|scope| {
                let patient = scope.spawn(|| lab.client().run(|| client::who(VIP, 80)));
                thread::sleep(Duration::from_millis(300));
                lab.server(3).set_link("eth0", true).unwrap();
                restore_routes(&lab);
                assert_eq!(patient.join().unwrap().unwrap(), "rs3", "{topology:?}");
            });
        }
    });
}

/// Taking a link down removed the routes over it.
fn restore_routes(lab: &Lab) {
    if lab.topology() == Topology::Nat {
        lab.server(3).add_default_route(Ipv4Addr::new(10, 1, 0, 1)).unwrap();
    }
}
