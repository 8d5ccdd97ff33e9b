//! A laboratory: a client, a director and real servers, each in a network namespace of its own, wired by bridges and
//! veth pairs. `rlvs demo` shows the balancer in it and the end-to-end tests judge it there.
//!
//! ```no_run
//! use rlvs::lab::{Lab, Topology};
//! # fn main() -> anyhow::Result<()> {
//! let lab = Lab::builder(Topology::Nat).servers(2).build()?;
//! lab.serve("rs1", &[80], &[])?;                                   // a small HTTP server in rs1
//! let who = lab.client().run(|| rlvs::lab::client::who(lab.server(1).addr(), 80));
//! assert_eq!(who?, "rs1");
//! # Ok(()) }
//! ```
//!
//! Read [`plan`] first (what is wired to what, as data), then `namespace` and `links` (how it is made), [`Host`] (doing
//! something inside), `registry` (cleaning up whatever happens). [`responder`] and [`client`] are the two ends of the
//! traffic. Nothing here touches the machine's own network: even the bridges live in a namespace of the lab, the switch.

pub mod client;
mod host;
mod links;
mod namespace;
mod offload;
pub mod plan;
mod registry;
pub mod responder;

pub use host::Host;
pub use plan::{Topology, VIP, VIP6};
pub use registry::{end_all, interrupted, remove_kept, sweep};

use anyhow::{Context, Result, bail};
use plan::Plan;
use registry::LabId;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;

/// The namespace that holds the bridges.
const SWITCH: &str = "switch";

pub struct Builder {
    topology: Topology,
    servers: u8,
    mtu: u32,
    wire: bool,
    program: Option<PathBuf>,
}

impl Builder {
    /// How many real servers (3 unless said otherwise).
    pub fn servers(mut self, servers: u8) -> Builder {
        self.servers = servers;
        self
    }

    /// The MTU of every link (1500 unless said otherwise).
    pub fn mtu(mut self, mtu: u32) -> Builder {
        self.mtu = mtu;
        self
    }

    /// Packets look as they do when a network card delivers them, whole and with finished checksums; unless this is
    /// said, offloads are as the kernel sets them.
    pub fn as_on_a_wire(mut self) -> Builder {
        self.wire = true;
        self
    }

    /// The rlvs program to start inside (unless said otherwise, the running one).
    pub fn program(mut self, program: impl Into<PathBuf>) -> Builder {
        self.program = Some(program.into());
        self
    }

    /// Makes the lab. If a step fails, what was made is removed.
    pub fn build(self) -> Result<Lab> {
        require_root()?;
        registry::sweep();
        let program = match self.program {
            Some(program) => program,
            None => std::env::current_exe().context("cannot find this program's own file")?,
        };
        let plan = Plan::new(self.topology, self.servers, self.mtu);
        let names: Vec<&str> = plan.hosts.iter().map(|h| h.name.as_str()).chain([SWITCH]).collect();
        let (id, prefix) = registry::begin(&names)?;
        // From here on dropping the lab removes what there is of it.
        let mut lab = Lab { id, prefix, topology: self.topology, program, hosts: vec![] };
        lab.wire(plan, self.wire)?;
        Ok(lab)
    }
}

/// A running lab. Dropping it removes it.
pub struct Lab {
    id: LabId,
    prefix: String,
    topology: Topology,
    program: PathBuf,
    hosts: Vec<Host>,
}

impl Lab {
    pub fn builder(topology: Topology) -> Builder {
        Builder { topology, servers: 3, mtu: 1500, wire: false, program: None }
    }

    pub fn topology(&self) -> Topology {
        self.topology
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host of that name. There is no other error than a typing error, so it panics.
    pub fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|h| h.name() == name);
        found.unwrap_or_else(|| panic!("the lab has no host {name}"))
    }

    pub fn client(&self) -> &Host {
        self.host("client")
    }

    pub fn director(&self) -> &Host {
        self.host("director")
    }

    /// Real server `n`, from 1.
    pub fn server(&self, n: usize) -> &Host {
        self.host(&format!("rs{n}"))
    }

    /// Real servers in order.
    pub fn servers(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|h| h.name().starts_with("rs"))
    }

    /// The rlvs program this lab uses.
    pub fn program(&self) -> &PathBuf {
        &self.program
    }

    /// Starts the built-in TCP (HTTP) and UDP servers on a host, listening on these ports of every address. They live as
    /// long as the lab.
    pub fn serve(&self, host: &str, tcp: &[u16], udp: &[u16]) -> Result<()> {
        let host = self.host(host);
        let mut command = host.command(&self.program);
        command.args(["responder", host.name()]);
        for (flag, ports) in [("--tcp", tcp), ("--udp", udp)] {
            for port in ports {
                command.args([flag, &port.to_string()]);
            }
        }
        // A process group of its own: a Ctrl-C is for this program, which then ends the servers with the lab.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = host.start(command)?;
        let (stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.trim() != responder::READY {
            let mut why = String::new();
            stderr.read_to_string(&mut why)?;
            bail!("the responder in {} did not start: {}", host.name(), why.trim());
        }
        Ok(())
    }

    /// Starts the built-in servers on every real server.
    pub fn serve_all(&self, tcp: &[u16], udp: &[u16]) -> Result<()> {
        self.servers().try_for_each(|server| self.serve(server.name(), tcp, udp))
    }

    /// Runs `rlvs ARGS` in a host before the lab is removed, whoever removes it.
    pub fn at_end(&self, host: &str, args: &[&str]) -> Result<()> {
        let namespace = self.host(host).namespace().to_owned();
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        registry::add_farewell(self.id, registry::Farewell { namespace, program: self.program.clone(), args })
    }

    /// Lets the lab and its servers live on after this program; `remove_kept` ends it.
    pub fn keep(self) -> Result<()> {
        registry::keep(self.id)
    }

    fn wire(&mut self, plan: Plan, as_on_a_wire: bool) -> Result<()> {
        let switch = self.namespace(SWITCH)?;
        links::make_bridges(&switch, &plan.segments(), plan.mtu)?;
        for host_plan in plan.hosts {
            let handle = self.namespace(&host_plan.name)?;
            links::plug(&switch, &handle, &host_plan, plan.mtu)
                .with_context(|| format!("wiring {}", host_plan.name))?;
            let namespace = format!("{}{}", self.prefix, host_plan.name);
            let host = Host::new(self.id, host_plan.clone(), namespace, handle);
            // IPv6 before the interfaces are up, so that they send nothing by themselves.
            host.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1").ok();
            host.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1").ok();
            links::configure(host.handle(), &host_plan)
                .with_context(|| format!("configuring {}", host.name()))?;
            for (name, value) in &host_plan.sysctls {
                host.set_sysctl(name, value)?;
            }
            if as_on_a_wire {
                for device in host.devices() {
                    offload::as_on_a_wire(host.handle(), &device)?;
                    offload::as_on_a_wire(&switch, &links::port(host.name(), &device))?;
                }
            }
            self.hosts.push(host);
        }
        Ok(())
    }

    fn namespace(&self, host: &str) -> Result<File> {
        namespace::create(&format!("{}{host}", self.prefix))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        registry::end(self.id);
    }
}

/// An error that says so, if we are not root.
pub fn require_root() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("a lab of network namespaces needs root: run it with sudo");
    }
    Ok(())
}
