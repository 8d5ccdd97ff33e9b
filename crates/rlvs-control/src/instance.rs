//! The instance of one network namespace: its pins, opened; made by the first command that adds a service.
//!
//! ```text
//! <bpffs>/rlvs/ns-COOKIE/director/        maps and programs under their names
//!                         …/links/        xdp-IFINDEX and tc-IFINDEX
//! ```
//!
//! A namespace that is deleted takes its interfaces along, but not the pins; the next instance to be made anywhere sweeps
//! them. A tcx or XDP link tells whether its interface is gone. Kernels below 6.6 have no tcx; there a link of a trivial
//! socket look-up program is pinned too, as `links/netns`, which tells whether its namespace is gone.
//!
//! Everything that changes something holds a lock on `ns-COOKIE`. A new instance is pinned in a directory of another
//! name and then renamed, so there never is half of one. (Names in bpffs have no dots.)

use crate::object::{self, Programs, Sizes};
use crate::shared::{Key, Lazy, Shared};
use crate::{Error, Result, bpffs, links};
use aya::maps::{HashMap, MapData};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp};
use rlvs_core::conn::SET_WORDS;
use rlvs_core::maps::command::{Command, MAGIC, op};
use rlvs_core::maps::sysctl::Setting;
use rlvs_core::maps::{
    AnswerLimits, BUCKETS_PER_PAGE, DestConfig, Filter, LAYOUT_VERSION, MarkRule, ServiceConfig, Settings,
    SourceConfig, changing, global, rates, stats,
};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What an instance is called until it is whole.
const UNFINISHED: &str = "director-new";

pub struct Instance {
    pub dir: PathBuf,
    pub settings: Shared<Settings>,
    pub filter: Shared<Filter>,
    pub services: HashMap<MapData, Key, u32>,
    pub service: Shared<ServiceConfig>,
    pub dest: Shared<DestConfig>,
    pub dest_state: Shared<[u32; 16]>,
    pub buckets: Lazy<[u32; BUCKETS_PER_PAGE]>,
    pub marks: Shared<MarkRule>,
    pub sources: Shared<SourceConfig>,
    pub stats: Shared<[u32; stats::WORDS]>,
    pub rates: Shared<[u32; rates::WORDS]>,
    pub drops: Shared<u64>,
    pub conns: Lazy<[u32; SET_WORDS]>,
    pub conns6: Lazy<[u32; SET_WORDS]>,
    pub global: Shared<[u32; global::WORDS]>,
    command: SchedClassifier,
    pub hz: u32,
    pub cpus: u32,
}

/// Where the instance of this network namespace is, or would be.
pub struct Place {
    /// `<bpffs>/rlvs/ns-COOKIE`
    pub namespace: PathBuf,
}

impl Place {
    pub fn here() -> Result<Place> {
        Ok(Place { namespace: bpffs::base()?.join(format!("ns-{}", bpffs::netns_cookie()?)) })
    }

    pub fn director(&self) -> PathBuf {
        self.namespace.join("director")
    }

    pub fn exists(&self) -> bool {
        self.director().is_dir()
    }

    /// Waits until no other command changes this namespace; held until dropped.
    pub fn lock(&self) -> Result<OwnedFd> {
        loop {
            make_dir(&self.namespace)?;
            let failed = |e| Error::system(format!("locking {}", self.namespace.display()), e);
            match bpffs::lock(&self.namespace) {
                // Whoever had the lock may have removed the directory; then ours is a lock on nothing.
                Ok(lock) if is_still(&lock, &self.namespace) => return Ok(lock),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed(e)),
            }
        }
    }

    /// The same if no other command changes it now.
    pub fn try_lock(&self) -> Option<OwnedFd> {
        bpffs::try_lock(&self.namespace).filter(|lock| is_still(lock, &self.namespace))
    }

    /// Removes what is left of this namespace, if nothing is. The lock must be held.
    pub fn forget(&self) {
        // If a real server's pins are there too, they keep it.
        let _ = fs::remove_dir(&self.namespace);
    }

    /// Loads and pins a new instance, which says that it is not attached yet. The lock must be held.
    pub fn create(&self, programs: &Programs) -> Result<Instance> {
        if bpffs::kernel_is_older_than(6, 1) {
            let running = bpffs::kernel_release();
            return Err(Error::KernelTooOld {
                feature: "balancing (bpf_loop, timers in programs)",
                needs: "6.1",
                running,
            });
        }
        sweep(&self.namespace);
        let fresh = self.namespace.join(UNFINISHED);
        remove(&fresh)?;
        make_dir(&fresh)?;
        let made = self.fill(&fresh, programs).and_then(|()| {
            fs::rename(&fresh, self.director())
                .map_err(|e| Error::system(format!("renaming {}", fresh.display()), e))
        });
        if let Err(e) = made {
            let _ = remove(&fresh);
            return Err(e);
        }
        self.open()
    }

    fn fill(&self, dir: &Path, programs: &Programs) -> Result<()> {
        let sizes = Sizes::of_this_machine();
        let seed = object::random()?;
        let mut ebpf = object::load(&sizes, seed, programs)?;
        object::pin(&mut ebpf, dir, programs)?;
        let instance = Instance::open(dir)?;
        let changing = changing::ATTACHES | changing::NO_SERVICE << 16;
        instance.settings.set(0, &Settings { seed, changing, ..first_settings(sizes.hz) });
        instance.command(op::START, 0, 0, 0)?;
        let links = dir.join("links");
        make_dir(&links)?;
        if bpffs::kernel_is_older_than(6, 6) {
            object::pin_namespace_link(&mut ebpf, &links.join("netns"))?;
        }
        Ok(())
    }

    pub fn open(&self) -> Result<Instance> {
        Instance::open(&self.director())
    }
}

