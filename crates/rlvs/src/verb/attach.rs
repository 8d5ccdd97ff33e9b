//! `rlvs attach DEV`, `rlvs detach DEV`, `rlvs down`.

use anyhow::{Context, Result};
use clap::ValueEnum;
use rlvs_control::attach::Mode;
use rlvs_control::{Director, bpffs};
use rlvs_daemon::drain::{Ledger, ledger};

#[derive(clap::Args)]
pub struct Attach {
    /// The network interface
    dev: String,
    /// How: what suits its driver, native XDP and TC, generic XDP and TC, or TC alone
    #[arg(long, value_enum, default_value = "auto")]
    mode: ModeWord,
    /// May XDP redirect frames into this interface? (auto: hardware yes, veth no, because a veth loses them unless its
    /// far end runs XDP or GRO)
    #[arg(long, value_enum, default_value = "auto")]
    xdp_redirect: Choice,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeWord {
    Auto,
    Xdp,
    Skb,
    Tc,
}

#[derive(Clone, Copy, ValueEnum)]
enum Choice {
    Auto,
    On,
    Off,
}

pub fn attach(args: Attach) -> Result<()> {
    let mode = match args.mode {
        ModeWord::Auto => None,
        ModeWord::Xdp => Some(Mode::Xdp),
        ModeWord::Skb => Some(Mode::Skb),
        ModeWord::Tc => Some(Mode::Tc),
    };
    let redirect_into = match args.xdp_redirect {
        Choice::Auto => None,
        Choice::On => Some(true),
        Choice::Off => Some(false),
    };
    Director::here()?.attach(&args.dev, mode, redirect_into).map(drop).context("attach")
}

#[derive(clap::Args)]
pub struct Detach {
    /// The network interface
    dev: String,
}

pub fn detach(args: Detach) -> Result<()> {
    Director::here()?.detach(&args.dev).context("detach")
}

pub fn down() -> Result<()> {
    Director::here()?.down().context("down")?;
    // What was drained is no more.
    let cookie = bpffs::netns_cookie()?;
    if !ledger::peek(cookie)?.is_empty() {
        Ledger::open(cookie)?.clear()?;
    }
    Ok(())
}
