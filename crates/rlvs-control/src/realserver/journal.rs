//! What `up` changed, and how to change it back: a file under /run, one per network namespace.
//!
//! Each step is written down before it is taken, so a crash at any moment leaves a journal from which `down` undoes all that
//! happened. Undoing is safe to repeat, and safe for a step that was never taken: it removes and restores only what still
//! looks as `up` left it. A setting that somebody has changed since is theirs, and stays.

use super::Wanted;
use super::hook::Program;
use crate::{Error, Result, bpffs};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "/run/rlvs";
const VERSION: u32 = 1;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A setting under /proc/sys.
    Sysctl { key: String, was: String, set: String },
    /// An address we put on `lo`.
    Address { address: IpAddr },
    /// An interface that was down.
    LinkUp { name: String },
    /// An interface that was not there.
    Link { name: String },
    /// A pin directory of ours, with a program and its maps. (An older journal knows one program only.)
    Pins {
        #[serde(default)]
        program: Program,
    },
    /// A VIP in the map of our program.
    Opened { address: IpAddr },
    /// A VIP in the map of the program that lowers the MSS.
    Clamped { address: IpAddr },
    /// Our program on the interface, by tcx (the link is pinned).
    Tcx {
        #[serde(default)]
        program: Program,
        name: String,
        index: u32,
    },
    /// The qdisc that `Filter` needs.
    Clsact { name: String, index: u32 },
    /// Our program on the interface, as a clsact filter.
    Filter {
        #[serde(default)]
        program: Program,
        name: String,
        index: u32,
    },
}

/// Who takes tunnel packets out of their outer header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum By {
    /// A device of the kernel's ipip module.
    Kernel { device: String },
    /// Our own program, on TC ingress.
    Ebpf,
}

/// What one namespace's real server is to be, and what was done for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// Settings and links do not outlive the kernel; the file may.
    boot: String,
    pub wanted: Wanted,
    pub by: Option<By>,
    pub steps: Vec<Step>,
}

/// The state on disk, locked against other processes.
pub struct Journal {
    path: PathBuf,
    pub state: Option<State>,
    _lock: OwnedFd,
}

impl Journal {
    /// The journal of the namespace with this cookie; waits for others who have it open.
    pub fn open(cookie: u64) -> Result<Journal> {
        let directory = Path::new(DIRECTORY);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|e| Error::system(format!("making the directory {DIRECTORY}"), e))?;
        let lock = bpffs::lock(directory).map_err(|e| Error::system(format!("locking {DIRECTORY}"), e))?;
        let path = path(cookie);
        let state = read(&path)?;
        Ok(Journal { path, state, _lock: lock })
    }

    /// Notes a step that is about to be taken.
    pub fn note(&mut self, step: Step) -> Result<()> {
        let Some(state) = &mut self.state else {
            return Err(Error::Invalid("a step outside of any journal".to_string()));
        };
        // Taken again (somebody had undone it): one note is enough to undo it.
        if !state.steps.contains(&step) {
            state.steps.push(step);
        }
        self.save()
    }

    /// Makes the file what `state` is; no state, no file.
    pub fn save(&self) -> Result<()> {
        let done = match &self.state {
            Some(state) => replace(&self.path, state),
            None => fs::remove_file(&self.path).or_else(|e| match e.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(e),
            }),
        };
        done.map_err(|e| Error::system(format!("writing {}", self.path.display()), e))
    }
}

impl State {
    pub fn new(wanted: Wanted) -> State {
        State { version: VERSION, boot: boot(), wanted, by: None, steps: Vec::new() }
    }
}

/// Removes the journal of a namespace that is no more.
pub fn forget(cookie: u64) {
    // If it cannot be removed it is litter, but harmless: its cookie does not come again before the next boot.
    let _ = fs::remove_file(path(cookie));
}

fn path(cookie: u64) -> PathBuf {
    Path::new(DIRECTORY).join(format!("realserver-{cookie}.json"))
}

fn read(path: &Path) -> Result<Option<State>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::system(format!("reading {}", path.display()), e)),
    };
    let damaged = |why: String| {
        Error::Invalid(format!(
            "{} is damaged ({why}); it has what `rlvs realserver down` would restore: restore that by hand, then delete the file",
            path.display()
        ))
    };
    let version: serde_json::Value = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    let version = version.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if version != u64::from(VERSION) {
        return Err(Error::Invalid(format!(
            "{} has version {version}, this rlvs has {VERSION}: run `realserver down` with the rlvs that wrote it",
            path.display()
        )));
    }
    let state: State = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    Ok(Some(state).filter(|s| s.boot == boot()))
}

/// Whole or not at all, whenever the machine stops.
fn replace(path: &Path, state: &State) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec_pretty(state)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `down` undoes what an rlvs did that had only one program.
    #[test]
    fn an_older_journal_is_read() {
        let (program, name, index) = (Program::Decap, "eth0".to_string(), 2);
        for (text, expected) in [
            (r#"{"step":"pins"}"#, Step::Pins { program }),
            (r#"{"step":"tcx","name":"eth0","index":2}"#, Step::Tcx { program, name: name.clone(), index }),
            (r#"{"step":"filter","name":"eth0","index":2}"#, Step::Filter { program, name, index }),
        ] {
            assert_eq!(serde_json::from_str::<Step>(text).unwrap(), expected);
        }
        let wanted = r#"{"vips":["10.0.0.1"],"devices":[],"tunnel":"ipip","decap":"auto"}"#;
        assert_eq!(serde_json::from_str::<Wanted>(wanted).unwrap().clamp, None);
    }
}
