//! Configuration: written by user space, read by the programs.

use crate::proto::DEFAULT_TIMEOUT_SECS;
use crate::wire::{Addr, Be16, Be32};

/// Settings of the whole instance.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Seconds times HZ for each state: TCP from 0, UDP at 16, SCTP from 32 (see [`crate::proto`]).
    pub timeouts: [u32; 64],
    /// The values of [`sysctl`](super::sysctl), at their indices.
    pub sysctl: [u32; 64],
    /// All services of IPv4 and of IPv6; 0 lets every packet of the family pass at once.
    pub services: [u32; 2],
    /// How many services have port 0, port 21, a firewall mark.
    pub port_zero_services: u32,
    pub ftp_services: u32,
    pub mark_services: u32,
    /// Rules of the map `MARKS`.
    pub mark_rules: u32,
    /// Ports below this are privileged (`ip_unprivileged_port_start`).
    pub unprivileged_port: u32,
    /// [`LAYOUT_VERSION`](super::LAYOUT_VERSION) of who made the maps.
    pub layout: u32,
    /// Slots of `SERVICE` and `DEST` from here on were never used.
    pub service_slots: u32,
    pub dest_slots: u32,
    /// The next service's [`serial`](ServiceConfig::serial).
    pub next_serial: u32,
    /// How many services have persistence engine sip.
    pub sip_services: u32,
    /// What to add (wrapping) to the sum over all destinations' counters: those of slots used again, less what all were at
    /// the last zeroing.
    pub carried: [u64; 5],
    /// The secret that the programs were loaded with, for those that are loaded later.
    pub seed: u64,
    pub answers: AnswerLimits,
    /// Addresses in the map `SOURCES`: of IPv4 in the lower half, of IPv6 in the upper.
    pub sources: u32,
    /// Not 0 while somebody who holds the namespace's lock changes rules (see [`changing`]): if nobody holds it, he was killed.
    pub changing: u32,
    pub pad: u32,
}

/// What [`Settings::changing`] says: in the upper half which service is changed, or `NO_SERVICE`.
pub mod changing {
    pub const RULES: u32 = 1 << 0;
    /// `expire_nodest_conn` is 1 for a moment, and was 0.
    pub const EXPIRES: u32 = 1 << 1;
    /// The instance is new, and its programs are not on all interfaces yet.
    pub const ATTACHES: u32 = 1 << 2;
    pub const NO_SERVICE: u32 = 0xffff;
}

/// How many ICMP errors may be sent (see [`limit`](crate::path::limit)). All zero: as many as there are packets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Jiffies between two to the same host; of ICMPv6.
    pub interval: u32,
    pub interval6: u32,
    /// ICMP types that are limited, a bit for each.
    pub mask: u32,
    /// To all hosts in a second, and at once.
    pub per_sec: u32,
    pub burst: u32,
}

impl Settings {
    /// Those of an instance without rules, for a kernel of this many jiffies per second.
    pub fn new(hz: u32) -> Settings {
        Settings {
            timeouts: DEFAULT_TIMEOUT_SECS.map(|secs| secs * hz),
            sysctl: super::sysctl::DEFAULTS,
            services: [0; 2],
            port_zero_services: 0,
            ftp_services: 0,
            mark_services: 0,
            mark_rules: 0,
            unprivileged_port: 1024,
            layout: super::LAYOUT_VERSION,
            service_slots: 0,
            dest_slots: 0,
            next_serial: 1,
            sip_services: 0,
            carried: [0; 5],
            seed: 0,
            answers: AnswerLimits::default(),
            sources: 0,
            changing: 0,
            pad: 0,
        }
    }

    /// A switch or number of `/proc/sys/net/ipv4/vs`.
    #[inline(always)]
    pub const fn sysctl(&self, setting: super::sysctl::Setting) -> u32 {
        self.sysctl[setting as usize & 63]
    }
}

/// Two sets of addresses, one bit for each value of a 16-bit hash: a clear bit proves that an address is no virtual
/// address (or no masqueraded real server), and spares the packet every other look-up.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Filter {
    pub virtual_addrs: [u32; 2048],
    pub real_addrs: [u32; 2048],
}

