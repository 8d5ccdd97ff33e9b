//! Which destinations of a network namespace are drained, and what undraining restores: `/run/rlvs/drain-COOKIE.json`, mode
//! 0600, replaced as a whole. The cookie names the namespace and never comes again before the next boot; a file of an
//! earlier boot counts as empty.
//!
//! An open ledger is locked (on `drain.lock` beside it) against every other process that opens one. What is going to be
//! done is noted before it is done.

use super::{Fate, Then};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rlvs_control::model::ServiceKey;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const DIRECTORY: &str = "/run/rlvs";
const VERSION: u32 = 1;

/// A destination that is draining, or drained and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    pub service: ServiceKey,
    pub addr: IpAddr,
    pub port: u16,
    /// What undraining restores.
    pub former_weight: u32,
    pub udp: Fate,
    pub persistent: Fate,
    pub then: Then,
    /// In the time of [`since_boot`].
    pub began_ms: u64,
    /// None: as long as it takes.
    pub deadline_ms: Option<u64>,
}

impl Drain {
    pub fn is(&self, service: &ServiceKey, addr: IpAddr, port: u16) -> bool {
        (self.service, self.addr, self.port) == (*service, addr, port)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    version: u32,
    boot: String,
    drains: Vec<Drain>,
}

/// Something is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{doing}: {cause}")]
    System { doing: String, cause: io::Error },
    #[error(
        "{path} is damaged ({why}); it has the weights that `rlvs undrain` would restore: look them up in it, then delete it"
    )]
    Damaged { path: String, why: String },
    #[error("{path} has version {found}, this rlvs has {VERSION}: use the rlvs that wrote it, or delete it")]
    Version { path: String, found: u64 },
}

/// The ledger of one namespace, locked until it is dropped.
pub struct Ledger {
    path: PathBuf,
    drains: Vec<Drain>,
    _lock: Flock<File>,
}

impl Ledger {
    /// The ledger of the namespace with this cookie (`rlvs_control::bpffs::netns_cookie`); waits for others who have it
    /// open.
    pub fn open(cookie: u64) -> Result<Ledger, Error> {
        Ledger::open_in(Path::new(DIRECTORY), cookie)
    }

    pub fn open_in(directory: &Path, cookie: u64) -> Result<Ledger, Error> {
        let system =
            |doing: &str, cause| Error::System { doing: format!("{doing} {}", directory.display()), cause };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|e| system("making the directory", e))?;
        let lock = lock(&directory.join("drain.lock")).map_err(|e| system("locking drain.lock in", e))?;
        let path = file(directory, cookie);
        let drains = read(&path)?;
        Ok(Ledger { path, drains, _lock: lock })
    }

    pub fn drains(&self) -> &[Drain] {
        &self.drains
    }

    pub fn find(&self, service: &ServiceKey, addr: IpAddr, port: u16) -> Option<&Drain> {
        self.drains.iter().find(|d| d.is(service, addr, port))
    }

    /// Notes a drain, in place of what was noted of the same destination.
    pub fn note(&mut self, drain: Drain) -> Result<(), Error> {
        self.drains.retain(|d| !d.is(&drain.service, drain.addr, drain.port));
        self.drains.push(drain);
        self.save()
    }

    pub fn forget(&mut self, service: &ServiceKey, addr: IpAddr, port: u16) -> Result<(), Error> {
        self.drains.retain(|d| !d.is(service, addr, port));
        self.save()
    }

    /// All of them: the rules are gone.
    pub fn clear(&mut self) -> Result<(), Error> {
        self.drains.clear();
        self.save()
    }

    /// The weight that undraining is to restore; whether it is drained at all.
    pub fn set_former_weight(
        &mut self,
        service: &ServiceKey,
        addr: IpAddr,
        port: u16,
        weight: u32,
    ) -> Result<bool, Error> {
        match self.drains.iter_mut().find(|d| d.is(service, addr, port)) {
            Some(drain) => drain.former_weight = weight,
            None => return Ok(false),
        }
        self.save()?;
        Ok(true)
    }

    /// Whole or not at all, whenever the machine stops. Nothing noted, no file.
    fn save(&self) -> Result<(), Error> {
        let done = if self.drains.is_empty() {
            fs::remove_file(&self.path).or_else(|e| match e.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(e),
            })
        } else {
            let contents = Contents { version: VERSION, boot: boot(), drains: self.drains.clone() };
            replace(&self.path, &contents)
        };
        done.map_err(|cause| Error::System { doing: format!("writing {}", self.path.display()), cause })
    }
}

/// What is noted, without the lock.
pub fn peek(cookie: u64) -> Result<Vec<Drain>, Error> {
    read(&file(Path::new(DIRECTORY), cookie))
}

