//! Dynamic weights: what agents say, what an operator set, and what of both outlives a daemon.

use super::world::World;
use rlvs_daemon::machine::Memory;

/// One service with servers of weight 100, asked every second without averages and hysteresis; lines for all and for each.
fn service(all: &str, servers: &[&str]) -> String {
    let mut text = format!(
        "[[virtual_server]]\nservice = \"192.0.2.1:80\"\nweight = 100\n{all}\ntiming = {{ delay_loop = \"10s\", warmup = \"0s\", retry = 0 }}\n\
         agent = {{ port = 3333, interval = \"1s\", smoothing = \"0s\", hysteresis_percent = 0 }}\n"
    );
    for (n, lines) in (1..).zip(servers) {
        text += &format!("[[virtual_server.real_server]]\naddress = \"10.0.0.{n}:80\"\n{lines}\n");
    }
    text
}

const TCP: &str = "check = [{ type = \"tcp\" }]";

impl World {
    /// What server `n`'s agent says, and a second for it to be heard.
    fn says(&mut self, n: u8, words: &str) -> String {
        self.agents.insert(format!("agent 10.0.0.{n}:3333"), words.to_owned());
        self.run(1.0);
        self.servers()
    }

    /// `ipvsadm -e`
    fn by_hand(&mut self, n: u8, weight: u32) {
        let rule = self.rules.get_mut("TCP 192.0.2.1:80").unwrap();
        let addr: std::net::IpAddr = format!("10.0.0.{n}").parse().unwrap();
        rule.destinations.iter_mut().find(|d| d.addr == addr).unwrap().weight = weight;
    }

    fn pins(&self) -> Vec<(String, u32)> {
        let servers = self.machine.status().services.into_iter().flat_map(|s| s.servers);
        servers.flat_map(|s| s.pinned.into_iter().map(move |pin| (s.server.clone(), pin.weight))).collect()
    }
}

fn through_a_file(memory: &Memory) -> Memory {
    serde_json::from_str(&serde_json::to_string(memory).unwrap()).unwrap()
}

#[test]
fn a_weight_follows_its_agent() {
    let mut w = World::new(&service("", &["", ""]));
    assert_eq!(w.servers(), "1=100 2=100");
    assert_eq!(w.says(1, "up ready 50%"), "1=50 2=100");
    assert_eq!(w.says(1, "1%"), "1=10 2=100", "the floor");
    assert_eq!(w.says(2, "900%"), "1=10 2=200", "the ceiling");
    assert_eq!(w.says(1, "0%"), "1=0 2=200");
    assert_eq!(w.says(1, "70%"), "1=70 2=200");
    let status = w.machine.status();
    let agent = status.services[0].servers[0].agent.as_ref().unwrap();
    assert_eq!((agent.agent.as_str(), agent.answer_words.as_deref()), ("agent 10.0.0.1:3333", Some("70%")));
    assert_eq!((agent.weight, agent.smoothed_percent, agent.missed), (70, Some(70.0), 0));
    assert_eq!(w.told("server 10.0.0.1:80 of TCP 192.0.2.1:80: weight").len(), 4);
    assert!(w.told("server 10.0.0.1:80 of TCP 192.0.2.1:80: weight 100 to 50: up ready 50%").len() == 1);
}

/// Averages and hysteresis, as they are if nobody says otherwise.
#[test]
fn smoothing_and_hysteresis() {
    let text = service("", &["agent = { smoothing = \"10s\", hysteresis_percent = 10 }"]);
    let mut w = World::new(&text);
    w.says(1, "100%");
    w.says(1, "95%");
    w.run(60.0);
    assert_eq!(w.servers(), "1=100", "less than a tenth is nothing");
    w.says(1, "20%");
    w.run(9.0);
    let after_tau: u32 = w.servers().trim_start_matches("1=").parse().unwrap();
    assert!((45..=58).contains(&after_tau), "95 to 20, and 63 % of the way is 48: {after_tau}");
    let changes = w.told("server 10.0.0.1:80 of TCP 192.0.2.1:80: weight").len();
    assert!(changes < 8, "not at every answer: {changes}");
}