impl Instance {
    fn open(dir: &Path) -> Result<Instance> {
        let other = |found| Error::Layout { path: dir.display().to_string(), found, ours: LAYOUT_VERSION };
        let pinned = object::open_map(dir, "SETTINGS")?;
        if let Ok(info) = pinned.info()
            && info.value_size() as usize != size_of::<Settings>()
        {
            return Err(other(format!("one with {} bytes of settings", info.value_size())));
        }
        let settings = Shared::<Settings>::map(&pinned, "SETTINGS")?;
        let layout = settings.get(0).layout;
        if layout != 0 && layout != LAYOUT_VERSION {
            return Err(other(layout.to_string()));
        }
        let program = SchedClassifier::from_pin(dir.join(object::COMMAND));
        let command = program.map_err(|e| {
            Error::system(format!("opening {}", dir.display()), io::Error::other(object::chain(&e)))
        })?;
        let sizes = Sizes::of_this_machine();
        Ok(Instance {
            dir: dir.to_path_buf(),
            filter: map(dir, "FILTER")?,
            services: object::open_hash(dir, "SERVICES")?,
            service: map(dir, "SERVICE")?,
            dest: map(dir, "DEST")?,
            dest_state: map(dir, "DEST_STATE")?,
            buckets: lazy(dir, "BUCKETS")?,
            marks: map(dir, "MARKS")?,
            sources: map(dir, "SOURCES")?,
            stats: map(dir, "STATS")?,
            rates: map(dir, "RATES")?,
            drops: map(dir, "DROPS")?,
            conns: lazy(dir, "CONNS")?,
            conns6: lazy(dir, "CONNS6")?,
            global: map(dir, "GLOBAL")?,
            settings,
            command,
            hz: sizes.hz,
            cpus: sizes.cpus,
        })
    }

    /// Which programs its packets meet.
    pub fn programs(&self) -> &'static Programs {
        if self.dir.join(object::BOTH.tc).exists() { &object::BOTH } else { &object::FOUR }
    }

    /// An XDP program on the maps of this instance. The lock must be held.
    pub fn xdp_program(&self, name: &str) -> Result<Xdp> {
        object::load_xdp(&self.dir, name, &self.sizes(), self.settings.get(0).seed)
    }

    /// An object on the maps of this instance, with a TC program for both families.
    pub fn load_both(&self) -> Result<aya::Ebpf> {
        object::load_both(&self.dir, &self.sizes(), self.settings.get(0).seed)
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            services: self.service.len(),
            destinations: self.dest.len(),
            connection_sets: self.conns.len(),
            connection6_sets: self.conns6.len(),
            bucket_pages: self.buckets.len(),
            cpus: self.cpus,
            hz: self.hz,
        }
    }

    /// Has a program change state (see `rlvs_core::maps::command`); the first argument word of the answer.
    pub fn command(&self, op: u32, service: u32, dest: u32, arg: u32) -> Result<u32> {
        let words = [MAGIC, op, service, dest, arg];
        let mut packet = [0u8; size_of::<Command>()];
        for (place, word) in packet.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        let mut answer = [0u8; 256];
        let options = TestRunOptions {
            data_in: Some(&packet),
            data_out: Some(&mut answer),
            ..TestRunOptions::default()
        };
        let failed = |e: io::Error| Error::system(format!("running the command program (order {op})"), e);
        let result =
            self.command.test_run(options).map_err(|e| failed(io::Error::other(object::chain(&e))))?;
        if result.return_value != 0 {
            return Err(failed(io::Error::from_raw_os_error(result.return_value as i32)));
        }
        Ok(u32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]))
    }

    /// All slots of `SERVICE` that were ever used, and of `DEST`.
    pub fn service_slots(&self) -> std::ops::Range<u32> {
        0..self.settings.get(0).service_slots.min(self.service.len())
    }
    pub fn dest_slots(&self) -> std::ops::Range<u32> {
        0..self.settings.get(0).dest_slots.min(self.dest.len())
    }

    /// The kernel's jiffies, low 32 bits.
    pub fn now(&self) -> Result<u32> {
        self.command(op::CLOCK, 0, 0, 0)
    }
}

