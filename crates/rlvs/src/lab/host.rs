//! A host of the lab: a namespace with a name, and ways to do something inside it. A closure runs in a thread that has
//! entered the namespace ([`Host::run`]); a program runs in a child process that does so before it starts
//! ([`Host::command`], [`Host::output`]).

use super::links;
use super::namespace;
use super::offload;
use super::plan::{self, HostPlan};
use super::registry::{self, LabId};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub struct Host {
    lab: LabId,
    plan: HostPlan,
    namespace: String,
    handle: Arc<File>,
}

impl Host {
    pub(super) fn new(lab: LabId, plan: HostPlan, namespace: String, handle: File) -> Host {
        Host { lab, plan, namespace, handle: Arc::new(handle) }
    }

    /// `client`, `director`, `rs1`, …
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// The name below /run/netns.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The address of the first leg: what the director calls this host.
    pub fn addr(&self) -> Ipv4Addr {
        self.plan.legs[0].addr
    }

    /// `eth0`, `eth1`, …
    pub fn devices(&self) -> Vec<String> {
        (0..self.plan.legs.len()).map(|i| format!("eth{i}")).collect()
    }

    /// IPv6, which a lab has not until somebody asks for it: each leg gets the [`plan::six`] of its address, and the host
    /// the default route of its plan.
    pub fn add_ipv6(&self) -> Result<()> {
        for dev in ["all", "default", "lo"].into_iter().map(str::to_owned).chain(self.devices()) {
            let set = |name: &str, value| self.set_sysctl(&format!("net/ipv6/conf/{dev}/{name}"), value);
            set("accept_dad", "0")?; // addresses are usable at once
            set("disable_ipv6", "0")?;
        }
        if self.plan.sysctls.iter().any(|(name, value)| name == "net/ipv4/ip_forward" && value == "1") {
            self.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
        }
        for (leg, dev) in self.plan.legs.iter().zip(self.devices()) {
            self.add_address(&dev, plan::six(leg.addr), 64)?;
            for &extra in &leg.extra {
                self.add_address(&dev, plan::six(extra), 128)?;
            }
        }
        self.plan.routes.iter().try_for_each(|route| links::add_route_six(&self.handle, route))
    }

    pub(super) fn handle(&self) -> &File {
        &self.handle
    }

    /// Runs a closure inside the namespace, in a thread of its own. Sockets it opens stay in the namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let entered = namespace::run_in(&self.handle, work);
        entered.unwrap_or_else(|e| panic!("cannot enter namespace {}: {e}", self.namespace))
    }

    /// A command that will run inside the namespace, and still sees the machine's mounts.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        namespace::command(Arc::clone(&self.handle), program)
    }

    /// Runs a command of [`Host::command`] to its end, with `input` on its standard input. A command that takes longer
    /// than `limit` is killed, and that is an error; an exit status is not.
    pub fn output(&self, mut command: Command, input: &str, limit: Duration) -> Result<Output> {
        let what = format!("{:?} in {}", command.get_program(), self.name());
        let stdio = || Stdio::piped();
        let mut child =
            command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().with_context(|| what.clone())?;
        let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            scope.spawn(move || stdin.as_mut().map(|pipe| pipe.write_all(input.as_bytes())));
            let stdout = scope.spawn(move || read_all(stdout));
            let stderr = scope.spawn(move || read_all(stderr));
            let status = wait(&mut child, limit);
            if !matches!(status, Ok(Some(_))) {
                let _ = child.kill();
                let _ = child.wait();
            }
            let (stdout, stderr) = (stdout.join().expect("reader"), stderr.join().expect("reader"));
            match status? {
                Some(status) => Ok(Output { status, stdout, stderr }),
                None => bail!(
                    "{what} did not end within {limit:?}; it said: {}",
                    String::from_utf8_lossy(&stderr)
                ),
            }
        })
    }

    /// Starts a command of [`Host::command`] that lives as long as the lab, and is killed with it.
    pub fn start(&self, mut command: Command) -> Result<Child> {
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        registry::add_child(self.lab, child.id())?;
        Ok(child)
    }

    /// Reads /proc/sys/`name` as this host sees it.
    pub fn sysctl(&self, name: &str) -> Result<String> {
        let path = Path::new("/proc/sys").join(name);
        let text = self.run(|| fs::read_to_string(&path)).with_context(|| format!("{}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// Writes /proc/sys/`name` for this host.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(name);
        self.run(|| fs::write(&path, value)).with_context(|| format!("{} := {value}", path.display()))
    }

    /// The counters of an interface's driver, by the driver's own names (those of `ethtool -S`).
    pub fn driver_counters(&self, device: &str) -> Result<BTreeMap<String, u64>> {
        offload::counters(&self.handle, device)
    }

    /// Forgets a neighbour's hardware address; says whether it was known.
    pub fn flush_neighbour(&self, addr: Ipv4Addr) -> Result<bool> {
        links::flush_neighbour(&self.handle, addr)
    }

    pub fn add_address(&self, device: &str, addr: impl Into<IpAddr>, prefix: u8) -> Result<()> {
        links::add_address(&self.handle, device, addr.into(), prefix)
    }

    pub fn add_default_route(&self, via: impl Into<IpAddr>) -> Result<()> {
        links::add_default_route(&self.handle, via.into())
    }

    pub fn set_mtu(&self, device: &str, mtu: u32) -> Result<()> {
        links::set_mtu(&self.handle, device, mtu)
    }

    /// Takes an interface up or down; down takes the routes over it away.
    pub fn set_link(&self, device: &str, up: bool) -> Result<()> {
        links::set_link(&self.handle, device, up)
    }
}

fn read_all(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = vec![];
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<std::process::ExitStatus>> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > end {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}