/// HAProxy: `drain` takes no new connections but those of persistent clients, `maint` and `down` none at all.
#[test]
fn drain_maint_down_up() {
    let mut w = World::new(&service("", &["", ""]));
    assert_eq!(w.says(1, "drain"), "1=0 2=100");
    assert!(w.machine.status().services[0].servers[0].up);
    assert_eq!(w.says(1, "50%"), "1=0 2=100", "until ready");
    assert_eq!(w.says(1, "ready"), "1=50 2=100");
    assert_eq!(w.says(1, "maint"), "2=100", "out of the rules");
    assert_eq!(w.says(1, "up"), "2=100", "until ready");
    assert_eq!(w.says(1, "ready"), "1=50 2=100");
    assert_eq!(w.says(1, "down#disk full"), "2=100");
    let server = w.machine.status().services[0].servers[0].clone();
    assert_eq!((server.up, server.reason.as_deref()), (false, Some("its agent says down: disk full")));
    assert_eq!(w.says(1, "100%"), "2=100", "until up");
    assert_eq!(w.says(1, "up"), "1=100 2=100");
    assert_eq!(w.says(1, "failed"), "2=100");
    assert_eq!(w.says(1, "up ready 100%"), "1=100 2=100");
    assert_eq!(w.told("agent 10.0.0.1:3333 says").len(), 8);
}

/// `up` is not enough: the checks have to pass, too.
#[test]
fn up_with_failing_checks_is_down() {
    let mut w = World::new(&service("", &[TCP, TCP]));
    w.says(1, "down");
    w.server(1, false);
    w.run(20.0);
    assert_eq!(w.says(1, "up"), "2=100");
    w.server(1, true);
    w.run(10.0);
    assert_eq!(w.servers(), "1=100 2=100");
}

#[test]
fn silence() {
    let text = service("", &["agent = { smoothing = \"10s\" }", ""]);
    let mut w = World::new(&text);
    w.run(5.0);
    assert_eq!(w.servers(), "1=100 2=100", "who never said anything has the configured weight");
    w.says(1, "20%");
    assert_eq!(w.says(2, "drain"), "1=20 2=0");
    w.says(2, "");
    assert_eq!(w.says(1, ""), "1=20 2=0");
    w.run(2.0);
    let at_first = w.servers();
    w.run(10.0);
    let later: u32 = w.servers().split(['=', ' ']).nth(1).unwrap().parse().unwrap();
    assert!(at_first.starts_with("1=2") && (60..=80).contains(&later), "slowly: {at_first}, {later}");
    w.run(60.0);
    assert_eq!(w.servers(), "1=100 2=0", "the word of the operator there stays");
    let agent = w.machine.status().services[0].servers[0].agent.clone().unwrap();
    assert!(agent.missed > 60 && agent.error.as_deref() == Some("silence"), "{agent:?}");
    assert!(!w.told("agent 10.0.0.1:3333 does not answer: silence").is_empty());
}

/// A part of the weight is no part of a life: the quorum counts whole servers, but not those that take nothing.
#[test]
fn the_quorum_counts_servers_not_percentages() {
    let all = "quorum = 200\nsorry_server = { address = \"10.0.0.200:80\" }";
    let mut w = World::new(&service(all, &["", "", ""]));
    w.says(1, "10%");
    w.says(2, "10%");
    assert_eq!(w.says(3, "10%"), "1=10 2=10 3=10");
    assert_eq!(w.says(1, "drain"), "1=0 2=10 3=10");
    assert_eq!(w.says(2, "maint"), "200=1");
}

/// One agent, two services: one question, and each service has its own bounds.
#[test]
fn an_agent_of_several_services_is_asked_once() {
    let one = service("", &[""]);
    let two =
        one.replace("192.0.2.1:80", "192.0.2.2:80").replace("smoothing", "floor_percent = 80, smoothing");
    let mut w = World::new(&format!("{one}{two}"));
    assert_eq!(w.says(1, "50%"), "1=50");
    assert_eq!(w.servers_of("TCP 192.0.2.2:80"), "1=80");
    w.until(10.0);
    assert!((9..=11).contains(&w.noted("ask").len()), "{:?}", w.noted("ask"));
}

