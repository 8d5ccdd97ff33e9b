//! Passive checks: clients that a server does not answer, in simulated time.

use super::world::World;
use rlvs_control::model::{ServiceKey, Waiting};
use rlvs_daemon::machine::{Memory, PassiveStatus, Standing, Time};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Those of one server. What the director counts and what it would find in its table follows from it.
#[derive(Default)]
pub struct Clients {
    /// New ones, in a second.
    pub rate: u32,
    /// The part of them, in percent, that is not answered and gives up.
    pub silent: u32,
    opened: u64,
    /// When who waits sent something last.
    waits: Vec<Time>,
}

impl Clients {
    fn second(&mut self, now: Time, takes_new_ones: bool) {
        if takes_new_ones {
            self.opened += u64::from(self.rate);
            self.waits.extend((0..self.rate * self.silent / 100).map(|_| now));
        }
        self.waits.retain(|at| now - *at < Time::from_secs(60));
    }

    fn since(&self, now: Time) -> BTreeMap<u32, u32> {
        let mut since = BTreeMap::new();
        for secs in self.waits.iter().map(|at| (now - *at).as_secs() as u32).filter(|secs| *secs > 0) {
            *since.entry(secs).or_default() += 1;
        }
        since
    }
}

impl World {
    /// A round through the connections, once a second.
    pub fn look_at_clients(&mut self) {
        let mut found = Vec::new();
        let there: HashMap<(ServiceKey, IpAddr), (u16, u32)> = self
            .rules
            .values()
            .flat_map(|rule| {
                rule.destinations.iter().map(|d| ((rule.service.key, d.addr), (d.port, d.weight)))
            })
            .collect();
        for (addr, clients) in &mut self.clients {
            let of_this: Vec<_> = there.iter().filter(|((_, there), _)| there == addr).collect();
            clients.second(self.now, of_this.iter().any(|(_, (_, weight))| *weight > 0));
            if of_this.is_empty() {
                clients.opened = 0;
            }
            for ((service, addr), (port, _)) in of_this {
                let (opened, since) = (clients.opened, clients.since(self.now));
                found.push(Waiting {
                    service: *service,
                    addr: *addr,
                    port: *port,
                    opened,
                    since,
                    share: 1.0,
                });
            }
        }
        self.machine.waiting(&found, self.now);
    }

    /// So many a second come to each of the servers, which all answer.
    fn busy(&mut self, servers: u8, rate: u32) {
        for n in 1..=servers {
            self.clients(n).rate = rate;
        }
    }

    fn clients(&mut self, n: u8) -> &mut Clients {
        self.clients.entry(IpAddr::from([10, 0, 0, n])).or_default()
    }

    fn silent(&mut self, n: u8, silent: bool) {
        self.clients(n).silent = if silent { 100 } else { 0 };
    }

    fn passive(&self, n: usize) -> PassiveStatus {
        let status = self.machine.status();
        status.services[0].servers[n - 1].passive.clone().expect("a passive check")
    }
}

/// A service with passive settings, and servers with lines of their own.
fn service(passive: &str, servers: &[&str]) -> String {
    let mut text = format!(
        "[[virtual_server]]\nservice = \"192.0.2.1:80\"\npassive = {{ {passive} }}\n\
         timing = {{ delay_loop = \"5s\", warmup = \"0s\", retry = 0 }}\n"
    );
    for (n, lines) in (1..).zip(servers) {
        text += &format!("[[virtual_server.real_server]]\naddress = \"10.0.0.{n}:80\"\n{lines}\n");
    }
    text
}

const TCP: &str = "check = [{ type = \"tcp\" }]";
const ALL: &str = "1=1 2=1 3=1";

#[test]
fn advice_is_told_and_changes_nothing() {
    let mut w = World::new(&service("mode = \"advise\"", &[TCP, TCP, TCP]));
    w.busy(3, 4);
    w.run(30.0);
    assert!(w.told("server 10.0.0.2:80").is_empty(), "{:?}", w.events);
    w.silent(2, true);
    let orders = w.orders;
    w.run(15.0);
    assert_eq!((w.passive(2).standing, w.passive(1).standing), (Standing::Suspect, Standing::Clear));
    assert_eq!(w.told("server 10.0.0.2:80 of TCP 192.0.2.1:80 is suspect:").len(), 1, "{:?}", w.events);
    let status = w.passive(2);
    assert!(
        status.waiting >= 30 && status.opened >= status.waiting && status.window_seconds == 10.0,
        "{status:?}"
    );
    assert_eq!((w.servers(), w.orders), (ALL.to_owned(), orders));
    // Its check passes all the while: that goes to its own address.
    assert!(w.machine.status().services[0].servers[1].up);
    w.silent(2, false);
    w.run(15.0);
    assert_eq!(w.passive(2).standing, Standing::Clear);
    assert_eq!(w.told("server 10.0.0.2:80 of TCP 192.0.2.1:80 answers its clients again").len(), 1);
    assert_eq!(w.orders, orders);
}

