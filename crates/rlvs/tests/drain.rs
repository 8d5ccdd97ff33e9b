//! Draining a real server while clients use it: connections that are open, flows of UDP, clients that persistence brings
//! back. No request fails, the deadline holds, and the weight comes back.

mod common;

use common::{
    Cluster, Proto, RLVS, cluster, ipvsadm, listing, method, real, rlvs, serve, try_as, wait_until, within,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rlvs::lab::client::{self, Asker, Connection};
use rlvs::lab::{Topology, VIP};
use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn nat_connections_go_on_to_their_end() {
    within(60, || connections_go_on(Topology::Nat, "tc"));
}

#[test]
fn nat_connections_go_on_to_their_end_under_xdp() {
    within(60, || connections_go_on(Topology::Nat, "xdp"));
}

#[test]
fn dr_connections_go_on_to_their_end() {
    within(60, || connections_go_on(Topology::Dr, "tc"));
}

fn connections_go_on(topology: Topology, mode: &str) {
    let lab = cluster(topology);
    common::attach(&lab, mode);
    serve(&lab, Proto::Tcp, 80, "rr", &[2, 1, 1]);
    // Where the director sees one side only, what the client has closed is awaited as long as --set says.
    ipvsadm(&lab, "--set 0 2 0");
    let mut open = connections_to(&lab, "rs1", 2);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients = scope.spawn(|| lab.client().run(|| requests_until(&stop)));
        // Also when something fails here: the scope waits for the clients.
        let at_end = Stop(&stop);
        let mut drain = Background::start(&lab, &format!("drain {} --deadline 30s", real(&lab, 1, 80)));
        wait_until("weight 0", PATIENCE, || weight(&lab, 1) == 0);
        // Whoever began before it: half a second for their requests.
        thread::sleep(Duration::from_millis(500));
        for _ in 0..10 {
            open.iter_mut().for_each(|c| assert_eq!(c.who().expect("an open connection"), "rs1"));
            lab.client()
                .run(|| (0..3).for_each(|_| assert_ne!(client::who(VIP, 80).expect("a request"), "rs1")));
            thread::sleep(Duration::from_millis(50));
        }
        assert!(drain.is_running(), "two connections are open");
        open.pop();
        // Lines come once a second at most.
        thread::sleep(Duration::from_millis(1600));
        assert!(drain.is_running(), "one connection is open");
        open.clear();
        let (status, said) = drain.end();
        assert_eq!(status, Some(0), "{said}");
        for part in [
            "weight 2 -> 0",
            "waiting for 2 active",
            "waiting for 1 active",
            "nothing is left",
            "weight 0 stays",
        ] {
            assert!(said.contains(part), "{part:?} in {said}");
        }
        drop(at_end);
        let served = clients.join().expect("no request fails");
        assert!(served > 20, "{served} requests");
    });
    assert!(rlvs(lab.director(), "drain").contains("had weight 2"));
    drained_in_the_listing(&lab);
    rlvs(lab.director(), &format!("undrain {}", real(&lab, 1, 80)));
    assert_eq!(weight(&lab, 1), 2);
    assert!(rlvs(lab.director(), "drain").contains("nothing is drained"));
    let seen = lab.client().run(|| client::tally_tcp(VIP, 80, 6)).unwrap();
    assert!(seen.contains_key("rs1"), "{seen:?}");
}

#[test]
fn the_deadline_holds() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[3, 1, 1]);
        let mut open = connections_to(&lab, "rs1", 1);
        let rs1 = real(&lab, 1, 80);
        let began = Instant::now();
        let (status, said) = Background::start(&lab, &format!("drain {rs1} --deadline 2s")).end();
        let took = began.elapsed();
        assert!(took > Duration::from_millis(1900) && took < Duration::from_millis(3500), "{took:?}");
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("the deadline passed") && said.contains("1 left"), "{said}");
        assert_eq!(open[0].who().unwrap(), "rs1", "--then keep: the connection goes on");
        // A new deadline, and this time the server goes.
        let (status, said) =
            Background::start(&lab, &format!("drain {rs1} --deadline 500ms --then remove --json")).end();
        assert_eq!(status, Some(2), "{said}");
        let json: serde_json::Value = serde_json::from_str(&said).expect(&said);
        let one = &json["destinations"][0];
        assert_eq!((&one["outcome"], &one["removed"]), (&"deadline".into(), &true.into()), "{json}");
        assert_eq!(
            (&one["former_weight"], &one["left"]["active_connections"]),
            (&3.into(), &1.into()),
            "{json}"
        );
        assert_eq!(listing(&lab).len(), 2);
        let undrained = try_as(lab.director(), "rlvs", &format!("undrain {rs1}"), "");
        assert!(!undrained.status.success() && String::from_utf8_lossy(&undrained.stderr).contains(&rs1));
    });
}

