//! Pins of network namespaces that are no more: whoever loads our program next removes them.
//!
//! A tcx link outlives its interface, but points at none then. (Below tcx there are no links to tell by; such pins stay
//! until reboot.)

use super::hook::{Program, unpin_at};
use super::journal;
use crate::bpffs;
use crate::links;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Removes what belongs to namespaces whose interfaces are all gone. Of no importance to what is being done, so errors
/// are passed over.
pub fn dead_namespaces(ours: u64) {
    let Ok(base) = bpffs::base() else { return };
    for namespace in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = namespace.file_name();
        let cookie = name.to_str().and_then(|n| n.strip_prefix("ns-")).and_then(|n| n.parse().ok());
        let Some(cookie) = cookie else { continue };
        if cookie == ours {
            continue;
        }
        for program in [Program::Decap, Program::Clamp] {
            let pins = namespace.path().join(program.directory());
            if all_links_dead(&pins) && unpin_at(&pins).is_ok() {
                journal::forget(cookie);
                // If the director's pins are there too, they keep it.
                let _ = fs::remove_dir(namespace.path());
            }
        }
    }
}

/// Whether there are links, and none has an interface.
fn all_links_dead(pins: &Path) -> bool {
    let files = fs::read_dir(pins).into_iter().flatten().flatten();
    let mut links = files.filter(|f| f.file_name().as_bytes().starts_with(b"link-")).peekable();
    links.peek().is_some() && links.all(|f| links::target(&f.path()) == Some(0))
}
