//! The scene of the demo: six services on the director, three real servers, all set up with the commands an operator
//! would type.

use super::Mode;
use crate::lab::{Host, Lab, VIP};
use anyhow::{Result, ensure};
use std::os::unix::process::CommandExt;
use std::time::Duration;

/// Setting something up must not take longer.
const LIMIT: Duration = Duration::from_secs(20);

pub const SERVERS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    Tcp,
    Udp,
}

/// A service of the demo and what its scheduler promises.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub proto: Proto,
    pub port: u16,
    pub scheduler: &'static str,
    pub weights: [usize; SERVERS],
    /// How far a server's count may be off: 0 where the order is fixed, more where it depends on what is going on.
    pub tolerance: usize,
}

pub const fn services() -> [Service; 6] {
    const EVEN: [usize; SERVERS] = [1, 1, 1];
    const UNEVEN: [usize; SERVERS] = [3, 2, 1];
    [
        Service { proto: Proto::Tcp, port: 80, scheduler: "rr", weights: EVEN, tolerance: 0 },
        Service { proto: Proto::Tcp, port: 81, scheduler: "wrr", weights: UNEVEN, tolerance: 0 },
        Service { proto: Proto::Tcp, port: 82, scheduler: "lc", weights: EVEN, tolerance: 1 },
        Service { proto: Proto::Tcp, port: 83, scheduler: "wlc", weights: UNEVEN, tolerance: 2 },
        Service { proto: Proto::Udp, port: 53, scheduler: "rr", weights: EVEN, tolerance: 0 },
        Service { proto: Proto::Udp, port: 54, scheduler: "wrr", weights: UNEVEN, tolerance: 0 },
    ]
}

/// Makes the lab with everything in it running.
pub fn set(mode: Mode) -> Result<Lab> {
    let lab = Lab::builder(mode.topology()).build()?;
    let ports = |proto| -> Vec<u16> {
        services().iter().filter(|s| s.proto == proto).map(|s| real_port(mode, s)).collect()
    };
    lab.serve_all(&ports(Proto::Tcp), &ports(Proto::Udp))?;
    for server in lab.servers() {
        prepare(&lab, server, mode)?;
    }
    lab.at_end("director", &["down"])?;
    for command in rules(mode).iter().flatten() {
        ipvsadm(&lab, command)?;
    }
    Ok(lab)
}

/// The commands that define the services, without the word `ipvsadm`: a list for each service.
pub fn rules(mode: Mode) -> Vec<Vec<String>> {
    services().iter().map(|service| rules_of(mode, service)).collect()
}

/// Runs `ipvsadm ARGS` in the director: this very program under its other name.
pub fn ipvsadm(lab: &Lab, args: &str) -> Result<String> {
    let mut command = lab.director().command(lab.program());
    command.arg0("ipvsadm").args(args.split_whitespace());
    let output = lab.director().output(command, "", LIMIT)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ipvsadm {args}: {} ({})", error.trim(), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn rules_of(mode: Mode, service: &Service) -> Vec<String> {
    let what = match service.proto {
        Proto::Tcp => "-t",
        Proto::Udp => "-u",
    };
    let method = match mode {
        Mode::Nat => "-m",
        Mode::Dr => "-g",
        Mode::Tun => "-i",
    };
    let key = format!("{what} {VIP}:{}", service.port);
    let mut commands = vec![format!("-A {key} -s {}", service.scheduler)];
    for (n, weight) in (1..).zip(service.weights) {
        let server = real_addr(mode, n);
        let weight = if service.weights == [1; SERVERS] { String::new() } else { format!(" -w {weight}") };
        commands.push(format!("-a {key} -r {server}:{} {method}{weight}", real_port(mode, service)));
    }
    commands
}

/// NAT can map ports, and the demo shows it; the others cannot.
fn real_port(mode: Mode, service: &Service) -> u16 {
    if mode == Mode::Nat { 8000 + service.port } else { service.port }
}

pub fn real_addr(mode: Mode, n: u8) -> std::net::Ipv4Addr {
    use crate::lab::plan::Segment;
    let segment = if mode == Mode::Tun { Segment::Far } else { Segment::Servers };
    segment.addr(10 + n)
}

/// What a real server needs: nothing for NAT; for DR and TUN the VIP, silently.
fn prepare(lab: &Lab, server: &Host, mode: Mode) -> Result<()> {
    let vip = VIP.to_string();
    let mut args = vec!["realserver", "up", "--vip", &vip];
    match mode {
        Mode::Nat => return Ok(()),
        Mode::Dr => {}
        Mode::Tun => args.extend(["--tunnel", "ipip"]),
    }
    lab.at_end(server.name(), &["realserver", "down"])?;
    let mut command = server.command(lab.program());
    command.args(&args);
    let output = server.output(command, "", LIMIT)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "rlvs {} on {}: {}", args.join(" "), server.name(), error.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_as_an_operator_types_them() {
        let nat = rules(Mode::Nat);
        assert_eq!(nat[0][0], "-A -t 10.0.0.100:80 -s rr");
        assert_eq!(nat[0][3], "-a -t 10.0.0.100:80 -r 10.1.0.13:8080 -m");
        let tun = rules(Mode::Tun);
        assert_eq!(tun[5][1], "-a -u 10.0.0.100:54 -r 10.2.0.11:54 -i -w 3");
    }

    #[test]
    fn every_share_comes_out_even() {
        for service in services() {
            assert_eq!(super::super::traffic::REQUESTS % service.weights.iter().sum::<usize>(), 0);
        }
    }
}
