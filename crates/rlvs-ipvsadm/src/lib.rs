//! `ipvsadm` 1.31, word for word, on any [`Balancer`].
//!
//! Read it in the order of a command's life: [`words`] cuts the command line the way popt does, [`options`] is
//! the one table of everything that can be said, [`parse`] makes a [`Command`] of it, [`legality`] refuses what
//! does not belong together, [`command`] gives the order to the balancer, and [`list`] or [`save`] write the
//! answer; [`manual`] writes manual pages and completions from the same table. A refused command line never reaches the balancer. What was seen of the original is in
//! `tests/golden`; where we differ on purpose is in `docs/compat.md`.

mod address;
mod command;
mod errors;
mod help;
mod legality;
mod list;
pub mod manual;
mod names;
mod number;
mod options;
mod parse;
mod restore;
mod save;
mod sched_flags;
mod schedulers;
mod words;

pub use command::Command;
pub use errors::{Refusal, report};
pub use list::{Columns, ListRequest, What};
pub use names::{Names, SystemNames};
pub use parse::parse;

use rlvs_control::Balancer;
use std::ffi::OsStr;
use std::io::{BufRead, Write};

/// What a program of the ipvsadm family reads, writes and looks names up in.
pub struct Io<'a> {
    pub stdin: &'a mut dyn BufRead,
    pub stdout: &'a mut dyn Write,
    pub stderr: &'a mut dyn Write,
    pub names: &'a dyn Names,
}

/// The program `ipvsadm`: `args` without the program's name; the answer is the exit status.
pub fn run<S: AsRef<OsStr>>(args: &[S], balancer: &mut dyn Balancer, io: &mut Io) -> i32 {
    match parse(&text(args), io.names) {
        Ok(command) => command.execute(balancer, io),
        Err(refusal) => refusal.report(io),
    }
}

/// The program `ipvsadm-save`: `[-n]`.
pub fn run_save<S: AsRef<OsStr>>(args: &[S], balancer: &mut dyn Balancer, io: &mut Io) -> i32 {
    match save::parse(&text(args)) {
        Ok(numeric) => Command::Save { numeric }.execute(balancer, io),
        Err(refusal) => refusal.report(io),
    }
}

/// The program `ipvsadm-restore`: empties the table, then carries out every line of standard input.
pub fn run_restore<S: AsRef<OsStr>>(args: &[S], balancer: &mut dyn Balancer, io: &mut Io) -> i32 {
    restore::program(&text(args), balancer, io)
}

/// No option's value needs bytes that are not UTF-8; such a word is refused like any other wrong word.
fn text<S: AsRef<OsStr>>(args: &[S]) -> Vec<String> {
    args.iter().map(|a| a.as_ref().to_string_lossy().into_owned()).collect()
}
