//! `rlvs demo`: a cluster in a box. The demo itself is in `rlvs::demo`.

use rlvs::demo::{self, Mode};

#[derive(clap::Args)]
pub struct Args {
    /// Which way of forwarding to show
    #[arg(long, value_enum, default_value = "all")]
    mode: Which,
    /// Leave the lab up, and tell how to enter it
    #[arg(long, conflicts_with = "remove")]
    keep: bool,
    /// Remove labs left by --keep
    #[arg(long)]
    remove: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Which {
    Nat,
    Dr,
    Tun,
    All,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    if args.remove {
        return demo::remove();
    }
    let modes: &[Mode] = match args.mode {
        Which::Nat => &[Mode::Nat],
        Which::Dr => &[Mode::Dr],
        Which::Tun => &[Mode::Tun],
        Which::All => &[Mode::Nat, Mode::Dr, Mode::Tun],
    };
    demo::run(modes, args.keep)
}
