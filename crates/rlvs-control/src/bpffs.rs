//! Where pinned programs, maps and links live, and which network namespace they belong to.
//!
//! A pin is a name in a bpffs; it keeps its object alive with no process of ours. All callers must meet in the *same*
//! bpffs, whatever mount namespace they were started in: `ip netns exec NS …` gives its command a private `/sys` in which
//! `/sys/fs/bpf` is an empty directory, and a bpffs mounted there dies with the command. So we look at the mount namespace
//! of process 1, through `/proc/1/root`, and mount bpffs there if nobody has done so yet.
//!
//! Process 1 may be closed to us: its `/proc/1/root` opens only to those who could trace it (a container whose first process
//! has more capabilities than ours, a hardened host). Then the outermost of our own ancestors that is open takes its place:
//! under `ip netns exec` that is the shell which started it, in the mount namespace everybody else is in.
//!
//! Pins are per network namespace: [`netns_cookie`] names it. Inode numbers are used again, cookies never (until reboot).

use crate::{Error, Result};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The place of the bpffs inside its mount namespace, and our directory in it.
const MOUNT_POINT: &str = "sys/fs/bpf";
const OURS: &str = "rlvs";

/// `SO_NETNS_COOKIE`, since Linux 5.14 (the libc crate does not have it everywhere).
const SO_NETNS_COOKIE: libc::c_int = 71;

/// `<bpffs>/rlvs`, made (mode 0700) if it is not there, in a bpffs that all commands share, mounted if it is not.
///
/// The path may lead through `/proc/PID/root`: use it at once, do not store it.
pub fn base() -> Result<PathBuf> {
    let home = Home::find();
    let bpffs = home.root.join(MOUNT_POINT);
    if !is_bpffs(&bpffs) {
        mount(&home, &bpffs)?;
    }
    let ours = bpffs.join(OURS);
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&ours);
    made.map_err(|e| Error::system(format!("making the directory {}", ours.display()), e))?;
    // It may be older than us, or the umask may have had a say.
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o700))
        .map_err(|e| Error::system(format!("chmod 0700 {}", ours.display()), e))?;
    Ok(ours)
}

/// The number of the calling thread's network namespace: never used twice until reboot; the first one is 1.
pub fn netns_cookie() -> Result<u64> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").map_err(|e| Error::system("opening a socket", e))?;
    let mut cookie: u64 = 0;
    let mut len = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, which is the size of `cookie`.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    match (rc, io::Error::last_os_error()) {
        (0, _) => Ok(cookie),
        (_, e) if e.raw_os_error() == Some(libc::ENOPROTOOPT) => Err(Error::KernelTooOld {
            feature: "telling network namespaces apart (SO_NETNS_COOKIE)",
            needs: "5.14",
            running: kernel_release(),
        }),
        (_, e) => Err(Error::system("asking for the network namespace's cookie (SO_NETNS_COOKIE)", e)),
    }
}

/// What `uname -r` says.
pub fn kernel_release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_string()
}

/// Compares the version of the running kernel.
pub fn kernel_is_older_than(major: u32, minor: u32) -> bool {
    is_older_than(&kernel_release(), major, minor)
}

fn is_older_than(release: &str, major: u32, minor: u32) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (major, minor)
}

/// The mount namespace that everybody shares.
struct Home {
    /// Its root directory, as seen by us.
    root: PathBuf,
    /// To enter it, where it is not the one we are in.
    namespace: Option<fs::File>,
}

impl Home {
    fn find() -> Home {
        let own = fs::read_link("/proc/self/ns/mnt").ok();
        for pid in outermost_first() {
            let root = PathBuf::from(format!("/proc/{pid}/root"));
            let Ok(namespace) = fs::File::open(format!("/proc/{pid}/ns/mnt")) else { continue };
            if fs::read_link(format!("/proc/{pid}/ns/mnt")).ok() == own {
                break;
            }
            if fs::metadata(root.join("sys")).is_ok() {
                return Home { root, namespace: Some(namespace) };
            }
        }
        Home { root: PathBuf::from("/"), namespace: None }
    }
}

