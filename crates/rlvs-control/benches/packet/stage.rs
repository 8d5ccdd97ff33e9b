//! A director with one service, and its programs ready to be run.

use crate::Result;
use crate::net::{self, Net};
use crate::wrapper::{Flows, Layer, Packet, Wrapper};
use aya::programs::{ProgramFd, SchedClassifier, Xdp};
use aya_obj::programs::XdpAttachType;
use rlvs_control::attach::Mode;
use rlvs_control::model::{Counters, Destination, Method, Protocol, Service, ServiceKey, Tunnel};
use rlvs_control::{Balancer, Director};
use rlvs_core::wire::tcp_flags::{ACK, SYN};
use std::net::Ipv4Addr;
use std::time::Duration;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const PORT: u16 = 80;
const SERVER_PORT: u16 = 8080;
/// Packets in one go: some 20 to 50 ms, so that few goes meet the second at which a packet has to go up.
pub const SLICE: u32 = 100_000;
/// Enough packets in random order to reach every server.
const PROBES: u32 = 64;

pub struct Stage<'a> {
    director: Director,
    net: &'a Net,
    wrapper: Wrapper,
    key: ServiceKey,
    xdp: ProgramFd,
    tc: ProgramFd,
}

/// What a slice of packets showed.
pub struct Slice {
    /// For each packet, the wrapper included.
    pub nanos: f64,
    /// Of the packets.
    pub forwarded: f64,
}

impl Stage<'_> {
    pub fn new<'a>(scheduler: &str, method: Method, servers: u16, net: &'a Net) -> Result<Stage<'a>> {
        let mut director = Director::here()?;
        director.down()?;
        for side in [net::CLIENT_SIDE, net::SERVER_SIDE] {
            attach(&mut director, side)?;
        }
        let key = ServiceKey::Address { protocol: Protocol::Tcp, addr: VIP.into(), port: PORT };
        director.add_service(&Service::new(key, scheduler))?;
        for number in 0..servers {
            director.add_destination(&key, &destination(number, method))?;
        }
        let instance = director.instance()?.ok_or("the director has no instance")?;
        let (dir, programs) = (instance.dir.clone(), instance.programs());
        let xdp = Xdp::from_pin(dir.join(programs.xdp), XdpAttachType::Interface)?.fd()?.try_clone()?;
        let tc = SchedClassifier::from_pin(dir.join(programs.tc))?.fd()?.try_clone()?;
        Ok(Stage { director, net, wrapper: Wrapper::load()?, key, xdp, tc })
    }

    /// Opens connections and lets each of them see a packet of the established state.
    pub fn fill(&mut self, flows: u32) -> Result<()> {
        for flags in [SYN, ACK] {
            self.wrapper.set(&request(flags), Flows::InOrder(flows))?;
            let mut left = flows;
            while left > 0 {
                let now = left.min(SLICE);
                self.probe(&request(flags))?;
                self.wrapper.run(Layer::Xdp, self.net.client_side, now)?;
                left -= now;
            }
        }
        Ok(())
    }

    /// Runs the program of a layer on packets of these flows.
    pub fn slice(&mut self, layer: Layer, packet: &Packet, flows: Flows, count: u32) -> Result<Slice> {
        let program = if layer == Layer::Xdp { &self.xdp } else { &self.tc };
        self.wrapper.aim(layer, program)?;
        self.wrapper.set(packet, flows)?;
        let side = if packet.is_reply { self.net.server_side } else { self.net.client_side };
        self.probe(packet)?;
        let before = self.forwarded()?;
        let (nanos, sent_away) = self.wrapper.run(layer, side, count)?;
        let forwarded = (self.forwarded()? - before) as f64 / f64::from(count);
        if forwarded > 0.999 && !sent_away {
            return Err(
                format!("{} counted packets as forwarded, and did not send them away", layer.word()).into()
            );
        }
        Ok(Slice { nanos, forwarded })
    }

    /// The same with the empty program.
    pub fn empty(&mut self, layer: Layer, packet: &Packet, flows: Flows) -> Result<f64> {
        let empty = self.wrapper.empty(layer)?;
        self.wrapper.aim(layer, &empty)?;
        self.wrapper.set(packet, flows)?;
        Ok(self.wrapper.run(layer, self.net.client_side, SLICE)?.0)
    }

    /// Once a second a packet for each server must take TC's way, and until it does XDP passes all of them up.
    fn probe(&mut self, packet: &Packet) -> Result<()> {
        self.wrapper.aim(Layer::Tc, &self.tc)?;
        let side = if packet.is_reply { self.net.server_side } else { self.net.client_side };
        self.wrapper.run(Layer::Tc, side, PROBES)?;
        self.wrapper.aim(Layer::Xdp, &self.xdp)
    }

    fn forwarded(&mut self) -> Result<u64> {
        let Counters { in_packets, out_packets, .. } = self.director.service(&self.key)?.counters;
        Ok(in_packets + out_packets)
    }
}

/// The kernel frees the links of the stage before in its own time: until then the interface is busy.
fn attach(director: &mut Director, side: &str) -> Result<()> {
    for _ in 0..50 {
        if director.attach(side, Some(Mode::Xdp), Some(true)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    director.attach(side, Some(Mode::Xdp), Some(true))?;
    Ok(())
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        let _ = self.director.down();
    }
}

/// From a client.
pub fn request(tcp_flags: u8) -> Packet {
    Packet { other: VIP, port: PORT, tcp_flags, is_reply: false }
}

/// From the first server to a client.
pub fn reply() -> Packet {
    Packet { other: net::server(0), port: SERVER_PORT, tcp_flags: ACK, is_reply: true }
}

fn destination(number: u16, method: Method) -> Destination {
    Destination {
        addr: net::server(number).into(),
        port: if method == Method::Masquerade { SERVER_PORT } else { PORT },
        method,
        weight: 1,
        upper_threshold: 0,
        lower_threshold: 0,
        tunnel: Tunnel::default(),
        proxy_protocol: false,
    }
}
