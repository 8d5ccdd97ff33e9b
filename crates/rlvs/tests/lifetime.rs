//! What lives how long. No process of ours lives after a command has ended, and traffic flows without one; connections
//! expire on time by the kernel's own doing; what is not ours is left alone; and each namespace has its own rules.

mod common;

use common::{
    Proto, RLVS, cluster, connections, ipvsadm, ipvsadm_with, listing, rlvs, serve, tally, wait_until, within,
};
use rlvs::lab::client::{self, Connection};
use rlvs::lab::{Lab, Topology, VIP};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[test]
fn no_process_stays_and_traffic_flows() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
        let ours = processes(&lab);
        assert!(ours.is_empty(), "still there: {ours:?}");
        let seen = lab.client().run(|| client::tally_tcp(VIP, 80, 6)).unwrap();
        assert_eq!(seen, tally([("rs1", 2), ("rs2", 2), ("rs3", 2)]));
    });
}

/// Processes in the director's namespace, and those of our program in the machine's own.
fn processes(lab: &Lab) -> Vec<(PathBuf, PathBuf)> {
    let inode = |path: &Path| fs::metadata(path).map(|m| m.ino()).ok();
    let director = inode(&Path::new("/run/netns").join(lab.director().namespace()));
    let machine = inode(Path::new("/proc/1/ns/net"));
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let ours =
        all.filter(|process| process.file_name().is_some_and(|n| n.to_string_lossy().parse::<u32>().is_ok()));
    ours.filter_map(|process| Some((fs::read_link(process.join("exe")).ok()?, process)))
        .filter(|(exe, process)| {
            let namespace = inode(&process.join("ns/net"));
            namespace == director || namespace == machine && exe == Path::new(RLVS)
        })
        .collect()
}

#[test]
fn udp_entries_expire_and_counts_return_to_zero() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Udp, 53, "rr", &[1, 1, 1]);
        ipvsadm(&lab, "--set 0 0 2");
        lab.client().run(|| client::tally_udp(VIP, 53, 9)).unwrap();
        assert_eq!(connections(&lab), (0, 9));
        assert_eq!(ipvsadm(&lab, "-Lnc").lines().filter(|l| l.starts_with("UDP")).count(), 9);
        expire(&lab, Duration::from_secs(2));
    });
}

#[test]
fn tcp_entries_expire_open_or_closed() {
    within(30, || {
        // In DR the director sees the client's half only: a closed connection is FIN_WAIT, whose timeout can be set.
        let lab = cluster(Topology::Dr);
        serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
        ipvsadm(&lab, "--set 3 2 0");
        let open: Vec<_> = lab.client().run(|| (0..3).map(|_| Connection::open(VIP, 80).unwrap()).collect());
        lab.client().run(|| client::tally_tcp(VIP, 80, 6)).unwrap();
        wait_until("six closed, three open", Duration::from_secs(1), || connections(&lab) == (3, 6));
        expire(&lab, Duration::from_secs(3));
        drop(open);
    });
}

/// All entries go, not before `timeout` and not much later.
fn expire(lab: &Lab, timeout: Duration) {
    let began = Instant::now();
    wait_until("all entries expire", timeout + Duration::from_secs(4), || connections(lab) == (0, 0));
    let took = began.elapsed();
    assert!(took > timeout - Duration::from_millis(1500), "gone after {took:?} already");
    let entries = ipvsadm(lab, "-Lnc");
    assert_eq!(entries.lines().skip(2).count(), 0, "{entries}");
}

#[test]
fn what_no_rule_is_for_reaches_the_director_itself() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        lab.serve("director", &[8080], &[5353]).unwrap();
        serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
        lab.client().run(|| {
            assert_eq!(client::who(VIP, 8080).unwrap(), "director");
            assert_eq!(client::ask(VIP, 5353, Duration::from_secs(2)).unwrap(), "director");
            let refusal = format!("{:#}", client::who(VIP, 81).unwrap_err());
            assert!(refusal.contains("refused"), "{refusal}");
            assert_eq!(client::who(lab.server(1).addr(), 80).unwrap(), "rs1", "routed past the rules");
        });
    });
}

#[test]
fn a_real_servers_own_connections_are_left_alone() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
        lab.client().run(|| client::tally_tcp(VIP, 80, 3)).unwrap();
        let listener = lab.client().run(|| TcpListener::bind("10.0.0.2:9000").unwrap());
        let out = lab.server(1).run(|| {
            TcpStream::connect_timeout(&SocketAddr::from(([10, 0, 0, 2], 9000)), Duration::from_secs(5))
                .unwrap()
        });
        let (_, from) = listener.accept().unwrap();
        assert_eq!(from, out.local_addr().unwrap(), "not made to look like the VIP");
    });
}

#[test]
fn two_namespaces_have_their_own_rules() {
    within(30, || {
        let labs = [cluster(Topology::Nat), cluster(Topology::Dr)];
        serve(&labs[0], Proto::Tcp, 80, "rr", &[1]);
        serve(&labs[1], Proto::Tcp, 80, "wrr", &[0, 5]);
        for (lab, server) in labs.iter().zip(["rs1", "rs2"]) {
            let seen = lab.client().run(|| client::tally_tcp(VIP, 80, 4)).unwrap();
            assert_eq!(seen, tally([(server, 4)]));
        }
        assert_eq!(listing(&labs[0]).len(), 1);
        assert_eq!(listing(&labs[1]).len(), 2);
        ipvsadm(&labs[0], "-C");
        assert!(listing(&labs[0]).is_empty());
        let seen = labs[1].client().run(|| client::tally_tcp(VIP, 80, 4)).unwrap();
        assert_eq!(seen, tally([("rs2", 4)]));
    });
}

#[test]
fn down_removes_everything_and_save_brings_it_back() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "wrr", &[1, 2, 3]);
        let saved = ipvsadm(&lab, "-Sn");
        rlvs(lab.director(), "down");
        rlvs(lab.director(), "down");
        assert!(listing(&lab).is_empty());
        let refusal = lab.client().run(|| client::who(VIP, 80)).unwrap_err();
        assert!(format!("{refusal:#}").contains("refused"), "{refusal:#}");
        ipvsadm_with(&lab, "-R", &saved);
        assert_eq!(ipvsadm(&lab, "-Sn"), saved);
        let seen = lab.client().run(|| client::tally_tcp(VIP, 80, 6)).unwrap();
        assert_eq!(seen, tally([("rs1", 1), ("rs2", 2), ("rs3", 3)]));
    });
}