#[test]
fn scripts_and_addresses() {
    let text = service(
        "",
        &[
            "agent = { script = { command = \"/usr/lib/load\" } }",
            "agent = { address = \"10.9.0.2:4444\", language = \"json\" }",
            "agent = { enabled = false }",
        ],
    );
    let mut w = World::new(&text);
    w.agents.insert("script /usr/lib/load 10.0.0.1 80".into(), "30%".into());
    w.agents.insert("agent 10.9.0.2:4444 (JSON)".into(), "{\"words\": \"40%\", \"cores\": 2}".into());
    assert_eq!(w.says(3, "drain"), "1=30 2=40 3=100");
    let agent = w.machine.status().services[0].servers[1].agent.clone().unwrap();
    assert_eq!(agent.answer.unwrap().measured.unwrap().cores, Some(2));
}

/// Checks that give weights and agents go together: a part of what the checks say.
#[test]
fn a_part_of_what_checks_say() {
    let check = "check = [{ type = \"misc\", command = \"load\", dynamic = true }]";
    let mut w = World::new(&service("", &[check]));
    w.says(1, "50%");
    w.answers.insert("MISC_CHECK load".into(), rlvs_daemon::machine::Outcome::Exit(42));
    w.run(10.0);
    assert_eq!(w.servers(), "1=20");
}

#[test]
fn a_weight_set_by_hand_is_kept() {
    let mut w = World::new(&service("", &[TCP, TCP]));
    assert_eq!(w.says(1, "50%"), "1=50 2=100");
    w.by_hand(1, 7);
    // Before anybody looks, the next order meets it.
    assert_eq!(w.says(1, "80%"), "1=7 2=100");
    assert_eq!(w.pins(), [("10.0.0.1:80".to_owned(), 7)]);
    assert_eq!(w.machine.status().services[0].servers[0].effective_weight, 7);
    w.says(1, "drain");
    assert_eq!(w.servers(), "1=7 2=100", "never changed");
    w.says(1, "ready 60%");
    // Without an order it is seen within seconds.
    w.by_hand(2, 33);
    w.run(6.0);
    assert_eq!(w.pins().len(), 2);
    // A dead server is dead; it returns with its pin.
    w.server(1, false);
    w.run(10.0);
    assert_eq!(w.servers(), "2=33");
    w.server(1, true);
    w.run(10.0);
    assert_eq!(w.servers(), "1=7 2=33");
    // Another one by hand is another pin; the configured weight is none.
    w.by_hand(1, 9);
    w.by_hand(2, 100);
    w.run(6.0);
    assert_eq!((w.servers(), w.pins().len()), ("1=9 2=100".into(), 1));
    assert_eq!(w.says(2, "40%"), "1=9 2=40");
    w.by_hand(1, 60);
    w.run(6.0);
    assert_eq!(w.pins(), [], "what the agent says is no pin, either");
    assert_eq!(w.says(1, "20%"), "1=20 2=40");
    assert_eq!(
        w.told("server 10.0.0.1:80 of TCP 192.0.2.1:80: weight 7 was set by hand, and is kept").len(),
        1
    );
}

#[test]
fn a_reload_keeps_pins_and_what_was_heard() {
    let mut w = World::new(&service("", &["", ""]));
    w.says(1, "50%");
    w.says(2, "60%");
    w.by_hand(1, 7);
    let difference = w.reload(&service("", &["", "", ""]));
    assert_eq!(w.servers(), "1=7 2=60 3=100");
    assert_eq!(difference.orders.len(), 1, "{difference:?}");
    // Without an agent there is nothing to pin against: the configuration holds.
    w.reload(&service("", &["agent = { enabled = false }", ""]));
    assert_eq!(w.servers(), "1=100 2=60");
}

#[test]
fn a_new_daemon_knows_what_was_heard_and_who_is_pinned() {
    let text = service("", &["", "", ""]);
    let mut w = World::new(&text);
    w.says(1, "50%");
    w.says(2, "drain");
    w.by_hand(3, 33);
    w.run(6.0);
    let memory = through_a_file(&w.machine.memory());
    let next = World::started(w.now, &text, &memory, w.rules.clone(), 2);
    assert_eq!((next.orders, next.servers()), (0, "1=50 2=0 3=33".into()));
    assert_eq!(next.pins(), [("10.0.0.3:80".to_owned(), 33)]);
    // What was set while no daemon ran is a pin, too.
    w.by_hand(1, 5);
    let next = World::started(w.now, &text, &memory, w.rules.clone(), 2);
    assert_eq!((next.orders, next.servers()), (0, "1=5 2=0 3=33".into()));
    assert_eq!(next.pins().len(), 2);
}

