//! The few orders of ipvsadm that tests need, as words and as data.

use rlvs_core::fwd::Method;
use rlvs_core::fwd::tun::kind;
use rlvs_core::sched::{FALLBACK, PORT};
use std::net::{Ipv4Addr, SocketAddrV4};

/// `-t`, `-u` or `--sctp-service`, by its number in the IP header, and the virtual address; for `-f` 0 and the mark as an
/// address.
pub type Key = (u8, SocketAddrV4);

/// The key of a service by firewall mark.
pub fn mark(mark: u32) -> Key {
    (0, SocketAddrV4::new(mark.into(), 0))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    AddService(ServiceOrder),
    EditService(ServiceOrder),
    DeleteService(Key),
    Add(Key, DestOrder),
    Edit(Key, DestOrder),
    Delete(Key, SocketAddrV4),
    Clear,
    /// `sysctl NAME=VALUE`
    Sysctl(String, u32),
    /// `mark MARK PROTOCOL PORT`: packets to this port get the mark.
    Mark {
        mark: u32,
        protocol: u8,
        port: u16,
    },
    /// `source ADDRESS FIRST LAST`: where connections of FULLNAT come from.
    Source {
        address: Ipv4Addr,
        ports: (u16, u16),
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceOrder {
    pub key: Key,
    pub scheduler: String,
    /// `-p`
    pub persist_secs: Option<u32>,
    /// `-M`
    pub netmask: Ipv4Addr,
    /// `-o`
    pub one_packet: bool,
    /// `-b`, as bits.
    pub sched_flags: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestOrder {
    pub at: SocketAddrV4,
    pub method: Method,
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
    pub tunnel: TunnelOrder,
    pub proxy_protocol: bool,
}

/// `--tun-type`, `--tun-port`, and `--tun-csum` or `--tun-remcsum`, as the maps have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TunnelOrder {
    pub kind: u8,
    pub port: u16,
    pub checksum: u8,
}

impl Order {
    /// Reads a line such as `-a -t 10.0.0.100:80 -r 10.1.0.1:8080 -m -w 1`. For the tests' own words, so it panics.
    pub fn parse(line: &str) -> Order {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |option: &str| words.iter().position(|w| *w == option).map(|i| words[i + 1]);
        let number = |option: &str, default: u32| after(option).map_or(default, |w| w.parse().unwrap());
        let place = |w: &str| w.parse::<SocketAddrV4>().unwrap_or_else(|e| panic!("{w} in {line:?}: {e}"));
        let key = || {
            let options = [("-t", 6), ("-u", 17), ("--sctp-service", 132)];
            let found = options.iter().find_map(|(option, n)| after(option).map(|w| (*n, place(w))));
            let by_mark = || after("-f").map(|w| mark(w.parse().unwrap()));
            found.or_else(by_mark).unwrap_or_else(|| panic!("no service in {line:?}"))
        };
        let service = || ServiceOrder {
            key: key(),
            scheduler: after("-s").unwrap_or("wlc").to_string(),
            persist_secs: after("-p").map(|w| w.parse().unwrap()),
            netmask: after("-M").map_or(Ipv4Addr::BROADCAST, |w| w.parse().unwrap()),
            one_packet: words.contains(&"-o"),
            sched_flags: after("-b").map_or(0, flags),
        };
        // Without a port, and with -g and -i, it is the service's, as ipvsadm has it.
        let server = || {
            let word = after("-r").unwrap_or_else(|| panic!("no server in {line:?}"));
            let (addr, port) = word.split_once(':').map_or((word, None), |(a, p)| (a, Some(p)));
            let port = port.map_or(key().1.port(), |p| p.parse().unwrap());
            SocketAddrV4::new(addr.parse().unwrap_or_else(|e| panic!("{word}: {e}")), port)
        };
        let dest = || DestOrder {
            at: server(),
            method: match () {
                () if words.contains(&"-m") => Method::Masquerade,
                () if words.contains(&"-i") => Method::Tunnel,
                () if words.contains(&"--fullnat") => Method::FullNat,
                () => Method::DirectRoute,
            },
            weight: number("-w", 1),
            upper: number("-x", 0),
            lower: number("-y", 0),
            proxy_protocol: words.contains(&"--proxy-protocol"),
            tunnel: TunnelOrder {
                kind: match after("--tun-type") {
                    Some("gue") => kind::GUE,
                    Some("gre") => kind::GRE,
                    _ => kind::IPIP,
                },
                port: number("--tun-port", 0) as u16,
                checksum: match () {
                    () if words.contains(&"--tun-csum") => 1,
                    () if words.contains(&"--tun-remcsum") => 2,
                    () => 0,
                },
            },
        };
        match words[0] {
            "-A" => Order::AddService(service()),
            "-E" => Order::EditService(service()),
            "-D" => Order::DeleteService(key()),
            "-a" => Order::Add(key(), dest()),
            "-e" => Order::Edit(key(), dest()),
            "-d" => Order::Delete(key(), server()),
            "-C" => Order::Clear,
            "sysctl" => {
                let (name, value) = words[1].split_once('=').expect("NAME=VALUE");
                Order::Sysctl(name.to_string(), value.parse().unwrap())
            }
            "mark" => {
                let [mark, protocol, port] = [1, 2, 3].map(|i| words[i].parse::<u32>().unwrap());
                Order::Mark { mark, protocol: protocol as u8, port: port as u16 }
            }
            "source" => Order::Source {
                address: words[1].parse().unwrap(),
                ports: (words[2].parse().unwrap(), words[3].parse().unwrap()),
            },
            other => panic!("{other} in {line:?} is no order of these tests"),
        }
    }
}

/// `sh-port,sh-fallback` as bits.
fn flags(list: &str) -> u8 {
    let bit = |word: &str| match word {
        "sh-port" | "mh-port" => PORT,
        "sh-fallback" | "mh-fallback" => FALLBACK,
        other => panic!("no flag {other}"),
    };
    list.split(',').fold(0, |bits, word| bits | bit(word))
}
