//! IP-in-IP (RFC 2003; IPv6: RFC 2473): the outer header alone. Its protocol says what is inside.

use crate::wire::{Addr, ip_proto};

/// Protocol number of a packet inside another one.
#[inline(always)]
pub const fn inner_proto<A: Addr>() -> u8 {
    if A::WORDS == 1 { ip_proto::IPIP } else { ip_proto::IPV6 }
}
