//! `ipvsadm -R` and the program `ipvsadm-restore`: every line of standard input is a command line.
//!
//! A line that cannot be understood ends it; one that the balancer refuses is complained of and does not. The
//! exit status is that of the last line.

use crate::command::Command;
use crate::errors::{FAILED, Refusal, report};
use crate::names::Names;
use crate::{Io, parse};
use rlvs_control::Balancer;
use std::io;

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
        match command_of(&String::from_utf8_lossy(&line), io.names) {
            None => {}
            Some(Ok(command)) => status = carry_out(&command, balancer, io),
            Some(Err(refusal)) => return refusal.report(io),
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
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    let commands: Result<Vec<Command>, Refusal> = lines.filter_map(|l| command_of(l, io.names)).collect();
    let commands = match commands {
        Ok(commands) => commands,
        Err(refusal) => return refusal.report(io),
    };
    if let Err(error) = balancer.clear() {
        return report(&error, FAILED, io);
    }
    commands.iter().fold(0, |_, command| carry_out(command, balancer, io))
}

/// The command on a line, whose first word may be the program's name; an empty line has none.
fn command_of(line: &str, names: &dyn Names) -> Option<Result<Command, Refusal>> {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if words.first()? == "ipvsadm" {
        words.remove(0);
    }
    Some(parse(&words, names))
}

fn carry_out(command: &Command, balancer: &mut dyn Balancer, io: &mut Io) -> i32 {
    match command {
        // `-R` within `-R` reads the lines that follow, as we do anyway.
        Command::Restore => 0,
        _ => command.execute(balancer, io),
    }
}

fn unreadable(error: &io::Error, io: &mut Io) -> i32 {
    let _ = writeln!(io.stderr, "cannot read standard input: {error}");
    FAILED
}