/// How long this machine runs, to a hundredth of a second: the ledger's clock, which nobody sets.
pub fn since_boot() -> Duration {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    Duration::from_secs_f64(seconds.unwrap_or(0.0).max(0.0))
}

fn file(directory: &Path, cookie: u64) -> PathBuf {
    directory.join(format!("drain-{cookie}.json"))
}

fn lock(path: &Path) -> io::Result<Flock<File>> {
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = open?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(lock) => return Ok(lock),
            Err((again, Errno::EINTR)) => file = again,
            Err((_, e)) => return Err(e.into()),
        }
    }
}

fn read(path: &Path) -> Result<Vec<Drain>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(cause) => return Err(Error::System { doing: format!("reading {}", path.display()), cause }),
    };
    let shown = || path.display().to_string();
    let damaged = |e: serde_json::Error| Error::Damaged { path: shown(), why: e.to_string() };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(damaged)?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version != u64::from(VERSION) => {
            return Err(Error::Version { path: shown(), found: version });
        }
        _ => {}
    }
    let contents: Contents = serde_json::from_value(value).map_err(damaged)?;
    Ok(if contents.boot == boot() { contents.drains } else { vec![] })
}

fn replace(path: &Path, contents: &Contents) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec_pretty(contents)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_string()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use rlvs_control::model::Protocol;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A drain of this real server in tcp:10.0.0.100:80 that keeps everything.
    pub fn drain(server: &str) -> Drain {
        let server: std::net::SocketAddr = server.parse().unwrap();
        Drain {
            service: ServiceKey::Address {
                protocol: Protocol::Tcp,
                addr: "10.0.0.100".parse().unwrap(),
                port: 80,
            },
            addr: server.ip(),
            port: server.port(),
            former_weight: 3,
            udp: Fate::Keep,
            persistent: Fate::Keep,
            then: Then::Keep,
            began_ms: 0,
            deadline_ms: None,
        }
    }

    /// A directory of its own, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Scratch {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("rlvs-drain-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            Scratch(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_noted_is_found_again_and_forgotten() {
        let scratch = Scratch::new();
        let (one, two) = (drain("10.1.0.1:80"), drain("[fd00::2]:80"));
        let mut ledger = Ledger::open_in(&scratch.0, 7).unwrap();
        ledger.note(one).unwrap();
        ledger.note(two).unwrap();
        ledger.note(Drain { former_weight: 9, ..one }).unwrap();
        assert!(ledger.set_former_weight(&two.service, two.addr, two.port, 5).unwrap());
        assert!(!ledger.set_former_weight(&two.service, two.addr, 81, 5).unwrap());
        drop(ledger);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = file(&scratch.0, 7);
        assert_eq!((mode(&scratch.0), mode(&path)), (0o700, 0o600));
        let mut ledger = Ledger::open_in(&scratch.0, 7).unwrap();
        assert_eq!(ledger.drains(), [Drain { former_weight: 5, ..two }, Drain { former_weight: 9, ..one }]);
        assert!(ledger.find(&one.service, one.addr, 80).is_some());
        ledger.forget(&one.service, one.addr, 80).unwrap();
        ledger.forget(&two.service, two.addr, 80).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let scratch = Scratch::new();
        Ledger::open_in(&scratch.0, 1).unwrap().note(drain("10.1.0.1:80")).unwrap();
        let path = file(&scratch.0, 1);
        let good = fs::read_to_string(&path).unwrap();
        for (text, says) in [
            (good.replace("\"version\": 1", "\"version\": 2"), "version 2"),
            (good[..good.len() / 2].to_string(), "damaged"),
            ("{}".to_string(), "damaged"),
            (String::new(), "damaged"),
        ] {
            fs::write(&path, text).unwrap();
            let refused = Ledger::open_in(&scratch.0, 1).err().expect(says).to_string();
            assert!(refused.contains(says) && refused.contains("drain-1.json"), "{refused}");
        }
        fs::write(&path, good.replace(&boot(), "an-earlier-one")).unwrap();
        assert_eq!(Ledger::open_in(&scratch.0, 1).unwrap().drains(), []);
    }

    #[test]
    fn one_at_a_time() {
        let scratch = Scratch::new();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let directory = &scratch.0;
                scope.spawn(move || {
                    for port in 0..20 {
                        let mut ledger = Ledger::open_in(directory, 1).unwrap();
                        ledger.note(drain(&format!("10.1.0.{n}:{port}"))).unwrap();
                    }
                });
            }
        });
        assert_eq!(Ledger::open_in(&scratch.0, 1).unwrap().drains().len(), 160);
    }

    #[test]
    fn the_clock_runs() {
        let (a, b) = (since_boot(), since_boot());
        assert!(b >= a && a > Duration::ZERO);
    }
}
