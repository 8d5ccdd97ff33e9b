//! Who has to clean up what. A lab must never outlive its program, however that ends:
//!
//! * normally or by a panic: `Lab` is dropped and removes itself;
//! * by Ctrl-C or a kind `kill`: a thread waits for the signal, removes every lab of this process, and exits;
//! * by `kill -9` or a crash: each lab is written down in /run/rlvs/lab before it is made, and the next lab that
//!   starts ([`sweep`]) removes those whose process is gone.
//!
//! A lab can also be kept on purpose (`rlvs demo --keep`); then only [`remove_kept`] ends it. A process is known by its
//! number and its start time, as numbers come back.

use super::namespace;
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

const DIR: &str = "/run/rlvs/lab";

/// Number of a lab within this process.
pub type LabId = u32;

/// A command to run in a namespace before the lab goes away (such as `rlvs down` in the director). It is data, not a
/// closure, so that whoever removes the lab can do it.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Farewell {
    pub namespace: String,
    pub program: PathBuf,
    pub args: Vec<String>,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
struct Process {
    pid: u32,
    /// In clock ticks since boot.
    started: u64,
}

/// What is written down about a lab.
#[derive(Serialize, Deserialize, Debug)]
struct Record {
    owner: Process,
    kept: bool,
    namespaces: Vec<String>,
    children: Vec<Process>,
    farewells: Vec<Farewell>,
}

static LABS: Mutex<BTreeMap<LabId, Record>> = Mutex::new(BTreeMap::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Starts the thread that waits for signals, once.
static SIGNALS: LazyLock<io::Result<()>> = LazyLock::new(watch_signals);

/// Registers a lab whose namespaces will be `PREFIX` + host name; returns its number and the prefix.
pub fn begin(hosts: &[&str]) -> Result<(LabId, String)> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    SIGNALS.as_ref().map_err(|e| anyhow::anyhow!("cannot watch for signals: {e}"))?;
    let owner = Process::this();
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("rlvs-{}-{id}-", owner.pid);
    let namespaces = hosts.iter().map(|h| format!("{prefix}{h}")).collect();
    let record = Record { owner, kept: false, namespaces, children: vec![], farewells: vec![] };
    record.save(id)?;
    labs().insert(id, record);
    Ok((id, prefix))
}

/// Notes a child process, which will be killed with the lab.
pub fn add_child(id: LabId, pid: u32) -> Result<()> {
    let Some(child) = Process::find(pid) else { return Ok(()) };
    change(id, |record| record.children.push(child))
}

pub fn add_farewell(id: LabId, farewell: Farewell) -> Result<()> {
    change(id, |record| record.farewells.push(farewell))
}

/// Lets a lab live on without this process.
pub fn keep(id: LabId) -> Result<()> {
    change(id, |record| record.kept = true)?;
    labs().remove(&id);
    Ok(())
}

fn change(id: LabId, what: impl FnOnce(&mut Record)) -> Result<()> {
    match labs().get_mut(&id) {
        Some(record) => {
            what(record);
            record.save(id)
        }
        None => Ok(()),
    }
}

/// Removes a lab of this process: farewells, children, namespaces, record. Once; later calls do nothing.
pub fn end(id: LabId) {
    let record = labs().remove(&id);
    if let Some(record) = record {
        record.remove(&Record::path(record.owner, id));
    }
}

/// Removes every lab of this process.
pub fn end_all() {
    // The lock is held, so that nobody makes a lab (or an exit of its own) in between.
    let mut labs = labs();
    while let Some((id, record)) = labs.pop_first() {
        record.remove(&Record::path(record.owner, id));
    }
}

/// True when a signal is ending this program: failures from now on are only a consequence.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Removes the labs of processes that are gone.
pub fn sweep() {
    for (path, record) in records() {
        if !record.kept && !record.owner.lives() {
            record.remove(&path);
        }
    }
}

/// Removes labs that were kept; says how many.
pub fn remove_kept() -> usize {
    let kept: Vec<_> = records().into_iter().filter(|(_, r)| r.kept).collect();
    for (path, record) in &kept {
        record.remove(path);
    }
    kept.len()
}

fn labs() -> MutexGuard<'static, BTreeMap<LabId, Record>> {
    LABS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn watch_signals() -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            INTERRUPTED.store(true, Ordering::Relaxed);
            end_all();
            std::process::exit(128 + signal);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

impl Record {
    fn path(owner: Process, id: LabId) -> PathBuf {
        Path::new(DIR).join(format!("{}-{id}.json", owner.pid))
    }

    /// Written whole or not at all, as another process may be sweeping.
    fn save(&self, id: LabId) -> Result<()> {
        let path = Record::path(self.owner, id);
        let unfinished = path.with_extension("new");
        fs::create_dir_all(DIR)
            .and_then(|()| fs::write(&unfinished, serde_json::to_vec(self)?))
            .and_then(|()| fs::rename(&unfinished, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Errors are told and not returned: the rest must go too.
    fn remove(&self, path: &Path) {
        for farewell in &self.farewells {
            farewell.say();
        }
        for child in &self.children {
            child.kill();
        }
        for name in &self.namespaces {
            if let Err(e) = namespace::remove(name) {
                eprintln!("rlvs: {e:#}");
            }
        }
        let _ = fs::remove_file(path);
    }
}

impl Farewell {
    /// What it prints or answers is of no use any more; two seconds must do.
    fn say(&self) {
        let Ok(namespace) = File::open(namespace::path(&self.namespace)) else { return };
        let mut command = namespace::command(Arc::new(namespace), &self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Ok(mut child) = command.spawn() {
            let end = Instant::now() + Duration::from_secs(2);
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
                thread::sleep(Duration::from_millis(1));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn records() -> Vec<(PathBuf, Record)> {
    let Ok(dir) = fs::read_dir(DIR) else { return vec![] };
    let paths =
        dir.flatten().map(|entry| entry.path()).filter(|p| p.extension().is_some_and(|e| e == "json"));
    paths.filter_map(|p| Some((p.clone(), serde_json::from_slice(&fs::read(&p).ok()?).ok()?))).collect()
}

impl Process {
    fn this() -> Process {
        Process::find(std::process::id()).expect("this process exists")
    }

    fn find(pid: u32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command's name, in brackets, may contain anything; field 22 is the start time, field 3 comes after it.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let dead = matches!(fields.next()?, "Z" | "X");
        let started = fields.nth(18)?.parse().ok()?;
        (!dead).then_some(Process { pid, started })
    }

    fn lives(self) -> bool {
        Process::find(self.pid) == Some(self)
    }

    /// Kills it and waits until it is gone, a second at most.
    fn kill(self) {
        let end = Instant::now() + Duration::from_secs(1);
        while self.lives() && Instant::now() < end {
            let _ = kill(Pid::from_raw(self.pid as i32), Signal::SIGKILL);
            thread::sleep(Duration::from_millis(1));
        }
        // If it is ours it has to be collected; if it is not, that is refused.
        let _ = nix::sys::wait::waitpid(
            Pid::from_raw(self.pid as i32),
            Some(nix::sys::wait::WaitPidFlag::WNOHANG),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let me = Process::this();
        assert!(me.lives());
        assert!(!Process { started: me.started + 1, ..me }.lives());
    }

    #[test]
    fn the_killed_do_not_live() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let process = Process::find(child.id()).unwrap();
        process.kill();
        assert!(!process.lives());
        let _ = child.wait();
    }
}
