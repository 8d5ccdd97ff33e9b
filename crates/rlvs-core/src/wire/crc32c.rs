//! SCTP's checksum (RFC 9260, section 6.8 and appendix A): CRC32c over header and chunks, with zeros in its own place, and sent
//! with its least byte first. No address is in it, but the ports are.
//!
//! It is changed as other checksums are, not computed anew: a CRC of sums is the sum of CRCs, so new ports change it by the CRC of
//! their difference and as many zeros as bytes follow. A wrong one stays wrong, so the receiver still finds out.

/// Castagnoli's polynomial, x^31 on the right.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// x^0.
const ONE: u32 = 1 << 31;

/// x^(8 · 2^k): what 2^k bytes of zeros do to a CRC.
const ZEROS: [u32; 16] = [
    0x0080_0000,
    0x0000_8000,
    0x82f6_3b78,
    0x6ea2_d55c,
    0x18b8_ea18,
    0x510a_c59a,
    0xb82b_e955,
    0xb8fd_b1e7,
    0x88e5_6f72,
    0x74c3_60a4,
    0xe417_2b16,
    0x0d65_762a,
    0x35d7_3a62,
    0x2846_1564,
    0xbf45_5269,
    0xe2ea_32dc,
];

/// `number` if the lowest bit of `bit` is set, else 0. (Not by a branch, for then a verifier follows both ways at each step.)
#[inline(always)]
fn if_set(bit: u32, number: u32) -> u32 {
    core::hint::black_box(0u32.wrapping_sub(bit & 1)) & number
}

#[inline(always)]
fn times_x(a: u32) -> u32 {
    a >> 1 ^ if_set(a, POLYNOMIAL)
}

/// Of two polynomials, modulo that of the CRC.
#[inline(always)]
fn product(a: u32, b: u32) -> u32 {
    let (mut sum, mut b, mut bit) = (0, b, 32);
    while bit != 0 {
        bit -= 1;
        sum ^= if_set(a >> bit, b);
        b = times_x(b);
    }
    sum
}

/// What the CRC of `len` bytes changes by when its first four do so: `change` is old exclusive-or new, as a number whose least byte
/// is the first one.
#[inline(always)]
pub fn change_of_first(change: u32, len: u16) -> u32 {
    let (mut crc, mut k) = (change, 0);
    while k < ZEROS.len() {
        // By one, where this power is not in `len`.
        let by = ONE ^ if_set(len as u32 >> k, ZEROS[k] ^ ONE);
        crc = product(crc, by);
        k += 1;
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// By the book, bit by bit.
    fn crc32c(data: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in data {
            crc ^= u32::from(*byte);
            (0..8).for_each(|_| crc = times_x(crc));
        }
        !crc
    }

    /// RFC 3720, appendix B.4.
    #[test]
    fn by_the_book() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    }

    #[test]
    fn powers() {
        let one_byte = (0..8).fold(ONE, |power, _| times_x(power));
        assert_eq!(ZEROS[0], one_byte);
        assert!(ZEROS.windows(2).all(|k| k[1] == product(k[0], k[0])));
    }

    proptest! {
        #[test]
        fn a_change_is_as_computed_anew(mut data in prop::collection::vec(any::<u8>(), 4..3000), new: [u8; 4]) {
            let before = crc32c(&data);
            let old = <[u8; 4]>::try_from(&data[..4]).unwrap();
            data[..4].copy_from_slice(&new);
            let change = u32::from_le_bytes(old) ^ u32::from_le_bytes(new);
            prop_assert_eq!(before ^ change_of_first(change, data.len() as u16), crc32c(&data));
        }
    }

    #[test]
    fn the_longest() {
        let mut data = std::vec![7u8; 65_535];
        let before = crc32c(&data);
        data[1] = 9;
        assert_eq!(before ^ change_of_first((7 ^ 9) << 8, u16::MAX), crc32c(&data));
    }
}
