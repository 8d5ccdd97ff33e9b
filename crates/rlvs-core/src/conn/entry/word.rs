//! The word that decides about an entry.

/// The word that decides: state (8 bits), life (2), method (3), flags, generation (8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word(pub u32);

impl Word {
    pub const FREE: u32 = 0;
    pub const PENDING: u32 = 1 << 8;
    pub const LIVE: u32 = 2 << 8;
    const LIFE: u32 = 3 << 8;
    /// Counted as inactive.
    pub const INACTIVE: u32 = 1 << 13;
    /// No packet of the server was seen: the state machine sees only the client.
    pub const NO_OUTPUT: u32 = 1 << 14;
    pub const TEMPLATE: u32 = 1 << 15;
    pub const FROM_SYNC: u32 = 1 << 16;
    /// A scheduler's: which server an address got.
    pub const MAPPING: u32 = 1 << 17;
    /// Its template knows that a server answered.
    pub const ASSURED: u32 = 1 << 18;
    /// The server's side of a connection with a source address of ours (FULLNAT): found by replies alone.
    pub const SHADOW: u32 = 1 << 19;
    /// A data connection of FTP: its control link is to the control connection, not to a template.
    pub const DATA: u32 = 1 << 20;
    /// One that is expected (see `path::data`).
    pub const EXPECTED: u32 = 1 << 21;
    pub(super) const GENERATION_ONE: u32 = 1 << 24;
    pub(super) const GENERATION: u32 = 0xff << 24;

    pub const fn new(state: u8, method: u8, flags: u32) -> Word {
        Word(state as u32 | (method as u32 & 7) << 10 | flags)
    }
    #[inline(always)]
    pub const fn state(self) -> u8 {
        self.0 as u8
    }
    #[inline(always)]
    pub const fn method(self) -> u8 {
        (self.0 >> 10 & 7) as u8
    }
    #[inline(always)]
    pub const fn is_live(self) -> bool {
        self.0 & Word::LIFE == Word::LIVE
    }
    /// Does its control link point to a control connection of FTP?
    #[inline(always)]
    pub const fn is_of_ftp(self) -> bool {
        self.has(Word::DATA | Word::EXPECTED)
    }
    /// Live, and not closed and opened again since `seen`.
    #[inline(always)]
    pub const fn is_same_life(self, seen: Word) -> bool {
        self.is_live() && (self.0 ^ seen.0) & Word::GENERATION == 0
    }
    #[inline(always)]
    pub const fn is_pending(self) -> bool {
        self.0 & Word::LIFE == Word::PENDING
    }
    #[inline(always)]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
    /// No connection: found only by its whole flow.
    #[inline(always)]
    pub const fn is_kept(self) -> bool {
        self.has(Word::TEMPLATE | Word::MAPPING | Word::EXPECTED)
    }
    #[inline(always)]
    pub const fn with_state(self, state: u8) -> Word {
        Word(self.0 & !0xff | state as u32)
    }
    #[inline(always)]
    pub const fn with(self, flag: u32, on: bool) -> Word {
        Word(if on { self.0 | flag } else { self.0 & !flag })
    }
    pub(super) const fn with_life(self, life: u32) -> Word {
        Word(self.0 & !Word::LIFE | life)
    }
}