/// Written before the orders: who dies in between leaves weights of before, which are nobody's pins.
#[test]
fn a_death_between_memory_and_orders_pins_nothing() {
    let text = service("", &["", ""]);
    let mut w = World::new(&text);
    w.says(1, "50%");
    let before = w.rules.clone();
    w.says(1, "80%");
    let memory = through_a_file(&w.machine.memory());
    let next = World::started(w.now, &text, &memory, before, 2);
    assert_eq!((next.servers(), next.pins()), ("1=80 2=100".into(), vec![]));
}

#[test]
fn orders_that_fail_pin_nothing() {
    let mut w = World::new(&service("", &["", ""]));
    w.says(1, "50%");
    w.broken = true;
    w.says(1, "80%");
    w.broken = false;
    w.run(20.0);
    assert_eq!((w.servers(), w.pins()), ("1=80 2=100".into(), vec![]));
}

/// Not asked while the address is elsewhere.
#[test]
fn suspended() {
    let mut w = World::new(&service("ha_suspend = true", &[""]));
    w.run(10.0);
    assert_eq!(w.noted("ask").len(), 0);
    w.addresses(&["192.0.2.1"]);
    w.run(3.0);
    assert!(w.noted("ask").len() >= 2);
}

/// Days of random words, silence, hands, deaths and reloads. A pin is never changed, weights stay within bounds, and in the
/// end, when all is quiet, every weight is what the last words come to.
#[test]
fn days_of_talk() {
    for seed in 0..20u64 {
        let text = service("", &[TCP, TCP, TCP]);
        let mut w = World::new(&text);
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut pick = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let words = [
            "up 10%",
            "ready 130%",
            "drain",
            "maint",
            "down#x",
            "up ready",
            "0%",
            "",
            "77%",
            "{\"words\":\"5%\"}",
        ];
        for _ in 0..400 {
            let n = pick(3) as u8 + 1;
            match pick(12) {
                0 => w.server(n, pick(2) == 0),
                1 if w.servers().contains(&format!("{n}=")) => w.by_hand(n, 300 + pick(50) as u32),
                2 => {
                    w.reload(&text);
                }
                3 => {
                    let memory = through_a_file(&w.machine.memory());
                    let (answers, agents) = (w.answers.clone(), w.agents.clone());
                    w = World::started(w.now, &text, &memory, w.rules.clone(), pick(100));
                    (w.answers, w.agents) = (answers, agents);
                }
                _ => {
                    let said = words[pick(words.len() as u64) as usize];
                    w.agents.insert(format!("agent 10.0.0.{n}:3333"), said.into());
                }
            }
            let by_hand: Vec<(String, u32)> = w
                .rules
                .values()
                .flat_map(|rule| &rule.destinations)
                .filter(|d| d.weight >= 300)
                .map(|d| (d.addr.to_string(), d.weight))
                .collect();
            w.run(pick(20) as f64 / 4.0);
            for d in w.rules.values().flat_map(|rule| &rule.destinations) {
                let weight = d.weight;
                assert!(
                    weight == 0 || (10..=200).contains(&weight) || weight >= 300,
                    "seed {seed}: {weight}"
                );
                let pin = by_hand.iter().find(|(addr, _)| *addr == d.addr.to_string());
                assert!(pin.is_none_or(|(_, pin)| *pin == weight), "seed {seed}: {pin:?} became {weight}");
            }
        }
        for n in 1..=3 {
            w.server(n, true);
            w.agents.insert(format!("agent 10.0.0.{n}:3333"), format!("up ready {}%", 20 * u32::from(n)));
        }
        w.run(30.0);
        (1..=3).for_each(|n| w.by_hand(n, 100));
        w.run(30.0);
        assert_eq!((w.servers(), w.pins()), ("1=20 2=40 3=60".into(), vec![]), "seed {seed}");
    }
}
