//! What can go wrong, with the value that is wrong and the way out.

/// A refusal. The first group are the kernel's own answers: `ipvsadm` prints its words for them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("service already exists")]
    ServiceExists,
    /// The service named by `-E`, `-D`, `-Z` or `-L` is not there.
    #[error("no such service")]
    NoSuchService,
    /// The service named by `-a`, `-e` or `-d` is not there.
    #[error("service not defined")]
    ServiceNotDefined,
    #[error("destination already exists")]
    DestinationExists,
    #[error("no such destination")]
    NoSuchDestination,
    #[error("scheduler or persistence engine not found: {0}")]
    SchedulerNotFound(String),
    /// A number the kernel refuses with ERANGE (lower threshold above the upper one).
    #[error("numerical result out of range: {0}")]
    OutOfRange(String),
    /// What the kernel refuses with EINVAL (an address that is not unicast, …).
    #[error("{0}")]
    Invalid(String),
    #[error("permission denied: {0}")]
    PermissionDenied(String),
    /// A table is full.
    #[error("{what} table is full ({limit} entries)")]
    Full { what: &'static str, limit: u32 },
    /// Exists in IPVS but not (yet) here.
    #[error("{0} is not supported yet")]
    NotSupported(String),
    #[error("daemon has already run")]
    DaemonRunning,
    #[error("no daemon is running")]
    NoDaemon,
    #[error("unknown network device: {0}")]
    NoSuchDevice(String),
    /// The kernel lacks something; says what and which version has it.
    #[error("{feature} needs Linux {needs} or newer (this is {running})")]
    KernelTooOld { feature: &'static str, needs: &'static str, running: String },
    /// Anything else the system refused.
    #[error("{doing}: {cause}")]
    System { doing: String, cause: std::io::Error },
    /// The programs could not be loaded; `reason` has the verifier's last words.
    #[error("cannot load the packet programs: {reason}")]
    Load { reason: String },
    /// Pinned state of another version of rlvs.
    #[error(
        "the pinned state in {path} is of another version of rlvs (its layout is {found}, ours {ours}); `rlvs down` removes it (and its rules)"
    )]
    Layout { path: String, found: String, ours: u32 },
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn system(doing: impl Into<String>, cause: std::io::Error) -> Error {
        Error::System { doing: doing.into(), cause }
    }
}
