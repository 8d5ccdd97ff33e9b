//! Every word ipvsadm understands, each defined once: its spelling, its argument, its help text, and through its
//! slot the commands that take it. The scanner, the legality check and `-h` are all read from here.
//!
//! So are the manual page and the completions ([`crate::manual`]). The table itself is in [`table`], who takes
//! what in [`slots`].

mod slots;
mod table;

pub use slots::{Filled, SLOTS, Slot, SlotRules};
pub use table::OPTIONS;

/// What to do: the first option of every command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    AddService,
    EditService,
    DeleteService,
    Clear,
    Restore,
    Save,
    AddServer,
    EditServer,
    DeleteServer,
    List,
    Zero,
    Set,
    StartDaemon,
    StopDaemon,
    Help,
    Version,
}

impl Verb {
    /// The verb's name in error messages; only `-C` has one that cannot be typed.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Clear => "flush",
            _ => OPTIONS.iter().find(|d| d.opt == Opt::Verb(self)).map_or("", |d| d.long),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    Verb(Verb),
    TcpService,
    UdpService,
    SctpService,
    FwmarkService,
    Ipv6,
    Scheduler,
    Engine,
    Persistent,
    Netmask,
    RealServer,
    Gatewaying,
    FullNat,
    ProxyProtocol,
    Ipip,
    Masquerading,
    TunType,
    TunPort,
    TunNocsum,
    TunCsum,
    TunRemcsum,
    Weight,
    UpperThreshold,
    LowerThreshold,
    /// The name of its slot says it all.
    Switch,
    /// Accepted everywhere, means nothing.
    Sort,
    SchedFlags,
    SyncId,
    SyncMaxlen,
    McastInterface,
    McastGroup,
    McastPort,
    McastTtl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    None,
    /// Named so in the help text.
    Required(&'static str),
    Optional(&'static str),
    /// Loose words after all options.
    Loose(&'static str),
}

/// Where `-h` shows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Commands,
    VirtualService,
    Options,
    DaemonOptions,
    /// Not at all: the original's help is kept to the letter.
    Unlisted,
}

#[derive(Debug)]
pub struct Definition {
    pub opt: Opt,
    pub slot: Option<Slot>,
    pub long: &'static str,
    /// One letter, none, or two that mean the same.
    pub shorts: &'static str,
    pub argument: Argument,
    pub section: Section,
    /// One item per line of help.
    pub help: &'static [&'static str],
    /// What the manual page says of it.
    pub manual: &'static str,
    /// The words that its value can be, where they are few: for completion.
    pub values: &'static [&'static str],
}

pub fn by_long(name: &str) -> Option<&'static Definition> {
    OPTIONS.iter().find(|d| d.long == name)
}

pub fn by_short(letter: char) -> Option<&'static Definition> {
    OPTIONS.iter().find(|d| d.shorts.contains(letter))
}
