//! The wrapper programs (`crates/rlvs-ebpf/src/bench`), loaded, and the packets they are given.

use crate::{Result, net};
use aya::maps::{Array, MapData, ProgramArray};
use aya::programs::{ProgramFd, SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, Pod};
use rlvs_core::wire::checksum::{finish, sum_bytes};
use std::net::Ipv4Addr;

/// Built by `cargo xtask bpf`; aligned, because it is an ELF file.
#[repr(align(16))]
struct Aligned<T: ?Sized>(T);
static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("../../bpf/rlvs-bench.bpf.o"));

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    Xdp,
    Tc,
}

impl Layer {
    pub const BOTH: [Layer; 2] = [Layer::Xdp, Layer::Tc];

    pub fn word(self) -> &'static str {
        match self {
            Layer::Xdp => "XDP",
            Layer::Tc => "TC",
        }
    }

    /// What a program returns that sends a packet away: `XDP_REDIRECT`, `TC_ACT_REDIRECT`.
    fn sent_away(self) -> u32 {
        match self {
            Layer::Xdp => 4,
            Layer::Tc => 7,
        }
    }
}

const FRAME: usize = 64;

/// `Config` of crates/rlvs-ebpf/src/bench/flow.rs.
#[repr(C)]
#[derive(Clone, Copy)]
struct Config {
    next: u64,
    mask: u32,
    half_bits: u32,
    is_reply: u32,
    first_client: u32,
    frame: [u8; FRAME],
}
// SAFETY: integers without padding.
unsafe impl Pod for Config {}

/// Which flows, and in which order.
#[derive(Clone, Copy)]
pub enum Flows {
    /// So many (a power of two), in the order of their numbers.
    InOrder(u32),
    /// So many, in another order, from this place of it on.
    Shuffled(u32, u64),
    /// None twice, from this number on.
    Fresh(u64),
}

/// A packet, but for its client.
#[derive(Clone, Copy)]
pub struct Packet {
    /// The side that is not the client.
    pub other: Ipv4Addr,
    pub port: u16,
    pub tcp_flags: u8,
    pub is_reply: bool,
}

impl Packet {
    /// A TCP segment with ten bytes of data. Its own checksum is not looked at by anybody here.
    fn frame(&self) -> [u8; FRAME] {
        let mut f = [0u8; FRAME];
        f[..6].copy_from_slice(&net::MAC);
        f[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 8, 0]);
        f[14..24].copy_from_slice(&[0x45, 0, 0, 50, 0, 1, 0x40, 0, 64, 6]);
        let (client_at, other_at) = if self.is_reply { (30, 26) } else { (26, 30) };
        f[client_at..client_at + 4].copy_from_slice(&net::FIRST_CLIENT.octets());
        f[other_at..other_at + 4].copy_from_slice(&self.other.octets());
        let port_at = if self.is_reply { 34 } else { 36 };
        f[port_at..port_at + 2].copy_from_slice(&self.port.to_be_bytes());
        f[46..50].copy_from_slice(&[0x50, self.tcp_flags, 0xff, 0xff]);
        f[50..52].copy_from_slice(&[0xbe, 0xef]);
        let check = finish(sum_bytes(&f[14..34])).bytes();
        f[24..26].copy_from_slice(&check);
        f
    }
}

pub struct Wrapper {
    ebpf: Ebpf,
    /// The template: in TC the kernel reads the protocol off the packet that a run begins with.
    frame: [u8; FRAME],
}

impl Wrapper {
    pub fn load() -> Result<Wrapper> {
        let mut ebpf = Ebpf::load(&OBJECT.0)?;
        for name in ["bench_xdp", "empty_xdp"] {
            let program: &mut Xdp = ebpf.program_mut(name).ok_or(name)?.try_into()?;
            program.load()?;
        }
        for name in ["bench_tc", "empty_tc"] {
            let program: &mut SchedClassifier = ebpf.program_mut(name).ok_or(name)?.try_into()?;
            program.load()?;
        }
        Ok(Wrapper { ebpf, frame: [0; FRAME] })
    }

    /// The empty program of a layer.
    pub fn empty(&self, layer: Layer) -> Result<ProgramFd> {
        let fd = match layer {
            Layer::Xdp => <&Xdp>::try_from(self.ebpf.program("empty_xdp").ok_or("empty_xdp")?)?.fd()?,
            Layer::Tc => {
                <&SchedClassifier>::try_from(self.ebpf.program("empty_tc").ok_or("empty_tc")?)?.fd()?
            }
        };
        Ok(fd.try_clone()?)
    }

    /// Which program the wrapper of its layer calls from now on.
    pub fn aim(&mut self, layer: Layer, program: &ProgramFd) -> Result<()> {
        let name = if layer == Layer::Xdp { "XDP_TARGET" } else { "TC_TARGET" };
        let mut map: ProgramArray<&mut MapData> = self.ebpf.map_mut(name).ok_or(name)?.try_into()?;
        Ok(map.set(0, program, 0)?)
    }

    /// What the wrapper does from now on.
    pub fn set(&mut self, packet: &Packet, flows: Flows) -> Result<()> {
        self.frame = packet.frame();
        let (next, mask, half_bits) = match flows {
            Flows::InOrder(n) => (0, n - 1, 0),
            Flows::Shuffled(n, from) => (from, n - 1, n.ilog2() / 2),
            Flows::Fresh(from) => (from, u32::MAX, 0),
        };
        let config = Config {
            next,
            mask,
            half_bits,
            is_reply: packet.is_reply.into(),
            first_client: net::FIRST_CLIENT.to_bits(),
            frame: self.frame,
        };
        let mut map: Array<&mut MapData, Config> = self.ebpf.map_mut("CONFIG").ok_or("CONFIG")?.try_into()?;
        Ok(map.set(0, config, 0)?)
    }

    /// Runs a wrapper `repeat` times; nanoseconds for each, and whether the last packet was sent away.
    pub fn run(&self, layer: Layer, ifindex: u32, repeat: u32) -> Result<(f64, bool)> {
        let mut context = [0u32; 11];
        match layer {
            Layer::Xdp => (context[1], context[3]) = (FRAME as u32, ifindex), // xdp_md: data_end, ingress_ifindex
            Layer::Tc => (context[9], context[10]) = (ifindex, ifindex), // __sk_buff: ingress_ifindex, ifindex
        }
        let words = if layer == Layer::Xdp { 6 } else { 11 };
        let context: Vec<u8> = context[..words].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::default()
        };
        let result = match layer {
            Layer::Xdp => {
                <&Xdp>::try_from(self.ebpf.program("bench_xdp").ok_or("bench_xdp")?)?.test_run(options)?
            }
            Layer::Tc => <&SchedClassifier>::try_from(self.ebpf.program("bench_tc").ok_or("bench_tc")?)?
                .test_run(options)?,
        };
        Ok((result.duration.as_nanos() as f64, result.return_value == layer.sent_away()))
    }
}
