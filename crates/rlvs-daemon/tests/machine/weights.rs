//! Weights: as they are written, and as scripts and files say.

use super::world::{World, one_service};
use rlvs_daemon::machine::Outcome;

#[test]
fn weight() {
    let w = World::new(&one_service("weight 5", &["", "weight 7", "weight 0"]));
    assert_eq!(w.servers(), "1=5 2=7 3=0");
}

#[test]
fn misc_dynamic() {
    let misc = "weight 10\nMISC_CHECK {\nmisc_path \"load\"\nmisc_dynamic\n}";
    let mut w = World::new(&one_service("", &[misc, "weight 3"]));
    let mut says = |status: u8| {
        w.answers.insert("MISC_CHECK load".into(), Outcome::Exit(status));
        w.run(10.0);
        w.servers()
    };
    assert_eq!(says(0), "1=10 2=3", "as configured");
    assert_eq!(says(22), "1=20 2=3");
    assert_eq!(says(0), "1=20 2=3", "0 leaves it as it is");
    assert_eq!(says(2), "1=0 2=3");
    assert_eq!(says(255), "1=253 2=3");
    assert_eq!(says(1), "2=3", "a failure");
    assert_eq!(says(7), "1=5 2=3");
}

#[test]
fn an_exit_status_without_misc_dynamic() {
    let mut w = World::new(&one_service("", &["MISC_CHECK {\nmisc_path \"load\"\n}"]));
    w.answers.insert("MISC_CHECK load".into(), Outcome::Exit(7));
    w.run(10.0);
    assert_eq!(w.servers(), "");
}

/// A weight of 0 is alive, but gives no quorum.
#[test]
fn a_dynamic_weight_counts_for_the_quorum() {
    let misc = "MISC_CHECK {\nmisc_path \"load\"\nmisc_dynamic\n}";
    let mut w = World::new(&one_service("sorry_server 10.0.0.200 80", &[misc]));
    w.answers.insert("MISC_CHECK load".into(), Outcome::Exit(2));
    w.run(10.0);
    assert_eq!(w.servers(), "200=1");
    assert!(w.machine.status().services[0].servers[0].up);
    w.answers.insert("MISC_CHECK load".into(), Outcome::Exit(3));
    w.run(10.0);
    assert_eq!(w.servers(), "1=1");
}

#[test]
fn file_check() {
    let file = |lines: &str| format!("weight 10\nFILE_CHECK {{\ntrack_file m\n{lines}\n}}");
    let text = |lines: &str| {
        format!("track_file m {{\nfile \"/run/m\"\nweight 2\n}}\n{}", one_service("", &[&file(lines)]))
    };
    let mut w = World::new(&text("dynamic"));
    let mut says = |number: i64| {
        w.answers.insert("FILE_CHECK m".into(), Outcome::Number(number));
        w.run(1.0);
        w.servers()
    };
    assert_eq!(
        (says(0), says(3), says(-3), says(-9)),
        ("1=10".into(), "1=16".into(), "1=4".into(), "1=0".into())
    );
    assert_eq!(says(-127), "", "-254 is a failure");
    let mut w = World::new(&text("weight 0"));
    w.answers.insert("FILE_CHECK m".into(), Outcome::Number(1));
    w.run(1.0);
    assert_eq!(w.servers(), "", "with a factor of 0 it is a switch");
}
