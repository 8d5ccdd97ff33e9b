//! How many instructions the kernel's verifier looks at until it accepts a program: what it costs to load it, and how far
//! off the verifier's limit of a million is. The numbers in `bpf/verified.json` are to be looked at when they change.

use crate::compare::obey;
use crate::lab::in_a_namespace;
use aya::programs::{SchedClassifier, Xdp};
use aya_obj::programs::XdpAttachType;
use rlvs_control::Balancer;
use rlvs_control::Director;
use rlvs_control::attach::Mode;
use rlvs_control::bpffs::kernel_release;
use rlvs_control::model::{Family, Service, ServiceKey};
use rlvs_testkit::Order;
use std::collections::BTreeMap;

/// By kernel (`6.1`), by program.
type Snapshot = BTreeMap<String, BTreeMap<String, u32>>;

const HALF_OF_THE_LIMIT: u32 = 500_000;

#[test]
fn the_verifiers_work_is_as_reviewed() {
    let mut seen = BTreeMap::new();
    in_a_namespace(|director| {
        obey(director, &Order::parse("-A -t 10.0.0.100:80 -s rr"));
        count(director, &mut seen);
        let six = ServiceKey::Fwmark { mark: 6, family: Family::Inet6 };
        director.add_service(&Service::new(six, "rr")).unwrap();
        count(director, &mut seen);
    });
    assert_eq!(seen.len(), 7, "{seen:?}");
    let release = kernel_release();
    let kernel = release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let snapshot: Snapshot = serde_json::from_str(include_str!("../../bpf/verified.json")).unwrap();
    for (name, n) in &seen {
        assert!(*n < HALF_OF_THE_LIMIT, "{name}: {n} instructions");
        // Another patch of the same kernel may count a little differently.
        if let Some(reviewed) = snapshot.get(&kernel) {
            let was = reviewed.get(name).copied().unwrap_or(0);
            let off = n.abs_diff(was);
            assert!(
                off <= was / 50,
                "{name} on Linux {kernel}: {n} instructions, {was} were reviewed. If that is meant, put into \
                 bpf/verified.json: {}",
                serde_json::to_string(&seen).unwrap()
            );
        }
    }
}

fn count(director: &mut Director, seen: &mut BTreeMap<String, u32>) {
    for mode in [Mode::Skb, Mode::Xdp] {
        director.attach("c0", Some(mode), None).unwrap();
    }
    let instance = director.instance().unwrap().expect("an instance");
    let (dir, programs) = (instance.dir.clone(), instance.programs());
    for name in [programs.tc, "rlvs_command"] {
        let info = SchedClassifier::from_pin(dir.join(name)).unwrap().info().unwrap();
        seen.insert(name.to_owned(), info.verified_instruction_count().unwrap());
    }
    for name in [programs.xdp, programs.xdp_skb] {
        let info = Xdp::from_pin(dir.join(name), XdpAttachType::Interface).unwrap().info().unwrap();
        seen.insert(name.to_owned(), info.verified_instruction_count().unwrap());
    }
}
