//! Where our programs stand: on an interface's way in or way out, in TC.
//!
//! tcx where the kernel has it (6.6): a link that is pinned beside the program. Below, a filter of the clsact qdisc, which needs
//! no pin. Either way no process has to live.

use super::journal::Step;
use super::links::Link;
use super::{Done, Work, install::step};
use crate::links;
use crate::{Error, Result, bpffs};
use aya::programs::links::FdLink;
use aya::programs::tc::{
    NlOptions, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact, qdisc_detach_program,
};
use aya::programs::{LinkOrder, ProgramInfo, SchedClassifier, TcAttachType};
use aya::util::KernelVersion;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/rlvs-realserver.bpf.o"));

/// Where a filter of ours stands among others of clsact: early, at "4", the IP protocol number of IP in IP.
const FILTER: NlOptions = NlOptions { priority: 4, handle: TcHandle::new(0, 4), classid: None };

/// One of our programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// Takes requests out of their tunnel, on their way in.
    #[default]
    Decap,
    /// Lowers the MSS, on the way out.
    Clamp,
}

impl Program {
    /// Its name in the object and, of at most 15 letters, in the kernel.
    pub fn name(self) -> &'static str {
        match self {
            Program::Decap => "rlvs_realserver",
            Program::Clamp => "rlvs_clamp_mss",
        }
    }

    fn way(self) -> TcAttachType {
        match self {
            Program::Decap => TcAttachType::Ingress,
            Program::Clamp => TcAttachType::Egress,
        }
    }

    /// The directory with its pins, below that of the network namespace.
    pub fn directory(self) -> &'static str {
        match self {
            Program::Decap => "realserver",
            Program::Clamp => "realserver-mss",
        }
    }

    pub fn pins(self, cookie: u64) -> Result<PathBuf> {
        Ok(bpffs::base()?.join(format!("ns-{cookie}")).join(self.directory()))
    }

    /// Whether it is there, with these maps.
    pub fn is_complete(self, pins: &Path, maps: &[&str]) -> bool {
        ["program"].iter().chain(maps).all(|name| pins.join(name).exists())
    }

    /// Loads it, with its maps, into a directory of pins of its own.
    pub fn load(self, pins: &Path, maps: &[&str]) -> Result<()> {
        // Something half made (a crash) is in the way.
        unpin_at(pins)?;
        fs::create_dir_all(pins)
            .map_err(|e| Error::system(format!("making the directory {}", pins.display()), e))?;
        let refused = |reason: String| Error::Load { reason };
        // `BPF_F_ADJ_ROOM_DECAP_L3_IPV4` and `…_IPV6`.
        let knows = u32::from(kernel_has(6, 3));
        let mut object = aya::EbpfLoader::new()
            .override_global("KNOWS_DECAP_L3", &knows, true)
            .load(OBJECT)
            .map_err(|e| refused(chain(&e)))?;
        for name in maps {
            let map = object.map(name).ok_or_else(|| refused(format!("no map {name} in it")))?;
            map.pin(pins.join(name)).map_err(|e| failed(format!("pinning {name}"), e))?;
        }
        let program: &mut SchedClassifier = object
            .program_mut(self.name())
            .ok_or_else(|| refused(format!("no program {} in it", self.name())))?
            .try_into()
            .map_err(|e| refused(chain(&e)))?;
        program.load().map_err(|e| refused(chain(&e)))?;
        // Last: with it, all is there.
        program.pin(pins.join("program")).map_err(|e| failed("pinning the program", e))
    }

    /// Removes its pins, and with them the program and its maps.
    pub fn unpin(self, cookie: u64) -> Result<()> {
        let pins = self.pins(cookie)?;
        unpin_at(&pins)?;
        if let Some(namespace) = pins.parent() {
            // If the director is here too, or the other program, their pins keep the directory.
            let _ = fs::remove_dir(namespace);
        }
        Ok(())
    }

    /// Whether it gets the packets of this interface.
    pub fn is_on(self, work: &Work, device: &Link) -> Result<bool> {
        let Some(ours) = program_id(&self.pins(work.cookie)?) else { return Ok(false) };
        if !has_tcx() {
            let ingress = self.way() == TcAttachType::Ingress;
            return Ok(work.links.programs(device.index, ingress)?.contains(&ours));
        }
        let (_, programs) = SchedClassifier::query_tcx(&device.name, self.way())
            .map_err(|e| failed(format!("asking for the programs on {}", device.name), e))?;
        Ok(programs.iter().any(|p| p.id() == ours))
    }

    /// Attaches it to all of these interfaces.
    pub fn put_on(self, work: &mut Work, done: &mut Done, devices: &[&Link]) -> Result<()> {
        for device in devices {
            if !self.is_on(work, device)? {
                self.attach(work, done, device)?;
            }
        }
        Ok(())
    }

    fn attach(self, work: &mut Work, done: &mut Done, device: &Link) -> Result<()> {
        let pins = self.pins(work.cookie)?;
        let (name, index) = (device.name.clone(), device.index);
        let what = format!("attaching our program to {name}");
        let mut program =
            SchedClassifier::from_pin(pins.join("program")).map_err(|e| failed("opening the program", e))?;
        if has_tcx() {
            let pin = link_pin(&pins, index);
            return step(work, done, Step::Tcx { program: self, name, index }, |_| {
                // Left by an interface that had this number before us (a crash), or detached by somebody.
                remove(&pin)?;
                let options = TcAttachOptions::TcxOrder(LinkOrder::first());
                let id = program
                    .attach_with_options(&device.name, self.way(), options)
                    .map_err(|e| failed(&what, e))?;
                let link: FdLink = program
                    .take_link(id)
                    .map_err(|e| failed(&what, e))?
                    .try_into()
                    .map_err(|e| failed(&what, e))?;
                link.pin(&pin).map(|_| ()).map_err(|e| failed(&what, e))
            });
        }
        if !work.links.has_clsact(index)? {
            step(work, done, Step::Clsact { name: name.clone(), index }, |_| {
                qdisc_add_clsact(&device.name)
                    .map_err(|e| failed(format!("adding a clsact qdisc to {}", device.name), e))
            })?;
        }
        step(work, done, Step::Filter { program: self, name, index }, |_| {
            // One of ours that is not the pinned program: an earlier run's.
            self.detach_filter(&device.name)?;
            let id = program
                .attach_with_options(&device.name, self.way(), TcAttachOptions::Netlink(FILTER))
                .map_err(|e| failed(&what, e))?;
            // Dropped, it would be detached.
            std::mem::forget(program.take_link(id).map_err(|e| failed(&what, e))?);
            Ok(())
        })
    }

    pub fn detach_tcx(self, cookie: u64, index: u32) -> Result<()> {
        let pin = link_pin(&self.pins(cookie)?, index);
        links::detach(&pin);
        remove(&pin)
    }

    pub fn detach_filter(self, device: &str) -> Result<()> {
        match qdisc_detach_program(device, self.way(), self.name()) {
            Err(TcError::IoError(e)) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|e| failed(format!("detaching our program from {device}"), e)),
        }
    }
}

