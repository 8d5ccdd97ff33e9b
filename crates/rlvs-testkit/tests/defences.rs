//! Automatic defences: whichever family's table is nearly full, they act.

use rlvs_core::maps::Settings;
use rlvs_core::maps::global::{CONNS, CONNS6, DEFENCE, DROP_ENTRY, DROP_RATE, SECURE, WORDS};
use rlvs_core::maps::sysctl::Setting;
use rlvs_core::mem::Mem;
use rlvs_core::path::watch;
use rlvs_testkit::{Rows, lab};

/// What the watch makes of two tables of 100,000 and 20,000 places, so many of them taken.
fn watched(settings: &Settings, taken: [u32; 2]) -> (u32, u32) {
    let rows = Rows::<WORDS>::new(1);
    let global = rows.row(0).expect("a row");
    global.store(CONNS, taken[0]);
    global.store(CONNS6, taken[1]);
    watch(settings, global, [100_000, 20_000]);
    (global.load(DEFENCE), global.load(DROP_RATE))
}

#[test]
fn either_table_calls_for_them() {
    let mut world = lab::world(1);
    let all = SECURE | DROP_ENTRY;
    // Half of IPv4's table, and so half of IPv6's.
    world.sysctl("amemthresh", 50_000 / 64);
    assert_eq!(watched(&world.settings, [99_000, 19_000]), (0, 0), "nobody asked for them");
    for setting in [Setting::DropEntry, Setting::DropPacket, Setting::SecureTcp] {
        world.settings.sysctl[setting as usize] = 1;
    }
    for (taken, (defences, drops)) in [
        ([0, 0], (0, false)),
        ([49_000, 9_800], (0, false)),
        ([51_000, 0], (all, true)),
        ([0, 10_200], (all, true)),
        ([100_000, 20_000], (all, true)),
    ] {
        let (seen, rate) = watched(&world.settings, taken);
        assert_eq!((seen, rate > 0), (defences, drops), "{taken:?}: one of {rate}");
    }
    let rate = |taken| watched(&world.settings, taken).1;
    assert!(rate([0, 10_200]) > rate([0, 19_000]), "the less is free, the more are dropped");
}