#[test]
fn interrupted_it_stays_drained_and_another_command_goes_on() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[3, 1, 1]);
        let open = connections_to(&lab, "rs1", 1);
        let rs1 = real(&lab, 1, 80);
        let mut drain = Background::start(&lab, &format!("drain {rs1} --then remove"));
        wait_until("weight 0", PATIENCE, || weight(&lab, 1) == 0);
        drain.signal(Signal::SIGINT);
        let (status, said) = drain.end();
        assert_eq!(status, Some(130), "{said}");
        assert!(said.contains("stays drained") && said.contains("rlvs undrain"), "{said}");
        let mut again = Background::start(&lab, &format!("drain {rs1}"));
        thread::sleep(Duration::from_millis(700));
        assert!(again.is_running());
        // It is killed without a word, and a third one ends it as the first was told to.
        again.signal(Signal::SIGKILL);
        again.end();
        assert_eq!(weight(&lab, 1), 0);
        drop(open);
        let (status, said) = Background::start(&lab, &format!("drain {rs1}")).end();
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains("deleted"), "{said}");
        assert_eq!(listing(&lab).len(), 2);
    });
}

#[test]
fn given_up_or_overruled() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[3, 1, 1]);
        let _open = connections_to(&lab, "rs1", 1);
        let rs1 = real(&lab, 1, 80);
        let mut drain = Background::start(&lab, &format!("drain {rs1} tcp:{VIP}:80 --then remove"));
        wait_until("weight 0", PATIENCE, || weight(&lab, 1) == 0);
        rlvs(lab.director(), &format!("drain {rs1} --abort"));
        let (status, said) = drain.end();
        assert_eq!((status, weight(&lab, 1)), (Some(0), 3), "{said}");
        assert!(said.contains("undrained by somebody"), "{said}");
        let mut drain = Background::start(&lab, &format!("drain {rs1} --then remove"));
        wait_until("weight 0", PATIENCE, || weight(&lab, 1) == 0);
        ipvsadm(&lab, &format!("-e {} -r {rs1} {} -w 7", Proto::Tcp.key(80), method(&lab)));
        let (_, said) = drain.end();
        assert!(said.contains("somebody set weight 7"), "{said}");
        assert_eq!(weight(&lab, 1), 7);
    });
}

#[test]
fn udp_flows_stay_or_go_elsewhere() {
    within(60, || {
        for mode in ["tc", "xdp"] {
            let lab = cluster(Topology::Nat);
            common::attach(&lab, mode);
            serve(&lab, Proto::Udp, 53, "rr", &[1, 1, 1]);
            serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
            ipvsadm(&lab, "--set 0 0 2");
            let mut open = connections_to(&lab, "rs1", 1);
            let asker = flow_to(&lab, "rs1");
            let ask = || asker.ask("who?", PATIENCE).expect("a datagram is answered");
            let rs1 = lab.server(1).addr();
            // It stays while it sends, and is waited for.
            let mut drain = Background::start(&lab, &format!("drain {rs1} udp:{VIP}:53"));
            for _ in 0..6 {
                assert_eq!(ask(), "rs1");
                thread::sleep(Duration::from_millis(500));
            }
            assert!(drain.is_running());
            drain.signal(Signal::SIGINT);
            drain.end();
            // It goes elsewhere with its next datagram; connections of TCP in the other service go on.
            let mut drain = Background::start(&lab, &format!("drain {rs1} --udp expire --deadline 20s"));
            wait_until("tcp too", PATIENCE, || weight(&lab, 1) == 0);
            wait_until("no flows", PATIENCE, || of_udp(&lab, 1) == 0);
            let elsewhere = ask();
            assert_ne!(elsewhere, "rs1");
            assert_eq!(ask(), elsewhere);
            assert!(drain.is_running(), "for the connection");
            assert_eq!(open[0].who().unwrap(), "rs1");
            open.clear();
            let (status, said) = drain.end();
            assert_eq!(status, Some(0), "{said}");
            assert!(said.contains("its flows go elsewhere"), "{said}");
            assert_eq!(rlvs(lab.director(), "sysctl expire_nodest_conn"), "expire_nodest_conn = 0\n");
        }
    });
}

/// A deleted server's connections may wait for it to come back: they are not ended for the sake of others.
#[test]
fn expiring_flows_harms_no_deleted_server() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Udp, 53, "rr", &[1, 1, 1]);
        serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
        let mut open = connections_to(&lab, "rs2", 1);
        let asker = flow_to(&lab, "rs1");
        let (key, rs2) = (Proto::Tcp.key(80), real(&lab, 2, 80));
        ipvsadm(&lab, &format!("-d {key} -r {rs2}"));
        let refused =
            try_as(lab.director(), "rlvs", &format!("drain {} --udp expire", real(&lab, 1, 53)), "");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && said.contains(&rs2) && said.contains("expire_nodest_conn"),
            "{said}"
        );
        assert!(listing(&lab).iter().all(|line| line.weight == 1), "nothing was done");
        ipvsadm(&lab, &format!("-a {key} -r {rs2} {}", method(&lab)));
        assert_eq!(open[0].who().unwrap(), "rs2");
        assert_eq!(asker.ask("who?", PATIENCE).unwrap(), "rs1");
    });
}