/// Process 1, then our ancestors from the eldest to the parent.
fn outermost_first() -> Vec<u32> {
    let mut line = Vec::new();
    let mut pid = std::os::unix::process::parent_id();
    while pid > 1 && line.len() < 64 {
        line.push(pid);
        pid = parent_of(pid).unwrap_or(0);
    }
    line.push(1);
    line.reverse();
    line
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // "PID (name) state ppid …": the name may hold anything, so count from its last parenthesis.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn is_bpffs(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: `statfs` is plain numbers, for which all zeroes is a value.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends in a zero byte and `found` is a whole statfs; both live over the call.
    let rc = unsafe { libc::statfs(path.as_ptr(), &raw mut found) };
    rc == 0 && found.f_type as u64 == libc::BPF_FS_MAGIC as u64
}

/// Mounts a bpffs at `bpffs`, in the mount namespace of `home`; once, however many ask at the same time.
fn mount(home: &Home, bpffs: &Path) -> Result<()> {
    let whole = |e: io::Error| {
        let hint = match e.raw_os_error() {
            Some(libc::EPERM) => {
                "; it needs root (CAP_SYS_ADMIN), or an administrator's `mount -t bpf bpf /sys/fs/bpf`"
            }
            Some(libc::ENODEV) => "; this kernel was built without CONFIG_BPF_SYSCALL",
            Some(libc::ENOENT) => "; is sysfs mounted on /sys, and has the kernel CONFIG_BPF_SYSCALL?",
            _ => "",
        };
        Error::system(format!("mounting bpffs on /{MOUNT_POINT}{hint}"), e)
    };
    let parent = bpffs.parent().unwrap_or(bpffs);
    let _lock = lock(parent).map_err(whole)?;
    if is_bpffs(bpffs) {
        return Ok(());
    }
    match &home.namespace {
        None => mount_here(),
        // A thread of its own, because a thread that entered another mount namespace does not come back.
        Some(namespace) => std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // The kernel lets a task change its mount namespace only if it shares its root and
                // working directory with nobody.
                // SAFETY: both calls change this thread alone, which ends right after.
                unsafe {
                    if libc::unshare(libc::CLONE_FS) != 0
                        || libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) != 0
                    {
                        return Err(io::Error::last_os_error());
                    }
                }
                mount_here()
            });
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the mounting thread died")))
        }),
    }
    .map_err(whole)
}

/// Mounts a bpffs in the mount namespace of the calling thread.
fn mount_here() -> io::Result<()> {
    // SAFETY: four strings that end in zero bytes; the kernel copies them.
    let rc = unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            c"/sys/fs/bpf".as_ptr(),
            c"bpf".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RELATIME,
            c"mode=0700".as_ptr().cast(),
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Holds an exclusive lock on the directory `path` (waiting for it) until it is dropped.
pub(crate) fn lock(path: &Path) -> io::Result<OwnedFd> {
    let dir = fs::File::open(path)?;
    loop {
        // SAFETY: a file descriptor that lives over the call, and a flag.
        if unsafe { libc::flock(dir.as_raw_fd(), libc::LOCK_EX) } == 0 {
            return Ok(dir.into());
        }
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
}

/// The same, if nobody holds it.
pub(crate) fn try_lock(path: &Path) -> Option<OwnedFd> {
    let dir = fs::File::open(path).ok()?;
    // SAFETY: a file descriptor that lives over the call, and flags.
    let rc = unsafe { libc::flock(dir.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    (rc == 0).then(|| dir.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_1_comes_first_and_the_parent_last() {
        let line = outermost_first();
        assert_eq!(line[0], 1);
        assert!(line.len() == 1 || *line.last().unwrap() == std::os::unix::process::parent_id());
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(is_older_than("5.10.0-30-amd64", 6, 1));
        assert!(is_older_than("6.1.0-56-amd64", 6, 6));
        assert!(!is_older_than("6.18.44-fc-v657", 6, 6));
        assert!(!is_older_than("6.6", 6, 6));
    }

    #[test]
    fn a_namespace_has_one_cookie() {
        let cookie = netns_cookie().unwrap();
        assert_ne!(cookie, 0);
        assert_eq!(cookie, netns_cookie().unwrap());
    }
}