/// Where an address (folded, see [`Addr::fold`](crate::wire::Addr::fold)) is in a [`Filter`]: word and bit.
#[inline(always)]
pub const fn filter_bit(folded: u32) -> (usize, u32) {
    let h = folded.wrapping_mul(0x9e37_79b1) >> 16;
    ((h >> 5) as usize, 1 << (h & 31))
}

/// Selects a service: `protocol` with address and port, or protocol 0 with a firewall mark.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceKey {
    /// IPv4 in the first word, the others 0. For a mark: the mark, in the machine's order.
    pub addr: [Be32; 4],
    pub port: Be16,
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
}

/// A service.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    pub key: ServiceKey,
    /// The destination added last, or [`NONE`](super::NONE); from there the list goes on in [`DestConfig::next`].
    pub first: u32,
    /// A number of [`crate::sched::Scheduler`].
    pub scheduler: u8,
    pub sched_flags: u8,
    /// Bits of [`service_flag`].
    pub flags: u16,
    /// Persistence: seconds times HZ, and the client mask (IPv4: first word).
    pub persist_timeout: u32,
    pub netmask: [Be32; 4],
    /// For wrr: highest weight and greatest common divisor of the weights above 0 (1 if there is none).
    pub max_weight: u32,
    pub gcd_weight: u32,
    pub dest_count: u32,
    /// Persistence: seconds as given, for listings.
    pub persist_secs: u32,
    /// Counts the services as they are made, never twice the same: listings show the newest first.
    pub serial: u32,
    /// Pages of `BUCKETS` that a hashing scheduler (dh, sh, mh) chooses from, and how many buckets are filled.
    pub buckets_page: u32,
    pub buckets: u32,
    pub pad: u32,
    /// What to add (wrapping) to the sum over its destinations' counters: those of destinations that are gone, less
    /// what they all were at the last zeroing.
    pub carried: [u64; 5],
}

pub mod service_flag {
    pub const IN_USE: u16 = 1 << 0;
    pub const PERSISTENT: u16 = 1 << 1;
    pub const ONE_PACKET: u16 = 1 << 2;
    /// Persistence engine sip.
    pub const SIP: u16 = 1 << 3;
}

/// A destination: a real server of one service.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestConfig {
    /// The service it was made for; stays when the service is gone, so that a new one can have it back.
    pub service_key: ServiceKey,
    pub service: u32,
    /// IPv4 in the first word.
    pub addr: [Be32; 4],
    pub port: Be16,
    /// A number of [`crate::fwd::Method`].
    pub method: u8,
    /// 4 or 6.
    pub family: u8,
    /// Bits of [`dest_flag`].
    pub flags: u32,
    pub weight: u32,
    /// The weight before it was last set to 0 (mh builds its table from this).
    pub last_weight: u32,
    /// Connections at which it is taken out (0: never); below `low_mark` it is back.
    pub upper_threshold: u32,
    pub lower_threshold: u32,
    pub low_mark: u32,
    /// The next destination of the service, older than this one, or [`NONE`](super::NONE).
    pub next: u32,
    /// The source address that the route to the server gives: of a tunnel's outer header, and of FULLNAT without a pool.
    pub tunnel_src: [Be32; 4],
    pub tunnel_port: Be16,
    pub tunnel_kind: u8,
    pub tunnel_checksum: u8,
    /// The route to the server when it was added, for machines that do not forward (DR needs no `ip_forward`):
    /// interface, 0 for none, and next hop.
    pub hint_ifindex: u32,
    pub hint_via: [Be32; 4],
    /// When it was deleted, in seconds since boot; 0 while it is configured.
    pub deleted_at: u32,
    /// The MTU of that interface.
    pub hint_mtu: u32,
    pub pad: [u32; 2],
    /// Its counters at the last zeroing.
    pub zeroed: [u64; 5],
}

