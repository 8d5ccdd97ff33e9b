//! The bytes that are sent in bulk: a pseudo-random block, over and over, so that both ends know every byte and the
//! SHA-256 of any length without asking each other. The block's length is a prime, so no header, segment or page size
//! divides it: bytes that get lost, doubled or swapped show.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{LazyLock, Mutex};

const BLOCK_LEN: usize = 1_048_573;
const SEED: u64 = 0x1998_0c17_1f5a_c0de;

static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    // SplitMix64 (Steele, Lea and Flood, 2014).
    let mut state = SEED;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut block: Vec<u8> =
        std::iter::repeat_with(|| next().to_le_bytes()).take(BLOCK_LEN / 8 + 1).flatten().collect();
    block.truncate(BLOCK_LEN);
    block
});

/// Writes the first `len` bytes.
pub fn write(to: &mut impl Write, len: u64) -> io::Result<()> {
    pieces(len).try_for_each(|piece| to.write_all(piece))
}

/// The SHA-256 of the first `len` bytes, in hex; computed once for each length.
pub fn sha256(len: u64) -> String {
    static KNOWN: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
    let compute = || {
        let mut hash = Sha256::new();
        pieces(len).for_each(|piece| hash.update(piece));
        hex(hash)
    };
    known.entry(len).or_insert_with(compute).clone()
}

pub fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pieces(len: u64) -> impl Iterator<Item = &'static [u8]> {
    let whole = len / BLOCK_LEN as u64;
    let rest = (len % BLOCK_LEN as u64) as usize;
    (0..whole).map(|_| &BLOCK[..]).chain([&BLOCK[..rest]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_for_ever() {
        assert_eq!(sha256(0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let mut bytes = vec![];
        write(&mut bytes, 3_000_000).unwrap();
        assert_eq!(bytes.len(), 3_000_000);
        assert_eq!(bytes[..1000], bytes[BLOCK_LEN..BLOCK_LEN + 1000]);
        let mut hash = Sha256::new();
        hash.update(&bytes);
        assert_eq!(hex(hash), sha256(3_000_000));
    }
}
