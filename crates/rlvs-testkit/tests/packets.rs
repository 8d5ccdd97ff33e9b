//! The kernel's recorded packets through the brain on the host: what came out of Linux comes out of us. Then rows of our own.

use rlvs_testkit::golden::{self, Story};
use rlvs_testkit::{Driver, Outcome, Stack, World, arrive, receive, rows};

/// Steps that are not replayed, by recording; all others are.
const LEFT_OUT: [(&str, &[&str]); 16] = [
    ("c2-nat", &NAT),
    ("c2-dr", &ONE_WAY),
    ("c2-tun-ipip", &ONE_WAY),
    ("c2-mtu-nat", &[]),
    ("c2-mtu-dr", &[]),
    ("c2-mtu-tun", &[]),
    ("c2-mtu-tun-pmtu-off", &[]),
    ("c2-tun-gre", &ONE_WAY),
    ("c2-tun-gre-csum", &ONE_WAY),
    ("c2-tun-gue", &ONE_WAY),
    ("c2-tun-gue-csum", &ONE_WAY),
    ("c2-tun-gue-remcsum", &ONE_WAY),
    ("c2-tun-4in4-gre", &[]),
    ("c2-tun-4in4-gre-csum", &[]),
    ("c2-tun-4in4-gue", &[]),
    ("c2-tun-4in4-gue-csum", &[]),
];
const ONE_WAY: [&str; 4] = [
    "first fragment of a UDP datagram",
    "second fragment",
    "fragments in reverse order: second first",
    "fragments in reverse order: then first",
];
const NAT: [&str; 6] =
    [ONE_WAY[0], ONE_WAY[1], ONE_WAY[2], ONE_WAY[3], "server fragment 1", "server fragment 2"];

/// Replays a story; all that differs.
fn replay(story: &Story, carry: impl Fn(&World, u32, &[u8]) -> Outcome) -> Vec<String> {
    let mut world = story.world();
    let differences: Vec<String> = story
        .steps
        .iter()
        .filter_map(|step| {
            step.orders.iter().for_each(|o| world.obey(o));
            step.difference(&carry(&world, step.ifindex(), &step.frame))
        })
        .map(|d| format!("{}: {d}", story.sentence))
        .collect();
    if !differences.is_empty() {
        eprintln!("{world}");
    }
    differences
}

#[test]
fn xdp_and_tc_together_emit_what_the_kernel_did() {
    let differences: Vec<String> = golden::stories().iter().flat_map(|s| replay(s, arrive)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn tc_alone_does_too() {
    let differences: Vec<String> =
        golden::stories().iter().flat_map(|s| replay(s, |w, i, f| receive::<Stack>(w, 0, i, f))).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn xdp_finishes_the_common_case() {
    for story in golden::stories() {
        let world = story.world();
        let sent = story
            .steps
            .iter()
            .filter(|s| {
                // The first packet of a second goes up, for the neighbour's sake; then the way is known.
                receive::<Stack>(&world, 0, s.ifindex(), &s.frame);
                matches!(receive::<Driver>(&world, 0, s.ifindex(), &s.frame), Outcome::Sent(_))
            })
            .count();
        // A checksum over everything inside is TC's.
        let least = if story.sentence.contains("csum: ") { 0 } else { 4 };
        assert!(sent >= least, "{}: XDP finished {sent} of {} steps", story.sentence, story.steps.len());
    }
}

#[test]
fn nothing_else_is_left_out() {
    for (story, (name, labels)) in golden::stories().iter().zip(LEFT_OUT) {
        assert!(story.sentence.starts_with(&format!("{name}:")));
        let left_out: Vec<&str> = story.left_out.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(left_out, labels, "{name}");
        assert!(story.left_out.iter().all(|(_, why)| why.contains("docs/compat.md")));
    }
}

#[test]
fn our_own_rows() {
    let differences: Vec<String> = rows::stories()
        .iter()
        .flat_map(|s| [replay(s, arrive), replay(s, |w, i, f| receive::<Stack>(w, 0, i, f))].concat())
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_changed_byte_is_seen() {
    let mut story = golden::stories().remove(0);
    let golden::Expected::Frame(frame) = &mut story.steps[0].expected else { panic!("a frame") };
    *frame.last_mut().unwrap() ^= 1;
    assert_eq!(replay(&story, arrive).len(), 1);
}
