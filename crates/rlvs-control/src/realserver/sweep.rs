//! Pins of network namespaces that are no more: whoever loads our program next removes them.
//!
//! A tcx link outlives its interface, but points at none then. (Below tcx there are no links to tell by; such pins stay
//! until reboot.)

use super::{ebpf, journal};
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Removes what belongs to namespaces whose interfaces are all gone. Of no importance to what is being done, so errors
/// are passed over.
pub fn dead_namespaces(ours: &Path) {
    let Some(base) = ours.parent().and_then(Path::parent) else { return };
    for namespace in fs::read_dir(base).into_iter().flatten().flatten() {
        let pins = namespace.path().join("realserver");
        let name = namespace.file_name();
        let cookie = name.to_str().and_then(|n| n.strip_prefix("ns-")).and_then(|n| n.parse().ok());
        let Some(cookie) = cookie else { continue };
        if pins != ours && all_links_dead(&pins) && ebpf::unpin_at(&pins).is_ok() {
            journal::forget(cookie);
            // If the director's pins are there too, they keep it.
            let _ = fs::remove_dir(namespace.path());
        }
    }
}

/// Whether there are links, and none has an interface.
fn all_links_dead(pins: &Path) -> bool {
    let files = fs::read_dir(pins).into_iter().flatten().flatten();
    let mut links = files.filter(|f| f.file_name().as_bytes().starts_with(b"link-")).peekable();
    links.peek().is_some() && links.all(|f| interface_of(&f.path()) == Some(0))
}

/// The index of the interface that a pinned tcx link is on, 0 if it is gone; none if the link cannot be read.
fn interface_of(pin: &Path) -> Option<u32> {
    let path = CString::new(pin.as_os_str().as_bytes()).ok()?;
    // `union bpf_attr` for BPF_OBJ_GET: pathname, bpf_fd, file_flags.
    let mut get = [path.as_ptr() as u64, 0];
    let fd = bpf(libc_bpf::OBJ_GET, &mut get)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
    let link = unsafe { OwnedFd::from_raw_fd(fd) };
    // `struct bpf_link_info`: type, id, prog_id, a hole, then for tcx ifindex and attach_type; room for what later
    // kernels add.
    let mut info = [0u32; 32];
    // For BPF_OBJ_GET_INFO_BY_FD: bpf_fd and info_len, then info.
    let sizes = (size_of_val(&info) as u64) << 32 | link.as_raw_fd() as u64;
    let mut ask = [sizes, info.as_mut_ptr() as u64];
    bpf(libc_bpf::OBJ_GET_INFO_BY_FD, &mut ask)?;
    (info[0] == libc_bpf::LINK_TYPE_TCX).then_some(info[4])
}

/// From linux/bpf.h.
mod libc_bpf {
    pub const OBJ_GET: libc::c_int = 7;
    pub const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    pub const LINK_TYPE_TCX: u32 = 11;
}

/// bpf(2); none if it fails. The pointers in `attr` must be what the command wants.
fn bpf(command: libc::c_int, attr: &mut [u64; 2]) -> Option<i32> {
    // SAFETY: `attr` is 16 bytes for the kernel to read and write; the callers above see to the pointers in it, which
    // live over the call. What the command knows beyond 16 bytes is taken as zero.
    let rc = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) };
    (rc >= 0).then_some(rc as i32)
}
