//! Pinned links: two questions to bpf(2) that aya does not ask.

use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// From linux/bpf.h.
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_DETACH: libc::c_int = 34;
const LINK_TYPE_NETNS: u32 = 5;
const LINK_TYPE_XDP: u32 = 6;
const LINK_TYPE_TCX: u32 = 11;

/// What the link is on: the index of an interface, or the inode of a network namespace; 0 if that is gone; none if the
/// link cannot be read.
pub fn target(pin: &Path) -> Option<u32> {
    let link = open(pin)?;
    // `struct bpf_link_info`: type, id, prog_id, a hole, then what the link is on; room for what later kernels add.
    let mut info = [0u32; 32];
    // For BPF_OBJ_GET_INFO_BY_FD: bpf_fd and info_len, then info.
    let mut attr =
        [u64::from(size_of_val(&info) as u32) << 32 | link.as_raw_fd() as u64, info.as_mut_ptr() as u64];
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    [LINK_TYPE_NETNS, LINK_TYPE_XDP, LINK_TYPE_TCX].contains(&info[0]).then_some(info[4])
}

/// Takes the program off its interface before this returns; with the pin alone it would go a little later. Nothing if
/// there is no such link, or its interface is gone.
pub fn detach(pin: &Path) {
    if let Some(link) = open(pin) {
        let _ = bpf(LINK_DETACH, &mut [link.as_raw_fd() as u64, 0]);
    }
}

fn open(pin: &Path) -> Option<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes()).ok()?;
    // For BPF_OBJ_GET: pathname, then bpf_fd and file_flags.
    let fd = bpf(OBJ_GET, &mut [path.as_ptr() as u64, 0])?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// bpf(2); none if it fails. What the commands above know beyond these 16 bytes of `union bpf_attr` is taken as zero.
fn bpf(command: libc::c_int, attr: &mut [u64; 2]) -> Option<i32> {
    // SAFETY: `attr` is 16 bytes for the kernel to read and write; the callers above see to the pointers in it, which
    // live over the call.
    let rc = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) };
    (rc >= 0).then_some(rc as i32)
}