fn map<T: crate::shared::Words>(dir: &Path, name: &str) -> Result<Shared<T>> {
    Shared::map(&object::open_map(dir, name)?, name)
}

fn lazy<T: crate::shared::Words>(dir: &Path, name: &'static str) -> Result<Lazy<T>> {
    Lazy::new(object::open_map(dir, name)?, name)
}

/// The settings of a new instance.
pub fn first_settings(hz: u32) -> Settings {
    let mut settings =
        Settings { unprivileged_port: unprivileged_port(), answers: answer_limits(hz), ..Settings::new(hz) };
    settings.sysctl[Setting::SyncQlenMax as usize] =
        (object::memory_bytes() / 4096 / 32).clamp(1, i32::MAX as u64) as u32;
    settings
}

/// The first port that needs no privilege to be bound.
fn unprivileged_port() -> u32 {
    kernel_setting("ipv4/ip_unprivileged_port_start", 1024)
}

/// The kernel's own limits; intervals are in milliseconds there. IPv6's is for hosts of a /128 route; most are behind a
/// shorter one, where the kernel allows up to sixteen times as many.
fn answer_limits(hz: u32) -> AnswerLimits {
    let jiffies =
        |millis: u32| (u64::from(millis) * u64::from(hz) / 1000).min(u64::from(u32::MAX / 16)) as u32;
    AnswerLimits {
        interval: jiffies(kernel_setting("ipv4/icmp_ratelimit", 1000)),
        interval6: jiffies(kernel_setting("ipv6/icmp/ratelimit", 1000)) / 16,
        mask: kernel_setting("ipv4/icmp_ratemask", 6168),
        // These two are shown in the first namespace only; they hold in all.
        per_sec: kernel_setting("ipv4/icmp_msgs_per_sec", 1000),
        burst: kernel_setting("ipv4/icmp_msgs_burst", 50),
    }
}

/// A number of `/proc/sys/net`, or what it is where nobody changed it.
fn kernel_setting(name: &str, default: u32) -> u32 {
    let text = fs::read_to_string(Path::new("/proc/sys/net").join(name)).unwrap_or_default();
    text.trim().parse().unwrap_or(default)
}

/// Removes instances whose namespaces are gone, and empty directories. Of no importance to what is being done, so
/// errors are passed over.
fn sweep(ours: &Path) {
    let Some(base) = ours.parent() else { return };
    for namespace in fs::read_dir(base).into_iter().flatten().flatten().map(|f| f.path()) {
        if namespace == ours {
            continue;
        }
        // Where somebody works there is life; and who takes a director down has its links dead before the rest is gone.
        let Some(_lock) = bpffs::try_lock(&namespace) else { continue };
        let director = namespace.join("director");
        if is_dead(&director.join("links")) {
            let _ = remove(&director);
        }
        let _ = remove(&namespace.join(UNFINISHED)); // its maker was killed
        let _ = fs::remove_dir(&namespace); // only if it is empty
    }
}

fn is_still(lock: &OwnedFd, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let locked = lock.try_clone().and_then(|fd| fs::File::from(fd).metadata());
    locked.is_ok_and(|l| fs::metadata(path).is_ok_and(|m| m.ino() == l.ino()))
}

/// Whether there are links, and none is on anything any more.
fn is_dead(dir: &Path) -> bool {
    let mut targets =
        fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|f| links::target(&f.path())).peekable();
    targets.peek().is_some() && targets.all(|t| t == 0)
}

/// Makes a directory of mode 0700; harmless where it is.
pub fn make_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::system(format!("making the directory {}", path.display()), e))
        }
        _ => Ok(()),
    }
}

/// Removes a directory of pins with all that is in it; harmless where there is none.
pub fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::system(format!("removing {}", dir.display()), e))
        }
        _ => Ok(()),
    }
}
