//! Source addresses of FULLNAT.

use super::Settings;
use crate::wire::Be32;

/// Addresses of a family; those of IPv4 come first in `SOURCES`.
pub const SOURCES_PER_FAMILY: u32 = 256;

/// An address of the director that connections to real servers may come from.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceConfig {
    /// IPv4 in the first word.
    pub addr: [Be32; 4],
    /// Ports from this one on, in the machine's order.
    pub first_port: u16,
    pub ports: u16,
    pub pad: u32,
}

impl Settings {
    /// Where in `SOURCES` the addresses of a family (4 or 6) are, and how many.
    #[inline(always)]
    pub const fn sources_of(&self, family: u8) -> (u32, u32) {
        if family == 6 { (SOURCES_PER_FAMILY, self.sources >> 16) } else { (0, self.sources & 0xffff) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_own_part() {
        let mut settings = Settings::new(250);
        assert_eq!((settings.sources_of(4), settings.sources_of(6)), ((0, 0), (256, 0)));
        settings.sources = 3 | 256 << 16;
        assert_eq!((settings.sources_of(4), settings.sources_of(6)), ((0, 3), (256, 256)));
        assert_eq!(size_of::<SourceConfig>(), 24);
    }
}
