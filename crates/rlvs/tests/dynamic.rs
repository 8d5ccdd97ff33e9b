//! What dynamic weights are good for: servers of unequal speed, one at a third, under clients that wait for their answers.
//! `cargo test -p rlvs --test dynamic -- --nocapture` prints the figures of docs/weights.md.

use rlvs::simulate::dynamic::{Figures, Scenario, run};
use rlvs_core::sched::Scheduler;

const SEEDS: [u64; 3] = [1, 2, 3];

#[test]
fn unequal_servers_get_what_they_can_take() {
    println!("| scheduler | weights | requests | mean | p50 | p99 | deviation | busy | spread |");
    println!("|---|---|---|---|---|---|---|---|---|");
    // The least that p99, deviation and spread must improve, as ratios of fixed to dynamic.
    for (scheduler, least) in [
        (Scheduler::Rr, None),
        (Scheduler::Wrr, Some([4.0, 4.0, 2.0])),
        (Scheduler::Wlc, Some([2.0, 2.0, 1.0])),
    ] {
        for seed in SEEDS {
            let fixed = run(&Scenario::unequal(scheduler, false, seed));
            show(scheduler, "fixed", &fixed);
            let Some(least) = least else { continue };
            let dynamic = run(&Scenario::unequal(scheduler, true, seed));
            show(scheduler, "dynamic", &dynamic);
            let gains = [
                fixed.p99_ms / dynamic.p99_ms,
                fixed.deviation_ms / dynamic.deviation_ms,
                fixed.spread / dynamic.spread,
            ];
            println!("gains {gains:.2?}, weights {:?}, {} changes", dynamic.weights, dynamic.changes);
            for (gain, least) in gains.iter().zip(least) {
                assert!(*gain > least, "{} seed {seed}: {gains:?}, least {least:?}", scheduler.word());
            }
            assert!(dynamic.weights[2] < dynamic.weights[0].min(dynamic.weights[1]), "{:?}", dynamic.weights);
        }
    }
}

/// Where there is nothing to gain, little is lost.
#[test]
fn equal_servers_stay_equal() {
    for seed in SEEDS {
        let scenario =
            |dynamic| Scenario { speeds: vec![0.8; 3], ..Scenario::unequal(Scheduler::Wrr, dynamic, seed) };
        let (fixed, dynamic) = (run(&scenario(false)), run(&scenario(true)));
        show(Scheduler::Wrr, "fixed, equal servers", &fixed);
        show(Scheduler::Wrr, "dynamic, equal servers", &dynamic);
        println!("weights {:?}, {} changes", dynamic.weights, dynamic.changes);
        assert!(dynamic.p99_ms < fixed.p99_ms * 1.25, "{dynamic:?} {fixed:?}");
    }
}

fn show(scheduler: Scheduler, weights: &str, f: &Figures) {
    let busy: Vec<String> = f.busy.iter().map(|b| format!("{:.0} %", b * 100.0)).collect();
    println!(
        "| {} | {weights} | {} | {:.0} ms | {:.0} ms | {:.0} ms | {:.0} ms | {} | {:.0} % |",
        scheduler.word(),
        f.requests,
        f.mean_ms,
        f.p50_ms,
        f.p99_ms,
        f.deviation_ms,
        busy.join(", "),
        f.spread * 100.0
    );
}
