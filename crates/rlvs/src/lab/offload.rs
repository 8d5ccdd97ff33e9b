//! What network cards do for the kernel, through the ioctl that ethtool uses. A lab leaves it at the kernel's defaults,
//! where packets between namespaces never meet a wire: checksums unfinished, segments of 64 KB. XDP has to leave such
//! packets to TC. [`as_on_a_wire`] makes links whose packets look as they do when a card delivers them, so that XDP can
//! finish its work.

use super::namespace;
use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

// linux/ethtool.h and linux/sockios.h
const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_SGRO: u32 = 0x2c;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
const STRING_LEN: usize = 32;

/// A sender that finishes its checksums (and so does not use TSO), and a receiver that can take redirected frames
/// (a veth does with GRO on).
pub fn as_on_a_wire(namespace: &File, device: &str) -> Result<()> {
    for (command, on) in [(ETHTOOL_STXCSUM, 0), (ETHTOOL_SGRO, 1)] {
        ethtool(namespace, device, &mut [command, on]).with_context(|| format!("offloads of {device}"))?;
    }
    Ok(())
}

/// The driver's own counters, by name.
pub fn counters(namespace: &File, device: &str) -> Result<BTreeMap<String, u64>> {
    let what = || format!("counters of {device}");
    // command, reserved, mask (64 bits), the answer's first number
    let mut info = [ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_STATS, 0, 0];
    ethtool(namespace, device, &mut info).with_context(what)?;
    let count = info[4] as usize;
    let mut names = vec![0; 3 + count * STRING_LEN / 4];
    names[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_STATS, count as u32]);
    ethtool(namespace, device, &mut names).with_context(what)?;
    let mut values = vec![0; 2 + count * 2];
    values[..2].copy_from_slice(&[ETHTOOL_GSTATS, count as u32]);
    ethtool(namespace, device, &mut values).with_context(what)?;
    let name = |words: &[u32]| {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).take_while(|b| *b != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let value = |words: &[u32]| {
        let (first, second) = (words[0].to_ne_bytes(), words[1].to_ne_bytes());
        u64::from_ne_bytes(std::array::from_fn(|i| if i < 4 { first[i] } else { second[i - 4] }))
    };
    Ok(names[3..].chunks(STRING_LEN / 4).map(name).zip(values[2..].chunks(2).map(value)).collect())
}

/// One request; the kernel answers in the same words. `data` must be as long as the answer.
fn ethtool(namespace: &File, device: &str, data: &mut [u32]) -> io::Result<()> {
    namespace::run_in(namespace, || {
        let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        // SAFETY: integers, arrays and a union of them; zero is a value of each.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(device.bytes().take(libc::IFNAMSIZ - 1)) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
        // SAFETY: the request and what it points to live until the call returns; the kernel writes as much as the
        // command says, for which the caller has made room.
        let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &mut request) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    })?
}
