//! What the kernel's schedulers chose, chosen again by the brain on the host.

use rlvs_testkit::choices::{RECORDINGS, Subject, replay};
use rlvs_testkit::order::Key;
use rlvs_testkit::{Order, Outcome, Sizes, World, arrive, audit, lab};
use std::collections::BTreeMap;

struct Host(World);

impl Subject for Host {
    fn obey(&mut self, order: &Order) {
        self.0.obey(order);
    }

    fn to(&mut self, frame: &[u8]) -> String {
        match arrive(&self.0, lab::C0, frame) {
            Outcome::Sent(sent) => lab::server_of(&sent.frame).expect("a server's MAC").to_string(),
            Outcome::Answered(..) => "c".into(),
            other => panic!("{other:?}"),
        }
    }

    fn loads(&mut self, key: Key) -> BTreeMap<u8, String> {
        let dests = self.0.dests(key);
        dests
            .into_iter()
            .map(|id| {
                let l = self.0.loads(id);
                assert_eq!(l.total, l.active + l.inactive);
                (self.0.dest_config(id).addr[0].bytes()[3], format!("{}/{}", l.active, l.inactive))
            })
            .collect()
    }

    fn describe(&mut self) -> String {
        self.0.to_string()
    }
}

#[test]
fn every_scheduler_chooses_as_the_kernel_did() {
    let mut replayed = Vec::new();
    for json in RECORDINGS {
        let sizes = Sizes { destinations: 512, connection_sets: 1024, ..Sizes::default() };
        let mut host = Host(lab::sized(sizes, 1));
        replayed.push(replay(json, &mut host));
        let wrong = audit(&host.0);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    let all = ["rr", "wrr", "lc", "wlc", "sed", "nq", "dh", "sh", "lblc", "lblcr", "mh", "fo", "ovf"];
    assert_eq!(replayed, all);
}
