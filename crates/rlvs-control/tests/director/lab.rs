//! The network of the recordings, as a namespace: the director's two interfaces with their addresses, a router and
//! eight servers as permanent neighbours. Nobody is there; packets come from the test alone.

use rlvs_control::Director;
use rlvs_testkit::lab::{
    C0_MAC, DIRECTOR_C, DIRECTOR_S, ROUTER, ROUTER_MAC, S0_MAC, SERVERS, VIP, server, server_mac,
};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Runs a test as the director of a fresh namespace.
pub fn in_a_namespace<T: Send>(test: impl FnOnce(&mut Director) -> T + Send) -> T {
    // SAFETY: takes nothing and cannot fail.
    let uid = unsafe { libc::geteuid() };
    assert_eq!(
        uid, 0,
        "this test makes a network namespace and loads programs: run it as root (sudo -E cargo test)"
    );
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            // SAFETY: changes this thread alone, which ends with the test.
            let rc = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(rc, 0, "unshare: {}", std::io::Error::last_os_error());
            set_up();
            let mut down = Down(Director::here().expect("a director"));
            test(&mut down.0)
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Removes the pins, however the test ends.
struct Down(Director);

impl Drop for Down {
    fn drop(&mut self) {
        let _ = self.0.down();
    }
}

pub fn index(device: &str) -> u32 {
    let name = std::ffi::CString::new(device).unwrap();
    // SAFETY: a string that ends in a zero byte and lives over the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "no interface {device}");
    index
}

fn set_up() {
    for (name, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        // What is answered must not depend on how fast the test is.
        ("ipv4/icmp_ratemask", "0"),
        ("ipv6/icmp/ratelimit", "0"),
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
    ] {
        std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
    }
    for (near, far, mac) in [("c0", "c1", C0_MAC), ("s0", "s1", S0_MAC)] {
        netlink(|h| async move { h.link().add(LinkVeth::new(near, far).build()).execute().await });
        set(LinkUnspec::new_with_name(near).address(mac.to_vec()).up().build());
        set(LinkUnspec::new_with_name(far).up().build());
    }
    for (device, addr, prefix) in [("c0", DIRECTOR_C, 24), ("c0", VIP, 32), ("s0", DIRECTOR_S, 24)] {
        address(device, addr.into(), prefix);
    }
    for (device, addr, prefix) in [("c0", client_net(0xfe), 64), ("c0", client_net(0x100), 128)] {
        address(device, addr.into(), prefix);
    }
    address("s0", server_net(0xfe).into(), 64);
    for router in [ROUTER.into(), client_net(1).into()] {
        neighbour("c0", router, &ROUTER_MAC);
    }
    for n in 1..=SERVERS {
        neighbour("s0", server(n).into(), &server_mac(n));
        neighbour("s0", server_net(n.into()).into(), &server_mac(n));
    }
    let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(ROUTER).build();
    netlink(|h| async move { h.route().add(default).execute().await });
    let default = RouteMessageBuilder::<Ipv6Addr>::new().gateway(client_net(1)).build();
    netlink(|h| async move { h.route().add(default).execute().await });
}

/// The same network in IPv6: fd00:c:: where 10.0.0.0 is, fd00:5:: where 10.1.0.0 is; the VIP is fd00:c::100.
fn client_net(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0xc, 0, 0, 0, 0, 0, host)
}

fn server_net(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 5, 0, 0, 0, 0, 0, host)
}

pub fn set_mtu(device: &str, mtu: u32) {
    set(LinkUnspec::new_with_name(device).mtu(mtu).build());
}

fn address(device: &str, addr: IpAddr, prefix: u8) {
    let index = index(device);
    netlink(|h| async move { h.address().add(index, addr, prefix).execute().await });
}

fn neighbour(device: &str, addr: IpAddr, mac: &[u8]) {
    let index = index(device);
    netlink(|h| async move { h.neighbours().add(index, addr).link_layer_address(mac).execute().await });
}

fn set(message: LinkMessage) {
    netlink(|h| async move { h.link().set(message).execute().await });
}

fn netlink<F: Future<Output = Result<(), rtnetlink::Error>>>(request: impl FnOnce(Handle) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        request(handle).await.unwrap();
    });
}
