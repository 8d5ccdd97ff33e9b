//! Numbers in network byte order, kept as they lie in memory.

/// 16 bits of the wire. `.0` is the memory content read as a native integer: fit for comparing and summing, not for
/// counting; [`get`](Be16::get) gives the number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[repr(transparent)]
pub struct Be16(pub u16);

/// 32 bits of the wire, likewise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[repr(transparent)]
pub struct Be32(pub u32);

impl Be16 {
    #[inline(always)]
    pub const fn new(host: u16) -> Be16 {
        Be16(host.to_be())
    }
    #[inline(always)]
    pub const fn from_bytes(b: [u8; 2]) -> Be16 {
        Be16(u16::from_ne_bytes(b))
    }
    #[inline(always)]
    pub const fn bytes(self) -> [u8; 2] {
        self.0.to_ne_bytes()
    }
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be(self.0)
    }
}

impl Be32 {
    #[inline(always)]
    pub const fn new(host: u32) -> Be32 {
        Be32(host.to_be())
    }
    #[inline(always)]
    pub const fn from_bytes(b: [u8; 4]) -> Be32 {
        Be32(u32::from_ne_bytes(b))
    }
    #[inline(always)]
    pub const fn bytes(self) -> [u8; 4] {
        self.0.to_ne_bytes()
    }
    #[inline(always)]
    pub const fn get(self) -> u32 {
        u32::from_be(self.0)
    }
}
