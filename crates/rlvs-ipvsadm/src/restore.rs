//! `ipvsadm -R` and the program `ipvsadm-restore`: every line of standard input is a command line.
//!
//! A line with a wrong option, and one that the balancer refuses, is complained of, and the next one is read. A
//! line that says something wrong ends it, and so does a listing of what is not there, `-h` and `-v` (so it was
//! seen). The exit status is that of the last line that was read.

use crate::command::Command;
use crate::errors::{FAILED, NOT_ALLOWED, Refusal, report, try_help};
use crate::names::Names;
use crate::{Io, parse};
use rlvs_control::Balancer;
use std::io;
use std::ops::ControlFlow;

/// What is known of a line.
type Line = Result<Command, Refusal>;

/// `ipvsadm -R`: line by line, so that commands can be piped into it one after the other.
pub fn restore(balancer: &mut dyn Balancer, io: &mut Io) -> i32 {
    let mut status = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        match io.stdin.read_until(b'\n', &mut line) {
            Ok(0) => return status,
            Ok(_) => {}
            Err(error) => return unreadable(&error, io),
        }
        if let Some(line) = understand(&String::from_utf8_lossy(&line), io.names) {
            match carry_out(&line, balancer, io) {
                ControlFlow::Continue(last) => status = last,
                ControlFlow::Break(last) => return last,
            }
        }
    }
}

/// `ipvsadm-restore`: the table is emptied first, and lines that begin with `#` are comments. Unlike the
/// original we read everything before we touch the table: a file with a mistake in it leaves the table alone.
pub fn program(args: &[String], balancer: &mut dyn Balancer, io: &mut Io) -> i32 {
    if args.iter().any(|a| a == "-h" || a == "--help") {
        return 0;
    }
    let mut text = Vec::new();
    if let Err(error) = io.stdin.read_to_end(&mut text) {
        return unreadable(&error, io);
    }
    let text = String::from_utf8_lossy(&text);
    let lines = text.split_terminator('\n').filter(|l| !l.starts_with('#'));
    let lines: Vec<Line> = lines.filter_map(|l| understand(l, io.names)).collect();
    if let Some(mistake) = first_mistake(&lines) {
        return mistake.report(io);
    }
    if let Err(error) = balancer.clear() {
        return report(&error, FAILED, io);
    }
    let mut status = 0;
    for line in &lines {
        match carry_out(line, balancer, io) {
            ControlFlow::Continue(last) => status = last,
            ControlFlow::Break(last) => return last,
        }
    }
    status
}

/// The first line that would end the restore halfway.
fn first_mistake(lines: &[Line]) -> Option<&Refusal> {
    let read = lines.iter().take_while(|l| !matches!(l, Ok(Command::Help | Command::Version)));
    read.filter_map(|l| l.as_ref().err()).find(|r| r.ends_restore)
}

/// The command on a line; `None` for an empty one. The word `ipvsadm` means nothing, wherever it stands.
fn understand(line: &str, names: &dyn Names) -> Option<Line> {
    let words = line.split([' ', '\t', '\r', '\n', '\0']);
    let words: Vec<String> = words.filter(|w| !w.is_empty() && *w != "ipvsadm").map(str::to_owned).collect();
    if words.is_empty() {
        return None;
    }
    Some(match parse(&words, names) {
        // It reads lines already.
        Ok(Command::Restore) => Err(try_help()),
        line => line,
    })
}

/// Continues with, or ends with, an exit status.
fn carry_out(line: &Line, balancer: &mut dyn Balancer, io: &mut Io) -> ControlFlow<i32, i32> {
    match line {
        Err(refusal) => {
            let status = refusal.report(io);
            if refusal.ends_restore { ControlFlow::Break(status) } else { ControlFlow::Continue(status) }
        }
        Ok(command) => match (command.execute(balancer, io), command) {
            (status, Command::Help | Command::Version) => ControlFlow::Break(status),
            (status, Command::List(_)) if status != 0 => ControlFlow::Break(status),
            (NOT_ALLOWED, _) => ControlFlow::Break(NOT_ALLOWED),
            (status, _) => ControlFlow::Continue(status),
        },
    }
}

fn unreadable(error: &io::Error, io: &mut Io) -> i32 {
    let _ = writeln!(io.stderr, "cannot read standard input: {error}");
    FAILED
}
