//! `rlvs realserver`: make this host (or network namespace) a real server for VIPs, undo that, tell what is in place.
//! The work is in `rlvs_control::realserver`.

use anyhow::bail;
use clap::{Args as ClapArgs, Subcommand};
use rlvs_control::realserver::{self, Clamp, Decap, Done, SettingStatus, Status, Tunnel, Wanted};
use std::io::Write;
use std::net::IpAddr;

#[derive(ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Subcommand)]
enum Order {
    /// Take requests for the VIPs, and keep quiet about them in ARP; adds to what is up already
    Up(Up),
    /// Restore what was there before
    Down,
    /// Tell directors how much this server can take: HAProxy's agent-check, and JSON by HTTP on the same port
    Agent(super::agent::Args),
    /// What is in place, what is missing; exit status 1 if anything is
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(ClapArgs)]
struct Up {
    /// The address that clients ask for; may be given several times
    #[arg(long = "vip", value_name = "ADDR", required = true, num_args = 1..)]
    vips: Vec<IpAddr>,
    /// Only on this interface, which faces director and clients (default: all); may be given several times
    #[arg(long = "dev", value_name = "DEV")]
    devices: Vec<String>,
    /// Take requests out of this tunnel (TUN mode): ipip, gre, or gue:PORT
    #[arg(long, value_name = "TYPE")]
    tunnel: Option<Tunnel>,
    /// Who takes them out: the kernel's ipip device or our own program
    #[arg(long, value_enum, default_value = "auto", requires = "tunnel")]
    decap: Who,
    /// Lower the MSS that clients hear from the VIPs to what fits through the tunnel, or to this; never raised (default: as it is)
    #[arg(long, value_name = "MSS", num_args = 0..=1, default_missing_value = "auto")]
    clamp_mss: Option<Clamp>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Who {
    /// The kernel where it can, else our own program
    Auto,
    Kernel,
    Ebpf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    match args.order {
        Order::Up(up) => {
            let decap = match up.decap {
                Who::Auto => Decap::Auto,
                Who::Kernel => Decap::Kernel,
                Who::Ebpf => Decap::Ebpf,
            };
            let wanted =
                Wanted { vips: up.vips, devices: up.devices, tunnel: up.tunnel, decap, clamp: up.clamp_mss };
            tell(&realserver::up(&wanted)?);
        }
        Order::Down => tell(&realserver::down()?),
        Order::Agent(args) => return super::agent::run(args),
        Order::Status { json } => return show(json),
    }
    Ok(())
}

/// Notes are for people, and no result: to standard error.
fn tell(done: &Done) {
    for note in &done.notes {
        eprintln!("rlvs: {note}");
    }
}

fn show(json: bool) -> anyhow::Result<()> {
    let status = realserver::status()?;
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &status)?;
        writeln!(out)?;
    } else {
        print(&mut out, &status)?;
    }
    if status.up && !status.complete {
        bail!("{}; `rlvs realserver up` with the same words repairs it", status.missing.join("; "));
    }
    Ok(())
}

fn print(out: &mut impl Write, status: &Status) -> std::io::Result<()> {
    if !status.up {
        return writeln!(out, "no real server here (`rlvs realserver up --vip ADDR` makes it one)");
    }
    let on = if status.devices.is_empty() { "all interfaces".to_string() } else { status.devices.join(", ") };
    let state = if status.complete { "in place" } else { "incomplete" };
    writeln!(out, "real server on {on}: {state}")?;
    for vip in &status.vips {
        let found = if vip.found.is_empty() { "nowhere".to_string() } else { vip.found.join(", ") };
        let whose = if vip.ours { "" } else { " (was there before)" };
        writeln!(out, "  {}  VIP {} on {found}{whose}", mark(vip.in_place), vip.address)?;
    }
    for setting in &status.settings {
        writeln!(out, "  {}  {}", mark(setting.in_place), sentence(setting))?;
    }
    if let Some(decapsulation) = &status.decapsulation {
        let tunnel = decapsulation.tunnel;
        for device in &decapsulation.devices {
            let by = match decapsulation.by {
                "kernel" => format!("the kernel's device {}", device.device),
                _ => format!("our program on {} ({})", device.device, device.hook),
            };
            writeln!(out, "  {}  {tunnel} by {by}", mark(device.in_place))?;
        }
        for (name, count) in &decapsulation.counters {
            writeln!(out, "        {name:<20} {count}")?;
        }
    }
    if let Some(clamping) = &status.clamping {
        let of = |vip, most: &Option<u32>| match most {
            Some(most) => format!("{vip} at most {most}"),
            None => format!("{vip} not limited"),
        };
        let limits: Vec<String> = clamping.limits.iter().map(|(vip, most)| of(vip, most)).collect();
        for device in &clamping.devices {
            let (mark, name, hook) = (mark(device.in_place), &device.device, device.hook);
            writeln!(out, "  {mark}  MSS of {}, by our program on {name} ({hook})", limits.join(", of "))?;
        }
        writeln!(out, "        {:<20} {}", "clamped", clamping.clamped)?;
    }
    Ok(())
}

fn sentence(setting: &SettingStatus) -> String {
    let found = setting.found.as_deref().unwrap_or("not there");
    let mut text = format!("{} = {found}", setting.name);
    if setting.effective.is_some_and(|e| e.to_string() != found) {
        text += &format!(" (with `all`: {})", setting.effective.unwrap_or_default());
    }
    text += &format!(", wanted {}", setting.wanted);
    if let Some(was) = &setting.was {
        text += &format!(", was {was}");
    }
    text
}

fn mark(in_place: bool) -> &'static str {
    if in_place { "ok" } else { "--" }
}
