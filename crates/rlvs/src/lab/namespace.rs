//! Network namespaces by name, as `ip netns` knows them: a file below /run/netns on which the kernel's namespace is
//! mounted, so that it lives without a process in it and `ip netns exec NAME …` can enter it.
//!
//! A namespace belongs to a thread, not to a process: entering one in a fresh thread leaves the rest of the program
//! where it is. Mounts are not changed (unlike `ip netns exec`), so bpffs stays visible; and /proc/sys/net shows the
//! settings of the namespace of the thread that opens a file there.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

const DIR: &str = "/run/netns";

/// The file that stands for namespace `name`.
pub fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Makes namespace `name` and returns a handle that can be entered.
pub fn create(name: &str) -> Result<File> {
    prepare_dir().with_context(|| format!("cannot prepare {DIR}"))?;
    let path = path(name);
    File::create_new(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let made = thread::scope(|s| s.spawn(|| unshare_and_bind(&path)).join().expect("no panic in there"));
    if let Err(e) = made {
        // The empty file must not look like a namespace.
        let _ = fs::remove_file(&path);
        bail!("cannot make network namespace {name}: {e}");
    }
    File::open(&path).with_context(|| format!("cannot open {}", path.display()))
}

/// Takes the name away. The namespace itself ends with the last process and socket in it. A name that is not there is
/// fine.
pub fn remove(name: &str) -> Result<()> {
    let path = path(name);
    match umount2(&path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(e) => bail!("cannot unmount {}: {e}", path.display()),
    }
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Moves the calling thread into the namespace. Safe to call between fork and exec: it is one system call.
pub fn enter(namespace: &File) -> io::Result<()> {
    setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}

/// A command that will run inside the namespace, and still sees the machine's mounts.
pub fn command(namespace: Arc<File>, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // SAFETY: between fork and exec the closure makes one system call, setns, on a descriptor that is open; it does not
    // allocate or take locks.
    unsafe { command.pre_exec(move || enter(&namespace)) };
    command
}

/// Runs `work` in a thread of its own inside the namespace, and returns what it returns (a panic goes on in the caller).
pub fn run_in<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter(namespace)?;
            Ok(work())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn unshare_and_bind(path: &Path) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    mount(Some("/proc/thread-self/ns/net"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
}

/// As `ip netns add` does it: the directory is a shared mount point, so that a removal reaches every mount namespace.
fn prepare_dir() -> Result<()> {
    fs::create_dir_all(DIR)?;
    let share = || mount(None::<&str>, DIR, None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>);
    if share() == Err(Errno::EINVAL) {
        mount(Some(DIR), DIR, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
        share()?;
    }
    Ok(())
}
