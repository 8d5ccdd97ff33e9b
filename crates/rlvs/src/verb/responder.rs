//! `rlvs responder NAME --tcp PORT… --udp PORT…`: the lab's real server (see `rlvs::lab::responder`). Hidden, as it is of
//! no use outside a lab.

use rlvs::lab::responder;

#[derive(clap::Args)]
pub struct Args {
    /// What it answers when asked who it is
    name: String,
    /// Serve HTTP on this port
    #[arg(long, value_name = "PORT")]
    tcp: Vec<u16>,
    /// Answer datagrams on this port
    #[arg(long, value_name = "PORT")]
    udp: Vec<u16>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    responder::run(&args.name, &args.tcp, &args.udp)
}
