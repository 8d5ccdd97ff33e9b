//! The kernel's per-interface IPv4 settings that a real server needs, and what is right for each.
//!
//! For the three used here the kernel goes by the larger of `all` and the interface's own value.
//!
//! | setting        | wanted (of the larger)     | why |
//! |----------------|----------------------------|-----|
//! | `arp_ignore`   | 1 (2, 3 and 8 do as well)  | answer ARP only for addresses of the interface that was asked: the VIP is on `lo`, so the director alone answers for it |
//! | `arp_announce` | 2                          | ask with the interface's own address as the sender: a question sent from the VIP (the source of all replies) would tell the router that the VIP is here |
//! | `rp_filter`    | not 1                      | a request comes from the director's side, where its client may not be routed to: strict filtering drops it; 2 (loose) takes it |
//!
//! `arp_ignore` 3 spares us only because VIPs are added with scope host; 4 to 7 and above 8 mean 0 to the kernel.

use crate::{Error, Result};
use std::fs;
use std::io;
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    ArpIgnore,
    ArpAnnounce,
    RpFilter,
}

impl Setting {
    pub fn name(self) -> &'static str {
        match self {
            Setting::ArpIgnore => "arp_ignore",
            Setting::ArpAnnounce => "arp_announce",
            Setting::RpFilter => "rp_filter",
        }
    }

    /// What to write where the value does not do.
    pub fn wanted(self) -> i64 {
        match self {
            Setting::ArpIgnore => 1,
            Setting::ArpAnnounce | Setting::RpFilter => 2,
        }
    }

    /// Whether the effective value does.
    pub fn does(self, effective: i64) -> bool {
        match self {
            Setting::ArpIgnore => matches!(effective, 1 | 2 | 3 | 8),
            Setting::ArpAnnounce => effective == 2,
            // 0 is off. More than 2 is as 1 to nobody: the kernel compares with 1.
            Setting::RpFilter => effective != 1,
        }
    }

    /// As sysctl(8) takes it; an interface's name may have a dot, so the separator is a slash.
    pub fn key(self, device: &str) -> String {
        format!("net/ipv4/conf/{device}/{}", self.name())
    }

    /// What the kernel goes by on this interface (or on any that has nothing of its own, for `all`).
    pub fn effective(self, device: &str) -> Result<i64> {
        let all = number(&self.key("all"))?;
        Ok(if device == "all" { all } else { all.max(number(&self.key(device))?) })
    }
}

/// The value of `key`; none if there is no such setting (its interface is gone).
pub fn read(key: &str) -> Result<Option<String>> {
    match fs::read_to_string(path(key)) {
        Ok(text) => Ok(Some(text.trim().to_string())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::system(format!("reading {}", path(key).display()), e)),
    }
}

pub fn write(key: &str, value: &str) -> Result<()> {
    fs::write(path(key), value).map_err(|e| {
        let hint = match e.raw_os_error() {
            Some(libc::EROFS) => {
                " (read-only here: in a container, set it from outside, e.g. docker run --sysctl)"
            }
            _ => "",
        };
        Error::system(format!("writing {value} to {}{hint}", path(key).display()), e)
    })
}

fn number(key: &str) -> Result<i64> {
    let text = read(key)?.ok_or_else(|| Error::Invalid(format!("there is no {}", path(key).display())))?;
    text.parse().map_err(|_| Error::Invalid(format!("{} has {text:?}, not a number", path(key).display())))
}

fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_do() {
        for (setting, does, does_not) in [
            (Setting::ArpIgnore, &[1, 2, 3, 8][..], &[0, 4, 5, 6, 7, 9][..]),
            (Setting::ArpAnnounce, &[2], &[0, 1, 3]),
            (Setting::RpFilter, &[0, 2], &[1]),
        ] {
            assert!(setting.does(setting.wanted()));
            assert!(does.iter().all(|v| setting.does(*v)), "{setting:?}");
            assert!(!does_not.iter().any(|v| setting.does(*v)), "{setting:?}");
        }
    }
}
