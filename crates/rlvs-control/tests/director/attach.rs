//! Programs on interfaces: one mode after another, without a pause between.

use crate::compare::obey;
use crate::lab::in_a_namespace;
use rlvs_control::attach::{Mode, attached};
use rlvs_control::model::{Family, Service, ServiceKey};
use rlvs_control::{Balancer, Director};
use rlvs_testkit::Order;

#[test]
fn modes_follow_each_other_at_once() {
    in_a_namespace(|director| {
        for _ in 0..3 {
            obey(director, &Order::parse("-A -t 10.0.0.100:80 -s rr"));
            for mode in [Mode::Skb, Mode::Xdp, Mode::Tc].repeat(10) {
                let got = director.attach("c0", Some(mode), None).unwrap_or_else(|e| panic!("{mode:?}: {e}"));
                assert_eq!(got, mode);
                let list = attached(director.instance().unwrap().map(|i| &*i)).unwrap();
                assert_eq!(list.iter().find(|a| a.name == "c0").unwrap().mode, Some(mode));
            }
            director.attach("c0", Some(Mode::Xdp), None).unwrap();
            director.down().unwrap();
        }
    });
}

#[test]
fn the_first_service_of_ipv6_brings_programs_for_it() {
    in_a_namespace(|director| {
        obey(director, &Order::parse("-A -t 10.0.0.100:80 -s rr"));
        director.attach("c0", Some(Mode::Xdp), None).unwrap();
        director.attach("s0", Some(Mode::Skb), None).unwrap();
        assert_eq!(ours(director), ["rlvs_command", "rlvs_tc4", "rlvs_xdp4", "rlvs_xdp4_skb"]);
        for _ in 0..2 {
            let key = ServiceKey::Fwmark { mark: 6, family: Family::Inet6 };
            director.add_service(&Service::new(key, "rr")).unwrap();
            assert_eq!(ours(director), ["rlvs_command", "rlvs_tc", "rlvs_xdp", "rlvs_xdp_skb"]);
            director.delete_service(&key).unwrap();
        }
        let list = attached(director.instance().unwrap().map(|i| &*i)).unwrap();
        let mode = |name| list.iter().find(|a| a.name == name).unwrap().mode;
        assert_eq!((mode("c0"), mode("s0")), (Some(Mode::Xdp), Some(Mode::Skb)));
        // And what is attached later.
        director.attach("s0", Some(Mode::Xdp), None).unwrap();
        assert_eq!(ours(director), ["rlvs_command", "rlvs_tc", "rlvs_xdp", "rlvs_xdp_skb"]);
    });
}

/// The pinned programs.
fn ours(director: &mut Director) -> Vec<String> {
    let dir = director.instance().unwrap().expect("an instance").dir.clone();
    let files = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let mut programs: Vec<String> = files.filter(|name| name.starts_with("rlvs_")).collect();
    programs.sort();
    programs
}
