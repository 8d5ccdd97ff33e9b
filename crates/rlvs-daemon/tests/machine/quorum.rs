//! quorum, hysteresis, sorry_server and what the service's scripts are told.

use super::world::{TCP, World, one_service};

const UP: &str = "quorum_up \"up\"\nquorum_down \"down\"";

#[test]
fn quorum() {
    let mut w = World::new(&one_service(&format!("retry 0\nquorum 2\n{UP}"), &[TCP, TCP, TCP]));
    assert_eq!(w.noted("run"), ["0 run up"]);
    w.server(1, false);
    w.until(10.0);
    assert_eq!(w.noted("run").len(), 1, "two are enough");
    w.server(2, false);
    w.until(20.0);
    assert_eq!(w.noted("run"), ["0 run up", "20 run down"]);
    assert_eq!(w.servers(), "3=1", "without a sorry server the rest goes on");
    w.server(1, true);
    w.until(30.0);
    assert_eq!(w.noted("run").last().unwrap(), "30 run up");
}

#[test]
fn hysteresis() {
    let mut w = World::new(&one_service(&format!("retry 0\nquorum 3\nhysteresis 1\n{UP}"), &[TCP; 4]));
    let mut kill = |n: u8, up: bool| {
        w.server(n, up);
        w.run(10.0);
        w.noted("run").len()
    };
    assert_eq!(kill(1, false), 1, "3 of 4 are left");
    assert_eq!(kill(2, false), 1, "2 are 3 - 1, not below it");
    assert_eq!(kill(3, false), 2, "lost");
    assert_eq!(kill(3, true), 2, "2 are not enough");
    assert_eq!(kill(2, true), 2, "3 are not enough, it takes 3 + 1");
    assert_eq!(kill(1, true), 3, "gained");
}

#[test]
fn a_quorum_of_weights() {
    let heavy = format!("weight 10\n{TCP}");
    let mut w = World::new(&one_service(&format!("retry 0\nquorum 5\n{UP}"), &[&heavy, TCP]));
    w.until(5.0);
    w.server(1, false);
    w.until(10.0);
    assert_eq!(w.noted("run"), ["0 run up", "10 run down"]);
}

#[test]
fn sorry_server() {
    let mut w = World::new(&one_service("retry 0\nquorum 2\nsorry_server 10.0.0.200 80", &[TCP, TCP, TCP]));
    assert_eq!(w.servers(), "1=1 2=1 3=1");
    w.server(1, false);
    w.server(2, false);
    w.until(10.0);
    assert_eq!(w.servers(), "200=1", "all real servers leave, also the living one");
    assert_eq!(w.machine.status().services[0].sorry_server.as_deref(), Some("10.0.0.200:80"));
    w.server(2, true);
    w.until(20.0);
    assert_eq!(w.servers(), "2=1 3=1");
}

#[test]
fn sorry_server_inhibit() {
    let vs = "retry 0\nsorry_server 10.0.0.200 80\nsorry_server_inhibit\ninhibit_on_failure";
    let mut w = World::new(&one_service(vs, &[TCP]));
    assert_eq!(w.servers(), "1=1 200=0");
    w.server(1, false);
    w.until(10.0);
    assert_eq!(w.servers(), "1=0 200=1");
    w.server(1, true);
    w.until(20.0);
    assert_eq!(w.servers(), "1=1 200=0");
}

#[test]
fn sorry_server_lvs_method() {
    let vs = "alpha\nlvs_method DR\nsorry_server 10.0.0.200 80\nsorry_server_lvs_method NAT";
    let w = World::new(&one_service(vs, &[&TCP.replace('}', "warmup 100\n}")]));
    let method = |w: &World| w.rules["TCP 192.0.2.1:80"].destinations[0].method;
    assert_eq!(w.servers(), "200=1", "with alpha nothing is up at first");
    assert_eq!(method(&w), rlvs_control::model::Method::Masquerade);
}
