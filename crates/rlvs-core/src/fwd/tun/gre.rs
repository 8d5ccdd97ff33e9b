//! GRE (RFC 2784): four bytes that say what is inside, and four more with a checksum where one is asked for.
//!
//! ```text
//! 0 or 8, 0, EtherType            8: a checksum follows
//! checksum, 0                     over this header and the whole packet inside
//! ```

use crate::wire::checksum::{add, finish};
use crate::wire::eth::EtherType;
use crate::wire::{Addr, Be32};

const CHECKSUM_PRESENT: u32 = 1 << 31;

/// Words of the header.
#[inline(always)]
pub const fn words(summed: bool) -> usize {
    if summed { 2 } else { 1 }
}

/// The header; `sum` is that of the packet inside, where one is asked for.
#[inline(always)]
pub fn header<A: Addr>(summed: bool, sum: u32) -> [Be32; 2] {
    let inside = if A::WORDS == 1 { EtherType::IPV4 } else { EtherType::IPV6 };
    let flags = if summed { CHECKSUM_PRESENT } else { 0 };
    let first = Be32::new(flags | inside.0.get() as u32);
    let check = finish(add(first.0, sum));
    [first, Be32::new((check.get() as u32) << 16)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::fold;

    #[test]
    fn a_header_recorded_from_the_kernel() {
        // c2-tun-gre-csum, step "ACK, DF": the sum inside is that of a right packet, so of its pseudo header's complement.
        let pseudo = 0xac10 + 0x0009 + 0x0a00 + 0x0064 + 6 + 20;
        let sum = u16::to_be(!fold(pseudo)) as u32;
        let [first, second] = header::<Be32>(true, sum);
        assert_eq!((first.get(), second.get()), (0x8000_0800, 0x2e97_0000));
        assert_eq!(header::<Be32>(false, 0)[0].get(), 0x0000_0800);
        assert_eq!(header::<[Be32; 4]>(false, 0)[0].get(), 0x0000_86dd);
    }
}
