//! Programs on interfaces: one mode after another, without a pause between.

use crate::compare::obey;
use crate::lab::in_a_namespace;
use rlvs_control::attach::{Mode, attached};
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