pub mod dest_flag {
    /// The slot is taken: configured, or kept aside because connections still point to it.
    pub const IN_USE: u32 = 1 << 0;
    /// Configured: may get packets.
    pub const AVAILABLE: u32 = 1 << 1;
    /// FULLNAT: the client's address is handed on by PROXY protocol.
    pub const HANDS_ON: u32 = 1 << 2;
    /// When it was added it was another machine. (The kernel gives one answer for its own addresses and for those without a
    /// route.)
    pub const REMOTE: u32 = 1 << 3;
}

impl ServiceConfig {
    #[inline(always)]
    pub const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub const EMPTY: ServiceConfig = ServiceConfig {
        key: ServiceKey { addr: [Be32(0); 4], port: Be16(0), protocol: 0, family: 0 },
        first: super::NONE,
        scheduler: 0,
        sched_flags: 0,
        flags: 0,
        persist_timeout: 0,
        netmask: [Be32(0); 4],
        max_weight: 0,
        gcd_weight: 1,
        dest_count: 0,
        persist_secs: 0,
        serial: 0,
        buckets_page: super::NONE,
        buckets: 0,
        pad: 0,
        carried: [0; 5],
    };
}

impl DestConfig {
    pub const EMPTY: DestConfig = DestConfig {
        service_key: ServiceConfig::EMPTY.key,
        service: super::NONE,
        addr: [Be32(0); 4],
        port: Be16(0),
        method: 0,
        family: 0,
        flags: 0,
        weight: 0,
        last_weight: 0,
        upper_threshold: 0,
        lower_threshold: 0,
        low_mark: 0,
        next: super::NONE,
        tunnel_src: [Be32(0); 4],
        tunnel_port: Be16(0),
        tunnel_kind: 0,
        tunnel_checksum: 0,
        hint_ifindex: 0,
        hint_via: [Be32(0); 4],
        deleted_at: 0,
        hint_mtu: 0,
        pad: [0; 2],
        zeroed: [0; 5],
    };

    #[inline(always)]
    pub const fn is_available(&self) -> bool {
        self.flags & dest_flag::AVAILABLE != 0
    }

    #[inline(always)]
    pub const fn is_remote(&self) -> bool {
        self.flags & dest_flag::REMOTE != 0
    }

    #[inline(always)]
    pub const fn hands_on(&self) -> bool {
        self.flags & dest_flag::HANDS_ON != 0
    }

    /// Is its address of another family than the packets of its service? (Tunnels alone can do that.)
    #[inline(always)]
    pub fn is_across<A: Addr>(&self) -> bool {
        (self.family == 6) != (A::FAMILY == 6)
    }

    /// Its address, or 0 if that is of another family: then it stands nowhere but here.
    #[inline(always)]
    pub fn addr_as<A: Addr>(&self) -> A {
        let across = self.is_across::<A>();
        A::from_words(|i| if across { Be32(0) } else { self.addr[i & 3] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn layouts_are_locked() {
        assert_eq!(size_of::<Settings>(), 640);
        assert_eq!(offset_of!(Settings, changing), 632);
        assert_eq!(offset_of!(Settings, answers), 608);
        assert_eq!(offset_of!(Settings, sysctl), 256);
        assert_eq!(offset_of!(Settings, services), 512);
        assert_eq!(size_of::<Filter>(), 16384);
        assert_eq!(size_of::<ServiceKey>(), 20);
        assert_eq!(size_of::<ServiceConfig>(), 120);
        assert_eq!(offset_of!(ServiceConfig, first), 20);
        assert_eq!(offset_of!(ServiceConfig, scheduler), 24);
        assert_eq!(offset_of!(ServiceConfig, persist_timeout), 28);
        assert_eq!(offset_of!(ServiceConfig, max_weight), 48);
        assert_eq!(size_of::<DestConfig>(), 168);
        assert_eq!(offset_of!(DestConfig, addr), 24);
        assert_eq!(offset_of!(DestConfig, flags), 44);
        assert_eq!(offset_of!(DestConfig, weight), 48);
        assert_eq!(offset_of!(DestConfig, next), 68);
        assert_eq!(offset_of!(DestConfig, tunnel_src), 72);
        assert_eq!(offset_of!(DestConfig, hint_ifindex), 92);
        assert_eq!(offset_of!(DestConfig, zeroed), 128);
    }
}
