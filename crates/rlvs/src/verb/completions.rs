//! `rlvs completions SHELL`: what a shell needs to complete our command lines, written from the definitions of verbs
//! and options themselves.

use crate::Cli;
use anyhow::{Context, Result};
use clap::{Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use rlvs_ipvsadm::manual;
use std::io::Write;

#[derive(clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: ShellWord,
    /// The program whose command lines are completed
    #[arg(long = "for", value_enum, default_value = "rlvs", value_name = "PROGRAM")]
    program: Program,
}

#[derive(Clone, Copy, ValueEnum)]
enum ShellWord {
    Bash,
    Zsh,
    Fish,
}

#[derive(Clone, Copy, ValueEnum)]
enum Program {
    Rlvs,
    Ipvsadm,
}

pub fn run(args: Args) -> Result<()> {
    let shell = match args.shell {
        ShellWord::Bash => Shell::Bash,
        ShellWord::Zsh => Shell::Zsh,
        ShellWord::Fish => Shell::Fish,
    };
    let mut command = match args.program {
        Program::Rlvs => with_ipvsadm(Cli::command()),
        Program::Ipvsadm => manual::command_line(),
    };
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    std::io::stdout().lock().write_all(&script).context("writing to standard output")
}

/// `rlvs ipvsadm …` is completed as `ipvsadm …` is.
fn with_ipvsadm(cli: Command) -> Command {
    cli.mut_subcommand("ipvsadm", |verb| {
        let about = verb.get_about().cloned().unwrap_or_default();
        manual::command_line().about(about)
    })
}
