//! The client's address handed on by FULLNAT (`--proxy-protocol`): real servers read the header of PROXY protocol, version 2, and
//! then what the client wrote.

mod common;

use common::{MB, attach, cluster, ipvsadm, real, within};
use rlvs::lab::{Lab, Topology, VIP, VIP6, plan};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

fn connect(addr: impl Into<IpAddr>, port: u16) -> Option<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::new(addr.into(), port), LIMIT).ok()
}

/// What a server reads of a connection: the header's bytes, then what the client wrote. It answers with how much it read, and
/// so many bytes of its own.
fn read_with_header(listener: &TcpListener, header: usize) -> (Vec<u8>, usize) {
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut start = vec![0; header];
    stream.read_exact(&mut start).expect("a header");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("what the client wrote");
    stream.write_all(&rest).expect("the same back");
    (start, rest.len())
}

/// The header is version 2 of the PROXY protocol, and nothing else of the stream is changed: 5 MB and back, by every way of
/// attaching the programs, with the kernel's offloads and without; the server speaks first, too.
#[test]
fn the_clients_address_is_handed_on() {
    within(120, || {
        for (mode, as_on_a_wire) in
            [("tc", false), ("skb", false), ("xdp", false), ("tc", true), ("xdp", true)]
        {
            let builder = Lab::builder(Topology::Tun).program(common::RLVS);
            let lab = if as_on_a_wire { builder.as_on_a_wire() } else { builder }.build().expect("a lab");
            lab.at_end("director", &["down"]).expect("noted");
            attach(&lab, mode);
            ipvsadm(&lab, &format!("-A -t {VIP}:82 -s rr"));
            ipvsadm(&lab, &format!("-a -t {VIP}:82 -r {} --fullnat --proxy-protocol", real(&lab, 1, 82)));
            let listener = lab.server(1).run(|| TcpListener::bind("0.0.0.0:82").expect("a port"));
            let text: Vec<u8> = (0..5 * MB).map(|n| (n % 251) as u8).collect();
            std::thread::scope(|scope| {
                let server =
                    scope.spawn(|| [read_with_header(&listener, 28), read_with_header(&listener, 28)]);
                let ports = lab.client().run(|| {
                    [&text[..], b"a short one"].map(|text| {
                        let mut stream = connect(VIP, 82).expect("a connection");
                        let mut back = Vec::new();
                        stream.write_all(text).expect("sent");
                        stream.shutdown(Shutdown::Write).expect("the end");
                        stream.read_to_end(&mut back).expect("the answer");
                        assert!(back == text, "{mode}: {} of {} bytes came back", back.len(), text.len());
                        stream.local_addr().expect("an address").port()
                    })
                });
                for ((header, read), (port, len)) in
                    server.join().expect("a server").into_iter().zip(ports.into_iter().zip([text.len(), 11]))
                {
                    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
                    expected.extend(lab.client().addr().octets());
                    expected.extend(VIP.octets());
                    expected.extend(port.to_be_bytes());
                    expected.extend(82u16.to_be_bytes());
                    assert_eq!((header, read), (expected, len), "{mode}");
                }
            });
            // A client that waits for the server's first word: the end of the handshake is all that it sends.
            std::thread::scope(|scope| {
                let server = scope.spawn(|| {
                    let (mut stream, _) = listener.accept().expect("a connection");
                    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
                    stream.read_exact(&mut [0; 28]).expect("a header");
                    stream.write_all(b"220 welcome").expect("sent");
                });
                lab.client().run(|| {
                    let mut stream = connect(VIP, 82).expect("a connection");
                    let mut word = String::new();
                    stream.read_to_string(&mut word).expect("the server's word");
                    assert_eq!(word, "220 welcome", "{mode}");
                });
                server.join().expect("a server");
            });
        }
    });
}

#[test]
fn the_clients_ipv6_address_is_handed_on() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        lab.hosts().iter().for_each(|host| host.add_ipv6().expect("IPv6"));
        ipvsadm(&lab, &format!("-A -t [{VIP6}]:82 -s rr"));
        let server = plan::six(lab.server(1).addr());
        ipvsadm(&lab, &format!("-a -t [{VIP6}]:82 -r [{server}]:82 --fullnat --proxy-protocol"));
        let listener = lab.server(1).run(|| TcpListener::bind("[::]:82").expect("a port"));
        let text: Vec<u8> = (0..MB).map(|n| (n % 251) as u8).collect();
        std::thread::scope(|scope| {
            let read = scope.spawn(|| read_with_header(&listener, 52));
            let port = lab.client().run(|| {
                let mut stream = connect(VIP6, 82).expect("a connection");
                let mut back = Vec::new();
                stream.write_all(&text).expect("sent");
                stream.shutdown(Shutdown::Write).expect("the end");
                stream.read_to_end(&mut back).expect("the answer");
                assert!(back == text, "{} of {} bytes came back", back.len(), text.len());
                stream.local_addr().expect("an address").port()
            });
            let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
            expected.extend(plan::six(lab.client().addr()).octets());
            expected.extend(VIP6.octets());
            expected.extend(port.to_be_bytes());
            expected.extend(82u16.to_be_bytes());
            assert_eq!(read.join().expect("a server"), (expected, text.len()));
        });
    });
}