#[test]
fn action_takes_it_out_and_lets_it_in_on_trial() {
    let mut w = World::new(&service("mode = \"act\", hold = \"20s\"", &[TCP, TCP, TCP]));
    w.busy(3, 4);
    w.run(30.0);
    w.silent(2, true);
    w.run(13.0);
    assert_eq!(w.servers(), "1=1 3=1");
    let server = &w.machine.status().services[0].servers[1];
    let reason = server.reason.clone().unwrap();
    assert!(!server.up && reason.starts_with("taken out by its passive check: "), "{reason}");
    assert_eq!(w.told("server 10.0.0.2:80 of TCP 192.0.2.1:80 is DOWN: taken out by its passive").len(), 1);
    // In vain: the second time it stays out twice as long, and the third time again. (Some of the first is over.)
    let waits = outs(&mut w, 240);
    assert!(waits.len() == 3 && (10..=20).contains(&waits[0]), "{waits:?}");
    assert!((39..43).contains(&waits[1]) && (79..83).contains(&waits[2]), "{waits:?}");
    // It answers: let in, it stays, and is clear when that is proven.
    w.silent(2, false);
    w.run(200.0);
    assert_eq!((w.servers().as_str(), w.passive(2).standing), (ALL, Standing::Clear));
    let told = w.told("server 10.0.0.2:80 of TCP 192.0.2.1:80 answers its clients again").len();
    assert_eq!(told, 1, "{:?}", w.events);
    // The next time begins with the short one.
    w.silent(2, true);
    w.run(14.0);
    let waits = outs(&mut w, 30);
    assert!((5..=20).contains(&waits[0]), "{waits:?}");
}

/// How many seconds server 2 is out each time, for so long.
fn outs(w: &mut World, secs: u32) -> Vec<u32> {
    let (mut waits, mut out) = (vec![], 0);
    for _ in 0..secs {
        w.run(1.0);
        if w.servers() == ALL {
            if out > 0 {
                waits.push(out);
            }
            out = 0;
        } else {
            out += 1;
        }
    }
    waits
}

/// A few that are lost are few.
#[test]
fn a_healthy_server_is_never_out() {
    for (rate, lost, connections) in [(1, 0, 1), (4, 0, 1), (1000, 5, 5), (20, 10, 5)] {
        let text = service(&format!("mode = \"act\", connections = {connections}"), &[TCP, TCP, TCP]);
        let mut w = World::new(&text);
        w.busy(3, rate);
        w.clients(2).silent = lost;
        w.run(300.0);
        assert!(w.events.iter().all(|event| !event.contains("suspect")), "{rate} {lost}: {:?}", w.events);
        assert_eq!(w.servers(), ALL);
        let waiting = w.passive(2).waiting;
        assert_eq!(waiting > 0, lost > 0, "{waiting}");
    }
}

/// The network, or a flood, is the same for all: nobody is taken out, but it is said.
#[test]
fn when_none_answers_none_is_out() {
    let mut w = World::new(&service("mode = \"act\"", &[TCP, TCP, TCP]));
    w.busy(3, 4);
    w.run(30.0);
    (1..=3).for_each(|n| w.silent(n, true));
    w.run(120.0);
    assert_eq!(w.servers(), ALL);
    assert!((1..=3).all(|n| w.passive(n).standing == Standing::Suspect));
    // One comes back: then the others are out.
    w.silent(3, false);
    w.run(30.0);
    assert_eq!(w.servers(), "3=1");
    assert_eq!(w.told("TCP 192.0.2.1:80 is DOWN").len(), 0);
}

#[test]
fn the_last_server_stays() {
    let mut w = World::new(&service("mode = \"act\"", &[TCP]));
    w.busy(1, 4);
    w.silent(1, true);
    w.run(120.0);
    assert_eq!((w.servers().as_str(), w.passive(1).standing), ("1=1", Standing::Suspect));
}

/// Fewer than `connections`, or less than `percent`.
#[test]
fn thresholds() {
    for (settings, rate, expected) in [
        ("connections = 20", 1, Standing::Clear),
        ("connections = 20", 4, Standing::Suspect),
        ("connections = 1", 1, Standing::Suspect),
        ("connections = 20, window = \"60s\"", 1, Standing::Suspect),
    ] {
        let mut w = World::new(&service(&format!("mode = \"advise\", {settings}"), &[TCP, TCP]));
        w.busy(2, rate);
        w.silent(2, true);
        w.run(90.0);
        assert_eq!(w.passive(2).standing, expected, "{settings} {rate}");
    }
    // Half of the clients wait; those of the last second are not known for such yet.
    for (percent, expected) in [(35, Standing::Suspect), (60, Standing::Clear)] {
        let mut w = World::new(&service(&format!("mode = \"advise\", percent = {percent}"), &[TCP, TCP]));
        w.busy(2, 20);
        w.clients(2).silent = 50;
        w.run(60.0);
        assert_eq!(w.passive(2).standing, expected, "{percent}: {:?}", w.passive(2));
    }
}

