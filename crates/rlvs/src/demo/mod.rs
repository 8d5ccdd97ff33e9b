//! `rlvs demo`: the whole thing at work, on one machine, in less than half a minute. For each way of forwarding it makes
//! a lab (see [`crate::lab`]), types the commands an operator would type, sends real TCP and UDP through the director,
//! and compares who served what with what the schedulers promise.
//!
//! `scene` sets the lab up, `traffic` runs the requests, `report` prints.

mod report;
mod scene;
mod traffic;

use crate::lab::{self, Lab, Topology};
use anyhow::{Result, bail};
use report::Report;
use std::time::Instant;

/// A way of forwarding, by the word an operator uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Nat,
    Dr,
    Tun,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Nat => "NAT",
            Mode::Dr => "DR",
            Mode::Tun => "TUN",
        }
    }

    fn topology(self) -> Topology {
        match self {
            Mode::Nat => Topology::Nat,
            Mode::Dr => Topology::Dr,
            Mode::Tun => Topology::Tun,
        }
    }
}

/// Shows `modes` one after the other. An error if anything did not work as it should.
pub fn run(modes: &[Mode], keep: bool) -> Result<()> {
    lab::require_root()?;
    let mut report = Report::to_stdout();
    report.opening()?;
    let mut kept = vec![];
    let mut wrong = 0;
    for &mode in modes {
        let began = Instant::now();
        match show(mode, &mut report) {
            Ok((lab, mistakes)) => {
                wrong += mistakes;
                report.end_of_mode(mode, began.elapsed())?;
                if keep {
                    kept.push(lab.director().namespace().to_owned());
                    lab.keep()?;
                }
            }
            Err(_) if lab::interrupted() => wait_for_the_end(),
            Err(error) => return Err(error.context(format!("the {} demo failed", mode.name()))),
        }
    }
    if wrong > 0 {
        bail!("{wrong} of the results above are not what they should be");
    }
    report.closing(&kept)?;
    Ok(())
}

/// Removes what `--keep` left.
pub fn remove() -> Result<()> {
    lab::require_root()?;
    match lab::remove_kept() {
        0 => println!("There is no lab to remove."),
        1 => println!("One lab removed."),
        n => println!("{n} labs removed."),
    }
    Ok(())
}

/// One mode from beginning to end; returns the lab and how many results were wrong.
fn show(mode: Mode, report: &mut Report) -> Result<(Lab, usize)> {
    report.mode(mode)?;
    let lab = scene::set(mode)?;
    report.commands(&scene::rules(mode)[0])?;
    report.listing(&scene::ipvsadm(&lab, "-Ln")?)?;
    let shares =
        scene::services().iter().map(|service| traffic::share(&lab, service)).collect::<Result<Vec<_>>>()?;
    report.shares(&shares)?;
    let transfers = traffic::transfers(&lab)?;
    report.transfers(&transfers)?;
    let wrong = shares.iter().filter(|share| !share.is_right()).count();
    Ok((lab, wrong))
}

/// A signal is ending the program: the thread that caught it removes the lab and exits.
fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}
