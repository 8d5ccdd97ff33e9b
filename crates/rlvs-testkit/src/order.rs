//! The few orders of ipvsadm that tests need, as words and as data.

use rlvs_core::fwd::Method;
use std::net::SocketAddrV4;

/// `-t` or `-u`, by its number in the IP header, and the virtual address.
pub type Key = (u8, SocketAddrV4);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    AddService(ServiceOrder),
    EditService(ServiceOrder),
    DeleteService(Key),
    Add(Key, DestOrder),
    Edit(Key, DestOrder),
    Delete(Key, SocketAddrV4),
    Clear,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceOrder {
    pub key: Key,
    pub scheduler: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestOrder {
    pub at: SocketAddrV4,
    pub method: Method,
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
}

impl Order {
    /// Reads a line such as `-a -t 10.0.0.100:80 -r 10.1.0.1:8080 -m -w 1`. For the tests' own words, so it panics.
    pub fn parse(line: &str) -> Order {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |option: &str| words.iter().position(|w| *w == option).map(|i| words[i + 1]);
        let number = |option: &str, default: u32| after(option).map_or(default, |w| w.parse().unwrap());
        let place = |w: &str| w.parse::<SocketAddrV4>().unwrap_or_else(|e| panic!("{w} in {line:?}: {e}"));
        let key = || match (after("-t"), after("-u")) {
            (Some(w), _) => (6, place(w)),
            (_, Some(w)) => (17, place(w)),
            _ => panic!("no service in {line:?}"),
        };
        let service = || ServiceOrder { key: key(), scheduler: after("-s").unwrap_or("wlc").to_string() };
        let server = || place(after("-r").unwrap_or_else(|| panic!("no server in {line:?}")));
        let dest = || DestOrder {
            at: server(),
            method: match () {
                () if words.contains(&"-m") => Method::Masquerade,
                () if words.contains(&"-i") => Method::Tunnel,
                () => Method::DirectRoute,
            },
            weight: number("-w", 1),
            upper: number("-x", 0),
            lower: number("-y", 0),
        };
        match words[0] {
            "-A" => Order::AddService(service()),
            "-E" => Order::EditService(service()),
            "-D" => Order::DeleteService(key()),
            "-a" => Order::Add(key(), dest()),
            "-e" => Order::Edit(key(), dest()),
            "-d" => Order::Delete(key(), server()),
            "-C" => Order::Clear,
            other => panic!("{other} in {line:?} is no order of these tests"),
        }
    }
}