/// Beside its time, a check must have passed since it was taken out.
#[test]
fn recovery_by_a_check() {
    for (recovery, standing) in [("check", Standing::Out), ("hold", Standing::Suspect)] {
        let passive = format!("mode = \"act\", hold = \"4s\", recovery = \"{recovery}\"");
        let mut w = World::new(&service(&passive, &[TCP, TCP, TCP]));
        w.busy(3, 4);
        w.silent(2, true);
        while w.servers() == ALL {
            w.run(0.5);
            assert!(w.seconds() < 20.0, "{:?}", w.events);
        }
        w.server(2, false);
        w.run(40.0);
        assert_eq!((w.servers().as_str(), w.passive(2).standing), ("1=1 3=1", standing), "{recovery}");
        w.server(2, true);
        w.silent(2, false);
        w.run(30.0);
        assert_eq!((w.servers().as_str(), w.passive(2).standing), (ALL, Standing::Clear), "{recovery}");
    }
    // The one that passed before it was taken out says nothing.
    let passive = "mode = \"act\", hold = \"1s\", recovery = \"check\"";
    let text = service(passive, &[TCP, TCP, TCP]).replace("delay_loop = \"5s\"", "delay_loop = \"30s\"");
    let mut w = World::new(&text);
    w.busy(3, 4);
    w.run(29.0);
    w.silent(2, true);
    w.run(14.0);
    assert_eq!(w.servers(), "1=1 3=1");
    w.until(59.0);
    assert_eq!(w.servers(), "1=1 3=1", "its last try was at 30 s");
    w.until(62.0);
    assert_eq!(w.servers(), ALL);
}

/// A server that is out stays out over a restart, for its time; and so does what is known of it over a reload.
#[test]
fn it_outlives_a_restart_and_a_reload() {
    let text = service("mode = \"act\", hold = \"40s\"", &[TCP, TCP, TCP]);
    let mut w = World::new(&text);
    w.busy(3, 4);
    w.silent(2, true);
    w.run(25.0);
    assert_eq!(w.servers(), "1=1 3=1");
    w.reload(&text);
    assert_eq!(w.servers(), "1=1 3=1", "a reload");
    let memory: Memory = serde_json::from_str(&serde_json::to_string(&w.machine.memory()).unwrap()).unwrap();
    assert_eq!(memory.trials.len(), 1);
    let mut next = World::started(w.now, &text, &memory, w.rules.clone(), 2);
    assert_eq!((next.servers().as_str(), next.orders), ("1=1 3=1", 0), "a restart");
    next.busy(3, 4);
    next.until(40.0);
    assert_eq!(next.servers(), "1=1 3=1");
    next.run(30.0);
    assert_eq!(
        (next.servers().as_str(), next.passive(2).standing),
        (ALL, Standing::Clear),
        "{:?}",
        next.events
    );
    // Turned off, or to advice: it comes back at once.
    for passive in ["mode = \"off\"", "mode = \"advise\""] {
        let mut again = World::started(w.now, &text, &memory, w.rules.clone(), 2);
        again.reload(&service(passive, &[TCP, TCP, TCP]));
        assert_eq!(again.servers(), ALL, "{passive}");
    }
}

/// With inhibit_on_failure it stays, with weight 0; DR servers of the same service are not watched.
#[test]
fn beside_other_words() {
    let text = service("mode = \"act\"", &["inhibit_on_failure = true", "", "method = \"DR\""]);
    let mut w = World::new(&text);
    w.busy(3, 4);
    w.silent(1, true);
    w.silent(3, true);
    w.run(25.0);
    assert_eq!(w.servers(), "1=0 2=1 3=1");
    assert!(w.machine.status().services[0].servers[2].passive.is_none());
    w.silent(1, false);
    w.run(60.0);
    assert_eq!((w.servers().as_str(), w.passive(1).standing), (ALL, Standing::Clear));
}

/// Global settings are for all that can be watched.
#[test]
fn for_all_services() {
    let text = "[global]\npassive = { mode = \"act\", hold = \"25s\" }\n".to_owned()
        + &service("hold = \"35s\"", &["", "", ""])
        + "[[virtual_server]]\nservice = \"192.0.2.1:53\"\nprotocol = \"udp\"\n\
           [[virtual_server.real_server]]\naddress = \"10.0.0.1:53\"\n";
    let mut w = World::new(&text);
    w.busy(3, 4);
    w.silent(2, true);
    w.run(15.0);
    assert_eq!(w.servers(), "1=1 3=1");
    let told = w.told("server 10.0.0.2:80 of TCP 192.0.2.1:80 is out for 35 s");
    assert_eq!(told.len(), 1, "{:?}", w.events);
    assert!(w.machine.status().services[1].servers[0].passive.is_none());
}
