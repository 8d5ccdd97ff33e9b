//! The story of a packet that leaves a real server from a VIP, and the program that tells it, on TC egress.
//!
//! In TUN mode the client's segments are as long as the *real server* says that they may be: in its SYN-ACK, by the MSS option
//! (RFC 9293, section 3.7.1), which goes straight to the client and knows nothing of the tunnel that the client's segments
//! come by. Those too long for it are refused by the director (ICMP "fragmentation needed"); where ICMP is filtered, the client
//! never learns that. So SYNs and SYN-ACKs from a VIP get their MSS lowered here to what fits:
//!
//! ```text
//! | IP: VIP -> client | TCP, SYN | … | 2 4 1460 | … |      MSS 1460, as the interface's MTU has it
//! | IP: VIP -> client | TCP, SYN | … | 2 4 1420 | … |      the same behind this program
//! ```
//!
//! It is never raised, and none is added where there is none: the client then takes 536 (IPv6: 1220) by itself. All else goes on
//! untouched. The program is on an interface only where that was asked for.

use super::options::Options;
use super::packet::Packet;
use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, TC_ACT_UNSPEC};
use aya_ebpf::btf_maps::{HashMap, PerCpuArray};
use aya_ebpf::macros::{btf_map, classifier};
use aya_ebpf::programs::TcContext;

/// The VIPs (IPv4 as ::ffff:0:0/96, in network order) and the largest MSS for each. Written by user space only.
#[btf_map]
static CLAMPS: HashMap<[u8; 16], u32, 4096, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// How many segments had their MSS lowered, per CPU. Written by the program only.
#[btf_map]
static CLAMPED: PerCpuArray<u64, 1> = PerCpuArray::new();

const TCP: u8 = 6;
const TCP_LEN: u32 = 20;
const SYN: u8 = 0x02;

#[classifier]
pub fn rlvs_clamp_mss(ctx: TcContext) -> i32 {
    if clamp(&Packet::new(&ctx)).is_some()
        && let Some(clamped) = CLAMPED.get_ptr_mut(0)
    {
        // SAFETY: this CPU's own slot, which no other program run touches at the same time.
        unsafe { *clamped += 1 };
    }
    // To the next program, if any, then to the wire.
    TC_ACT_UNSPEC
}

/// None if the packet goes on as it came.
#[inline(always)]
fn clamp(packet: &Packet) -> Option<()> {
    if !packet.is_ipv4() && !packet.is_ipv6() {
        return None;
    }
    // (Extension headers are none of a SYN's in practice; one that has them is left alone.)
    let sent = packet.ip_at(0, packet.is_ipv6())?;
    if sent.protocol != TCP || sent.is_later_piece() {
        return None;
    }
    // Where the header ends, in words, and the flags.
    let [words, flags] = packet.read(sent.header_len + 12)?;
    let header_len = u32::from(words >> 4) * 4;
    if flags & SYN == 0 || header_len <= TCP_LEN {
        return None;
    }
    // SAFETY: a copy is made at once.
    let most = unsafe { CLAMPS.get(&sent.source) }.copied()?;
    // The kernel changes packets by offsets from the link header, if there is one.
    let link_len = packet.len.checked_sub(sent.total_len)?;
    if sent.total_len < sent.header_len + header_len || !packet.begins_at(link_len) {
        return None;
    }
    let tcp_at = link_len + sent.header_len;
    Options::read(packet, tcp_at, header_len - TCP_LEN)?.lower(packet, tcp_at, most)
}
