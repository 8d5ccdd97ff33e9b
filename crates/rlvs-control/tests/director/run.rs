//! One frame through the loaded programs, by `BPF_PROG_TEST_RUN`: the kernel gives it to the program and hands back what
//! the program returned and made of it. Nothing is sent.

use crate::lab::index;
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya_obj::programs::XdpAttachType;
use rlvs_control::Director;
use rlvs_control::attach::Mode;

/// Which programs a frame meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The program for native XDP, then TC if it passes the frame up.
    Xdp,
    /// The same with the program for generic XDP.
    XdpSkb,
    Tc,
}

/// What the programs made of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub verdict: Verdict,
    pub frame: Vec<u8>,
    /// XDP had not to pass it up.
    pub by_xdp: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Drop,
    /// Out of another interface, or of the same one.
    Sent,
}

pub struct Programs {
    xdp: Option<Xdp>,
    tc: SchedClassifier,
    c0: u32,
    s0: u32,
}

/// The subject of recordings: rules are given to the director, packets to its programs.
pub struct Loaded<'d> {
    pub director: &'d mut Director,
    pub programs: Programs,
}

impl Programs {
    /// The pinned programs of this namespace. There must be a service already.
    pub fn open(director: &mut Director, way: Way) -> Programs {
        let programs = director.instance().unwrap().expect("an instance").programs();
        let (mode, name) = match way {
            Way::Xdp => (Mode::Xdp, Some(programs.xdp)),
            Way::XdpSkb => (Mode::Xdp, Some(programs.xdp_skb)),
            Way::Tc => (Mode::Tc, None),
        };
        for device in ["c0", "s0"] {
            if way == Way::XdpSkb {
                director.attach(device, Some(Mode::Skb), Some(true)).unwrap(); // loads it
            }
            // In XDP's test runs too a veth is known to XDP only with a program on it.
            director.attach(device, Some(mode), Some(true)).unwrap();
        }
        let dir = director.instance().unwrap().expect("an instance").dir.clone();
        Programs {
            xdp: name.map(|n| Xdp::from_pin(dir.join(n), XdpAttachType::Interface).unwrap()),
            tc: SchedClassifier::from_pin(dir.join(programs.tc)).unwrap(),
            c0: index("c0"),
            s0: index("s0"),
        }
    }

    /// A frame that comes in at the clients' side or the servers' side.
    pub fn receive(&self, frame: &[u8], from_server: bool) -> Made {
        let ifindex = if from_server { self.s0 } else { self.c0 };
        if let Some(xdp) = &self.xdp {
            let (action, out) = run(xdp, frame, &xdp_md(frame.len(), ifindex));
            let done = |verdict| Made { verdict, frame: out.clone(), by_xdp: true };
            match action {
                XDP_DROP => return done(Verdict::Drop),
                XDP_TX | XDP_REDIRECT => return done(Verdict::Sent),
                XDP_PASS => assert_eq!(out, frame, "XDP changed a frame that it passed up"),
                other => panic!("XDP returned {other}"),
            }
        }
        let (action, out) = run(&self.tc, frame, &sk_buff(ifindex));
        let verdict = match action {
            TC_ACT_OK => Verdict::Pass,
            TC_ACT_SHOT => Verdict::Drop,
            TC_ACT_REDIRECT => Verdict::Sent,
            other => panic!("TC returned {other}"),
        };
        Made { verdict, frame: out, by_xdp: false }
    }
}

// What the programs return (linux/bpf.h, linux/pkt_cls.h).
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;
const TC_ACT_OK: u32 = 0;
const TC_ACT_SHOT: u32 = 2;
const TC_ACT_REDIRECT: u32 = 7;

fn run<P>(program: &P, frame: &[u8], context: &[u8]) -> (u32, Vec<u8>)
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = aya::programs::TestRunResult>,
{
    let mut out = vec![0; 4096];
    let options = TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut out),
        ctx_in: Some(context),
        ..TestRunOptions::default()
    };
    let result =
        program.test_run(options).unwrap_or_else(|e| panic!("{e}: {:?}", std::error::Error::source(&e)));
    out.truncate(result.data_size_out as usize);
    (result.return_value, out)
}

/// `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
fn xdp_md(len: usize, ifindex: u32) -> Vec<u8> {
    words(&[0, len as u32, 0, ifindex, 0, 0])
}

/// `struct __sk_buff` as far as ingress_ifindex and ifindex; the rest is zero.
fn sk_buff(ifindex: u32) -> Vec<u8> {
    let mut context = [0; 48];
    (context[9], context[10]) = (ifindex, ifindex);
    words(&context)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}
