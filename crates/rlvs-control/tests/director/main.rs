//! The loaded programs against the brain on the host: the same rows through both, by `BPF_PROG_TEST_RUN`. Verdicts,
//! bytes, drop counters, loads and connection states must be the same. IPv6 is held against the recordings alone. Needs
//! root.

mod answers;
mod attach;
mod choices;
mod compare;
mod drift;
mod extensions;
mod fragments;
mod hostile;
mod killed;
mod lab;
mod pieces;
mod run;
mod six;
mod states;
mod stories;
mod thinning;
mod verified;

use compare::compare;
use rlvs_testkit::{golden, rows};
use run::Way;

fn all(way: Way) {
    let wrong = compare(&[golden::stories(), rows::stories()].concat(), way);
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn native_xdp_then_tc() {
    all(Way::Xdp);
}

#[test]
fn generic_xdp_then_tc() {
    all(Way::XdpSkb);
}

#[test]
fn tc_alone() {
    all(Way::Tc);
}

#[test]
fn every_scheduler_chooses_as_the_kernel_did() {
    choices::every_scheduler(Way::Tc);
}

#[test]
fn every_state_is_the_kernels_in_xdp() {
    states::every_state(Way::Xdp);
}

#[test]
fn every_state_is_the_kernels_in_tc() {
    states::every_state(Way::Tc);
}

#[test]
fn every_story_is_the_kernels_in_xdp() {
    stories::every_story(Way::Xdp);
}

#[test]
fn every_story_is_the_kernels_in_tc() {
    stories::every_story(Way::Tc);
}

#[test]
fn counts_do_not_drift_in_xdp() {
    drift::nothing_drifts(Way::Xdp, 100_000);
}

#[test]
fn counts_do_not_drift_in_tc() {
    drift::nothing_drifts(Way::Tc, 20_000);
}

#[test]
fn fragments_in_any_order_behind_xdp() {
    fragments::any_order(Way::XdpSkb);
}

#[test]
fn fragments_in_any_order_in_tc() {
    fragments::any_order(Way::Tc);
}

#[test]
fn pieces_of_tunnels_to_ipv6_behind_xdp() {
    pieces::to_ipv6(Way::XdpSkb);
}

#[test]
fn pieces_of_tunnels_to_ipv6_in_tc() {
    pieces::to_ipv6(Way::Tc);
}

#[test]
fn hostile_packets_in_xdp() {
    hostile::agree(Way::Xdp);
}

#[test]
fn hostile_packets_in_tc() {
    hostile::agree(Way::Tc);
}

#[test]
fn hostile_packets_of_ipv6_in_xdp() {
    six::hostile(Way::Xdp);
}

#[test]
fn hostile_packets_of_ipv6_in_tc() {
    six::hostile(Way::Tc);
}