/// How programs are attached here, for people.
pub fn kind() -> &'static str {
    if has_tcx() { "tcx" } else { "clsact" }
}

fn link_pin(pins: &Path, index: u32) -> PathBuf {
    pins.join(format!("link-{index}"))
}

fn has_tcx() -> bool {
    kernel_has(6, 6)
}

fn kernel_has(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|running| running >= KernelVersion::new(major, minor, 0))
}

fn program_id(pins: &Path) -> Option<u32> {
    ProgramInfo::from_pin(pins.join("program")).ok().map(|p| p.id())
}

fn remove(pin: &Path) -> Result<()> {
    match fs::remove_file(pin) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::system(format!("removing {}", pin.display()), e))
        }
        _ => Ok(()),
    }
}

pub fn unpin_at(pins: &Path) -> Result<()> {
    match fs::remove_dir_all(pins) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::system(format!("removing {}", pins.display()), e))
        }
        _ => Ok(()),
    }
}

pub fn failed(doing: impl Into<String>, error: impl std::error::Error + 'static) -> Error {
    match io_os_error(&error) {
        Some(code) => Error::system(doing, io::Error::from_raw_os_error(code)),
        None => Error::system(doing, io::Error::other(chain(&error))),
    }
}

pub fn io_os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    causes(error).find_map(|e| e.downcast_ref::<io::Error>()?.raw_os_error())
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |e| e.source())
}

/// The error and its causes on one line; of the verifier's story only the end.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let text = causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(6)..].join(" | ")
}