#[test]
fn persistent_clients_are_kept_or_let_go() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        ipvsadm(&lab, &format!("-A {} -s rr -p 3", Proto::Tcp.key(80)));
        for n in 1..=2 {
            ipvsadm(&lab, &format!("-a {} -r {} -m", Proto::Tcp.key(80), real(&lab, n, 80)));
        }
        let ask = || lab.client().run(|| client::who(VIP, 80)).expect("a request");
        let first = ask();
        let number: usize = first.trim_start_matches("rs").parse().unwrap();
        let rs = real(&lab, number, 80);
        let refused = try_as(lab.director(), "rlvs", &format!("drain {rs} --persistent expire"), "");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("expire_quiescent_template=1"), "{said}");
        assert_eq!(weight(&lab, number), 1);
        // Kept: the client comes back to it, and is waited for until persistence forgets it.
        let mut drain = Background::start(&lab, &format!("drain {rs} --persistent keep"));
        wait_until("weight 0", PATIENCE, || weight(&lab, number) == 0);
        for _ in 0..4 {
            assert_eq!(ask(), first);
            thread::sleep(Duration::from_millis(300));
        }
        // Its connections are closed and -p has passed: their entries keep it remembered, so it would still come back.
        thread::sleep(Duration::from_secs(5));
        assert!(drain.is_running(), "the server may not be switched off yet");
        assert_eq!(ask(), first);
        // Let go: its next connection goes elsewhere, the one that is open goes on.
        let mut open = lab.client().run(|| Connection::open(VIP, 80)).unwrap();
        assert_eq!(open.who().unwrap(), first);
        drain.signal(Signal::SIGTERM);
        drain.end();
        rlvs(lab.director(), "sysctl expire_quiescent_template=1");
        let mut drain = Background::start(&lab, &format!("drain {rs} --persistent expire"));
        let second = ask();
        assert_ne!(second, first);
        for _ in 0..4 {
            assert_eq!((ask(), open.who().unwrap()), (second.clone(), first.clone()));
        }
        assert!(drain.is_running());
        drop(open);
        let (status, said) = drain.end();
        assert_eq!(status, Some(0), "{said}");
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn drained_in_the_listing(lab: &Cluster) {
    let page = rlvs(lab.director(), "metrics --names rlvs");
    let server = format!("destination=\"{}\"}} 1", real(lab, 1, 80));
    assert!(
        page.lines().any(|l| l.starts_with("rlvs_destination_draining") && l.ends_with(&server)),
        "{page}"
    );
}

/// Everything is gone with the rules; a server of the same name starts anew.
#[test]
fn down_forgets_drains() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[3]);
        rlvs(lab.director(), &format!("drain {}", real(&lab, 1, 80)));
        rlvs(lab.director(), "down");
        assert!(rlvs(lab.director(), "drain").contains("nothing is drained"));
    });
}

/// Requests one after the other until told to stop, each on a connection of its own; none may fail. How many there were.
fn requests_until(stop: &AtomicBool) -> usize {
    let mut served = 0;
    while !stop.load(Ordering::Relaxed) {
        client::who(VIP, 80).expect("a request while a server is drained");
        served += 1;
        thread::sleep(Duration::from_millis(5));
    }
    served
}

/// Connections from the client that this server has.
fn connections_to(lab: &Cluster, server: &str, count: usize) -> Vec<Connection> {
    let mut found = vec![];
    while found.len() < count {
        let mut connection = lab.client().run(|| Connection::open(VIP, 80)).expect("a connection");
        if connection.who().expect("a name") == server {
            found.push(connection);
        }
    }
    // Those to others are over, and their entries do not disturb.
    found
}

fn flow_to(lab: &Cluster, server: &str) -> Asker {
    loop {
        let asker = lab.client().run(|| Asker::open(VIP, 53)).expect("a socket");
        if asker.ask("who?", PATIENCE).expect("an answer") == server {
            return asker;
        }
    }
}

fn weight(lab: &Cluster, n: usize) -> u32 {
    let server = real(lab, n, 80);
    listing(lab).iter().find(|line| line.server == server).unwrap_or_else(|| panic!("no {server}")).weight
}

fn of_udp(lab: &Cluster, n: usize) -> u32 {
    let server = real(lab, n, 53);
    listing(lab).iter().find(|line| line.server == server).map_or(0, |line| line.active + line.inactive)
}

/// `rlvs ARGS` in the director, while the test goes on.
struct Background(Child);

impl Background {
    fn start(lab: &Cluster, args: &str) -> Background {
        let mut command = lab.director().command(RLVS);
        command
            .args(args.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Background(lab.director().start(command).expect("a command"))
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("a status").is_none()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).expect("signalled");
    }

    /// Its status and what it said, when it has ended by itself.
    fn end(&mut self) -> (Option<i32>, String) {
        wait_until("the command ends", Duration::from_secs(20), || !self.is_running());
        let mut said = String::new();
        self.0.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
        self.0.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        (self.0.wait().expect("a status").code(), said)
    }
}
