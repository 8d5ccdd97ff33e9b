//! Weights that real servers say themselves: `rlvs realserver agent` on them, `ipvsadm -e` against them.

use super::lab::{Farm, SOON, name};
use crate::common::{RLVS, ipvsadm, listing, rlvs, wait_for, wait_until, within};
use rlvs::lab::VIP;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Agents on the real servers, ended with it.
struct Agents {
    children: Vec<Child>,
    states: Vec<std::path::PathBuf>,
}

impl Agents {
    fn start(farm: &Farm, servers: &[usize]) -> Agents {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut agents = Agents { children: vec![], states: vec![] };
        for n in servers {
            let host = farm.lab.server(*n);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let state = std::env::temp_dir().join(format!("rlvs-agents-{}-{number}", std::process::id()));
            let _ = std::fs::remove_file(&state);
            let mut command = host.command(RLVS);
            // Of an idle machine it may say any percentage: the tests force theirs.
            command.args(["realserver", "agent", "--state", state.to_str().expect("text")]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            agents.children.push(host.start(command).expect("an agent"));
            agents.states.push(state);
            agents.say(farm, *n, agents.states.len() - 1, "100%");
        }
        agents
    }

    fn say(&self, farm: &Farm, n: usize, index: usize, word: &str) {
        let state = self.states[index].to_str().expect("text");
        rlvs(farm.lab.server(n), &format!("realserver agent set {word} --state {state}"));
    }

    fn kill(&mut self, index: usize) {
        let mut child = self.children.remove(index);
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for state in &self.states {
            let _ = std::fs::remove_file(state);
        }
    }
}

fn toml(farm: &Farm, all: &str, third: &str) -> String {
    let mut text = format!(
        "[[virtual_server]]\nservice = \"{VIP}:8000\"\nscheduler = \"wrr\"\nweight = 100\n\
         agent = {{ port = 3333, interval = \"200ms\", smoothing = \"0s\", hysteresis_percent = 0, {all} }}\n"
    );
    for n in 1..=3 {
        let third = if n == 3 { third } else { "" };
        text += &format!(
            "[[virtual_server.real_server]]\naddress = \"{}:8000\"\n{third}\n",
            farm.lab.server(n).addr()
        );
    }
    text
}

/// The weights of the three servers; of one that is not there, none.
fn weights(farm: &Farm) -> Vec<Option<u32>> {
    let lines = listing(&farm.lab);
    let of = |n| {
        let server = format!("{}:8000", farm.lab.server(n).addr());
        lines.iter().find(|line| line.service == name() && line.server == server).map(|line| line.weight)
    };
    (1..=3).map(of).collect()
}

fn wait_for_weights(farm: &Farm, wanted: [Option<u32>; 3]) {
    let mut seen = vec![];
    let end = std::time::Instant::now() + SOON;
    while std::time::Instant::now() < end {
        seen = weights(farm);
        if seen == wanted {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{seen:?} are not {wanted:?}\n{}", rlvs(farm.lab.director(), "status"));
}

/// Agents over words and JSON, and a script; then an operator's hand, a drain, a death and a silence.
#[test]
fn weights_follow_agents_and_never_an_operator() {
    within(150, || {
        let mut farm = Farm::toml();
        let script = std::env::temp_dir().join(format!("rlvs-agents-{}.said", std::process::id()));
        std::fs::write(&script, "up 70%\n").unwrap();
        let third =
            format!("agent = {{ script = {{ command = \"/bin/sh -c 'cat {}'\" }} }}", script.display());
        farm.write(&toml(&farm, "", &third));
        let mut agents = Agents::start(&farm, &[1, 2]);
        // Removed with the others, also when something fails.
        agents.states.push(script.clone());
        farm.start(&[]);
        wait_for_weights(&farm, [Some(100), Some(100), Some(70)]);
        agents.say(&farm, 1, 0, "25%");
        wait_for_weights(&farm, [Some(25), Some(100), Some(70)]);
        let shown = rlvs(farm.lab.director(), "status");
        assert!(
            shown.contains(&format!("agent {}:3333 says up ready 25%", farm.lab.server(1).addr())),
            "{shown}"
        );
        assert!(shown.contains("says up 70%"), "{shown}");

        // HAProxy's words.
        agents.say(&farm, 2, 1, "maint");
        wait_for_weights(&farm, [Some(25), None, Some(70)]);
        agents.say(&farm, 2, 1, "drain");
        // maint is cancelled by ready alone.
        agents.say(&farm, 2, 1, "50%");
        wait_for_weights(&farm, [Some(25), Some(50), Some(70)]);
        agents.say(&farm, 2, 1, "drain");
        wait_for_weights(&farm, [Some(25), Some(0), Some(70)]);
        agents.say(&farm, 2, 1, "100%");
        wait_for_weights(&farm, [Some(25), Some(100), Some(70)]);

        // By hand.
        let server = format!("{}:8000", farm.lab.server(1).addr());
        let by_hand =
            |weight: u32| ipvsadm(&farm.lab, &format!("-e -t {VIP}:8000 -r {server} -m -w {weight}"));
        by_hand(33);
        agents.say(&farm, 1, 0, "60%");
        wait_for("the pin", SOON, || {
            let health = farm.try_health()?;
            let server = &health["services"][0]["servers"][0];
            let heard = server["agent"]["answer_words"].as_str()?.ends_with("60%");
            (heard && server["pinned"][0]["weight"] == 33).then_some(())
        });
        assert_eq!(weights(&farm)[0], Some(33));
        farm.kill();
        farm.start(&[]);
        wait_until("the agent asked again", SOON, || {
            farm.try_health()
                .is_some_and(|h| h["services"][0]["servers"][0]["agent"]["answer_words"].is_string())
        });
        assert_eq!(weights(&farm)[0], Some(33), "not even by another daemon");
        assert_eq!(farm.try_health().unwrap()["services"][0]["servers"][0]["pinned"][0]["weight"], 33);
        let shown = rlvs(farm.lab.director(), "status");
        assert!(shown.contains("weight 33 was set by hand"), "{shown}");
        let by_hand =
            |weight: u32| ipvsadm(&farm.lab, &format!("-e -t {VIP}:8000 -r {server} -m -w {weight}"));
        by_hand(100);
        wait_for_weights(&farm, [Some(60), Some(100), Some(70)]);

        // A drained server stays at 0; undraining restores what its agent says then.
        rlvs(farm.lab.director(), &format!("drain {server} --deadline 0s"));
        agents.say(&farm, 1, 0, "40%");
        wait_until("heard", SOON, || {
            farm.try_health().is_some_and(|h| h["services"][0]["servers"][0]["agent"]["weight"] == 40)
        });
        assert_eq!(weights(&farm)[0], Some(0));
        rlvs(farm.lab.director(), &format!("undrain {server}"));
        wait_for_weights(&farm, [Some(40), Some(100), Some(70)]);

        // Nobody answers: the configured weight again.
        agents.kill(0);
        std::fs::write(&script, "nonsense\n").unwrap();
        wait_for_weights(&farm, [Some(100), Some(100), Some(100)]);
        let health = farm.try_health().unwrap();
        let error = health["services"][0]["servers"][2]["agent"]["error"].as_str().unwrap().to_owned();
        assert!(error.contains("\"nonsense\" is no word of an answer"), "{error}");
    });
}

/// Whatever an agent sends, for however long, the others are asked and nothing breaks.
#[test]
fn agents_that_mean_ill() {
    within(90, || {
        let mut farm = Farm::toml();
        farm.write(&toml(
            &farm,
            "language = \"json\", timeout = \"500ms\"",
            "agent = { language = \"words\" }",
        ));
        let agents = Agents::start(&farm, &[1]);
        let evil = |n: usize, what: &'static [u8]| {
            let listener =
                farm.lab.server(n).run(|| std::net::TcpListener::bind("0.0.0.0:3333")).expect("a listener");
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    std::thread::spawn(move || {
                        use std::io::Write;
                        let mut stream = stream;
                        while stream.write_all(what).is_ok() {}
                    });
                }
            });
        };
        evil(2, b"HTTP/1.1 200 OK\r\n\r\n{\"words\": \"up\"[[[[[[[[[[[[[[[[[");
        evil(3, b"\xff\0drain");
        farm.start(&[]);
        agents.say(&farm, 1, 0, "20%");
        wait_for_weights(&farm, [Some(20), Some(100), Some(100)]);
        wait_until("refusals", SOON, || {
            let health = farm.try_health().expect("a daemon");
            let servers = health["services"][0]["servers"].as_array().expect("servers").clone();
            servers[1..]
                .iter()
                .all(|s| s["agent"]["error"].is_string() && s["agent"]["missed"].as_u64() > Some(3))
        });
        let health = farm.try_health().unwrap();
        assert_eq!(
            health["services"][0]["servers"][0]["agent"]["answer"]["measured"]["cores"]
                .as_u64()
                .map(|n| n > 0),
            Some(true)
        );
    });
}
