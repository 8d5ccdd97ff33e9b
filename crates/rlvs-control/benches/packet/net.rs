//! The network that the programs ask for routes: a namespace of this process alone.
//!
//! ```text
//! clients 172.16.0.0/12 ── router 10.0.0.2 ── in0   out0 ── real servers 10.1.0.11 …
//! ```
//!
//! Both interfaces are ends of veth pairs whose other ends are nobody's, and all neighbours are permanent, so that every
//! hop is known. Frames that the programs redirect never leave: a test run only notes where they would go.

use crate::Result;
use rtnetlink::packet_route::neighbour::NeighbourState;
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::ffi::CString;
use std::io;
use std::net::Ipv4Addr;

pub const CLIENT_SIDE: &str = "in0";
pub const SERVER_SIDE: &str = "out0";
pub const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 0);
const CLIENT_PREFIX: u8 = 12;
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Servers of a service, where their number is not what is measured, and at most.
pub const SERVERS: u16 = 4;
pub const MOST_SERVERS: u16 = 1000;
/// Of both interfaces: a frame for another address is none of the director's.
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

pub struct Net {
    pub client_side: u32,
    pub server_side: u32,
}

pub fn server(number: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 1, 0, 11).to_bits() + u32::from(number))
}

pub fn enter_own_namespace() -> Result<()> {
    // SAFETY: changes this process alone, which has one thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        let error = io::Error::last_os_error();
        return Err(format!("making a network namespace: {error} (run as root)").into());
    }
    Ok(())
}

pub fn build() -> Result<Net> {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let client_side = pair(&handle, CLIENT_SIDE, Ipv4Addr::new(10, 0, 0, 1), 24).await?;
        let server_side = pair(&handle, SERVER_SIDE, Ipv4Addr::new(10, 1, 0, 1), 16).await?;
        neighbour(&handle, client_side, ROUTER).await?;
        for number in 0..MOST_SERVERS {
            neighbour(&handle, server_side, server(number)).await?;
        }
        let clients = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(FIRST_CLIENT, CLIENT_PREFIX)
            .gateway(ROUTER)
            .build();
        handle.route().add(clients).execute().await?;
        Ok(Net { client_side, server_side })
    })
}

/// A veth pair; the near end gets the address.
async fn pair(handle: &Handle, name: &str, address: Ipv4Addr, prefix: u8) -> Result<u32> {
    let far = format!("{name}-far");
    handle.link().add(LinkVeth::new(name, &far).build()).execute().await?;
    let near = LinkUnspec::new_with_name(name).address(MAC.to_vec()).up();
    for end in [near, LinkUnspec::new_with_name(&far).up()] {
        handle.link().set(end.build()).execute().await?;
    }
    let index = index(name)?;
    handle.address().add(index, address.into(), prefix).execute().await?;
    Ok(index)
}

async fn neighbour(handle: &Handle, index: u32, address: Ipv4Addr) -> Result<()> {
    let [_, b, c, d] = address.octets();
    let request = handle.neighbours().add(index, address.into());
    let request = request.link_layer_address(&[2, 0, 0, b, c, d]).state(NeighbourState::Permanent);
    Ok(request.execute().await?)
}

fn index(name: &str) -> Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: a string that ends in a zero byte and lives over the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error().into()),
        index => Ok(index),
    }
}
