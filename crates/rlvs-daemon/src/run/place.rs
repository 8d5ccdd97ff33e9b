//! The daemon's directory: `/run/rlvs/ns-COOKIE` of the network namespace that has the rules (mode 0700).
//!
//! | file | what it is |
//! |---|---|
//! | `daemon.lock` | held while a daemon runs; has its process id |
//! | `daemon.sock` | the API (mode 0600) |
//! | `memory.json` | what the next daemon must know |

use crate::machine::{Memory, VERSION};
use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use rlvs_control::bpffs;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The most bytes of a memory that is read: a million destinations' checks.
const MAX_MEMORY: u64 = 1 << 30;

#[derive(Clone, Debug)]
pub struct Place {
    directory: PathBuf,
}

impl Place {
    pub fn of_this_namespace() -> Result<Place> {
        Ok(Place { directory: PathBuf::from(format!("/run/rlvs/ns-{}", bpffs::netns_cookie()?)) })
    }

    pub fn at(directory: PathBuf) -> Place {
        Place { directory }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("daemon.sock")
    }

    /// Makes the directory and takes the lock; a second daemon is refused.
    pub fn take(&self) -> Result<Flock<File>> {
        let shown = self.directory.display();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.with_context(|| format!("cannot make the directory {shown}"))?;
        fs::set_permissions(&self.directory, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot chmod {shown}"))?;
        let path = self.directory.join("daemon.lock");
        loop {
            let mut open = OpenOptions::new();
            open.read(true).write(true).create(true).truncate(false).mode(0o600);
            let mut file = open.open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                // Whoever had the lock may have removed the file; then ours is a lock on nothing.
                Ok(lock) if !is_still(&lock, &path) => {}
                Ok(mut lock) => {
                    lock.set_len(0)?;
                    lock.rewind()?;
                    write!(lock, "{}", std::process::id())?;
                    return Ok(lock);
                }
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => bail!(
                    "a daemon looks after this network namespace already (process {}, {shown}); rlvs reload makes it \
                     read its configuration again",
                    owner.trim()
                ),
                Err((_, error)) => bail!("cannot lock {}: {error}", path.display()),
            }
        }
    }

    fn memory(&self) -> PathBuf {
        self.directory.join("memory.json")
    }

    /// What the daemon before this one knew. What cannot be read is said and counts for nothing.
    pub fn recall(&self) -> Memory {
        let path = self.memory();
        let read = || -> Result<Memory> {
            let mut text = String::new();
            File::open(&path)?.take(MAX_MEMORY).read_to_string(&mut text)?;
            let memory: Memory = serde_json::from_str(&text)?;
            if memory.version != VERSION {
                bail!("it has version {}, this rlvs has {VERSION}", memory.version);
            }
            Ok(memory)
        };
        match read() {
            Ok(memory) => memory,
            Err(error) => {
                let absent = error.downcast_ref::<std::io::Error>();
                if absent.is_none_or(|e| e.kind() != std::io::ErrorKind::NotFound) {
                    eprintln!("{}: {error}; beginning without it", path.display());
                }
                Memory::default()
            }
        }
    }

    /// All or nothing: a death in between leaves the old one.
    pub fn remember(&self, memory: &Memory) -> Result<()> {
        let path = self.memory();
        let new = path.with_extension("new");
        let write = || -> Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(memory)?)?;
            Ok(fs::rename(&new, &path)?)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// The rules are gone, so nothing needs to be known of them. The lock must be held.
    pub fn forget(&self) {
        for file in ["memory.json", "daemon.sock", "daemon.lock"] {
            let _ = fs::remove_file(self.directory.join(file));
        }
        let _ = fs::remove_dir(&self.directory); // only if it is empty
    }
}

fn is_still(lock: &File, path: &Path) -> bool {
    let inode = |meta: std::io::Result<fs::Metadata>| meta.ok().map(|meta| (meta.dev(), meta.ino()));
    inode(lock.metadata()) == inode(fs::metadata(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> Place {
        Place::at(std::env::temp_dir().join(format!("rlvs-place-{}-{name}", std::process::id())))
    }

    #[test]
    fn one_daemon_at_a_time() {
        let place = scratch("lock");
        let lock = place.take().unwrap();
        let refused = place.take().unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(lock);
        let _again = place.take().unwrap();
        place.forget();
        assert!(!place.directory.exists());
    }

    #[test]
    fn a_memory_that_makes_no_sense_is_none() {
        let place = scratch("memory");
        let _lock = place.take().unwrap();
        assert_eq!(place.recall(), Memory::default());
        let memory =
            Memory { version: VERSION, quorums: [("x".to_owned(), true)].into(), ..Memory::default() };
        place.remember(&memory).unwrap();
        assert_eq!(place.recall(), memory);
        for text in [
            "",
            "{",
            "[]",
            "{\"version\":1}",
            "{\"version\":99,\"services\":[],\"checks\":{},\"quorums\":{}}",
        ] {
            fs::write(place.memory(), text).unwrap();
            assert_eq!(place.recall(), Memory::default(), "{text}");
        }
        place.forget();
    }
}
