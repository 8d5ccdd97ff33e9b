//! FTP through NAT, with a real server (vsftpd) and a real client (curl): active and passive, over IPv4 and IPv6, files of
//! some megabytes both ways.

mod common;

use common::{Cluster, RLVS, attach, cluster, ipvsadm, ready, rlvs, wait_for, wait_until, within};
use rlvs::lab::{Lab, Topology, VIP, VIP6, plan};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
/// A transfer, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Servers listen on another port than the service's.
const PORT: u16 = 2121;
const SIZE: usize = 4_000_000;

/// Options of curl, and words that it and the server say then.
type Kind = (&'static str, &'static [&'static str], &'static [&'static str]);

const FOUR: [Kind; 4] = [
    ("passive", &["--disable-epsv", "--no-ftp-skip-pasv-ip"], &["> PASV", "< 227 ", "(10,0,0,100,"]),
    ("extended passive", &[], &["> EPSV", "< 229 "]),
    ("active", &["--ftp-port", "-", "--disable-eprt"], &["> PORT "]),
    ("extended active", &["--ftp-port", "-"], &["> EPRT |1|"]),
];
const SIX: [Kind; 2] = [
    ("extended passive", &[], &["> EPSV", "< 229 "]),
    ("extended active", &["--ftp-port", "-"], &["> EPRT |2|"]),
];

/// Servers with files, and a place for a client's.
struct Ftp {
    dir: PathBuf,
    servers: Vec<Child>,
}

impl Ftp {
    /// One vsftpd in each real server. Of the three one calls clients from any port, not from 20.
    fn start(lab: &Lab, name: &str, six: bool) -> Ftp {
        let dir = std::env::temp_dir().join(format!("rlvs-ftp-{name}-{}", std::process::id()));
        let mut ftp = Ftp { dir: dir.clone(), servers: Vec::new() };
        std::fs::create_dir_all(dir.join("empty")).expect("a directory");
        for (n, server) in (1..).zip(lab.servers()) {
            let root = dir.join(server.name());
            std::fs::create_dir_all(root.join("in")).expect("a directory");
            open(&root.join("in"), 0o777);
            std::fs::write(root.join("file"), content(n)).expect("a file");
            let config = dir.join(format!("{}.conf", server.name()));
            std::fs::write(&config, configuration(&dir, &root, six, n != 2)).expect("a configuration");
            open(&config, 0o600);
            let mut command = server.command("vsftpd");
            command.arg(&config).stdin(Stdio::null());
            let started = server.start(command);
            ftp.servers.push(started.expect("vsftpd (apt-get install vsftpd curl; make test does it)"));
        }
        for server in lab.servers() {
            let addr: IpAddr = if six { plan::six(server.addr()).into() } else { server.addr().into() };
            wait_until("a server", SOON, || lab.director().run(|| TcpStream::connect((addr, PORT)).is_ok()));
        }
        ftp
    }

    /// Runs curl in the client; what it told of the conversation. It must succeed.
    fn curl(&self, lab: &Lab, args: &[&str]) -> String {
        let mut command = lab.client().command("curl");
        command.args(["--verbose", "--silent", "--show-error", "--max-time", "50"]).args(args);
        let output = lab.client().output(command, "", LIMIT).expect("curl");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "curl {args:?}: {}\n{said}", output.status);
        said
    }

    /// Both ways with each of the three servers, whose turn it is one after another. (A listing comes over a data
    /// connection, too.)
    fn transfers(&self, lab: &Lab, vip: &str, (name, options, words): Kind) {
        let (out, sent) = (self.dir.join("out"), self.dir.join("sent"));
        let mut seen = Vec::new();
        for turn in 0..3 {
            let url = format!("ftp://{vip}/file");
            let said = self.curl(lab, &[options, &["--output", out.to_str().expect("text"), &url]].concat());
            for word in words {
                assert!(said.contains(word), "{name}: no {word:?} in\n{said}");
            }
            let got = std::fs::read(&out).expect("a file");
            let server = (1..=3).find(|n| got == content(*n));
            seen.push(server.unwrap_or_else(|| panic!("{name}: {} bytes, not what was there", got.len())));
            let file = format!("{}-{turn}", name.replace(' ', "-"));
            let content = content(100 + turn);
            std::fs::write(&sent, &content).expect("a file");
            let url = format!("ftp://{vip}/in/{file}");
            self.curl(lab, &[options, &["--upload-file", sent.to_str().expect("text"), &url]].concat());
            let arrived = wait_for("the file", SOON, || self.find(lab, &file, content.len()));
            assert!(std::fs::read(arrived).expect("a file") == content, "{name}: not what was sent");
        }
        seen.sort_unstable();
        // Downloads and uploads take turns: with three servers and two connections for each turn all of them see both.
        assert_eq!(seen, [1, 2, 3], "{name}");
    }

    /// A file that a client has sent, wherever it is.
    fn find(&self, lab: &Lab, file: &str, len: usize) -> Option<PathBuf> {
        let places = lab.servers().map(|server| self.dir.join(server.name()).join("in").join(file));
        places.into_iter().find(|place| std::fs::metadata(place).is_ok_and(|m| m.len() == len as u64))
    }
}

impl Drop for Ftp {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn open(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

fn configuration(dir: &Path, root: &Path, six: bool, from_port_20: bool) -> String {
    let yes = |on| if on { "YES" } else { "NO" };
    format!(
        "listen={}\nlisten_ipv6={}\nlisten_port={PORT}\nbackground=NO\nanonymous_enable=YES\nlocal_enable=NO\n\
         no_anon_password=YES\nanon_root={}\nwrite_enable=YES\nanon_upload_enable=YES\nanon_umask=022\n\
         anon_world_readable_only=NO\nftp_data_port=20\nconnect_from_port_20={}\nsecure_chroot_dir={}\n\
         seccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\nidle_session_timeout=30\nxferlog_enable=NO\n",
        yes(!six),
        yes(six),
        root.display(),
        yes(from_port_20),
        dir.join("empty").display(),
    )
}

/// Bytes that look like nothing, another row for each number.
fn content(number: u32) -> Vec<u8> {
    let mut x = u64::from(number) + 1;
    let mut next = || {
        x = x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (x >> 56) as u8
    };
    (0..SIZE).map(|_| next()).collect()
}

fn serve(lab: &Lab) {
    ipvsadm(lab, &format!("-A -t {VIP}:21 -s rr"));
    for server in lab.servers() {
        ipvsadm(lab, &format!("-a -t {VIP}:21 -r {}:{PORT} -m", server.addr()));
    }
}

fn serve_six(lab: &Lab) {
    lab.hosts().iter().for_each(|host| host.add_ipv6().expect("IPv6"));
    ipvsadm(lab, &format!("-A -t [{VIP6}]:21 -s rr"));
    for server in lab.servers() {
        ipvsadm(lab, &format!("-a -t [{VIP6}]:21 -r [{}]:{PORT} -m", plan::six(server.addr())));
    }
}

fn everything(lab: &Lab, name: &str) {
    serve(lab);
    let ftp = Ftp::start(lab, name, false);
    for kind in FOUR {
        ftp.transfers(lab, &VIP.to_string(), kind);
    }
    let status = rlvs(lab.director(), "status");
    assert!(!status.contains("ftp-no-room"), "{status}");
}

#[test]
fn by_tc_with_offloads() {
    within(300, || {
        let lab = cluster(Topology::Nat);
        serve(&lab);
        attach(&lab, "tc");
        ipvsadm(&lab, "-C");
        everything(&lab, "tc");
    });
}

#[test]
fn by_xdp_as_cards_deliver_packets() {
    within(300, || {
        let lab = Lab::builder(Topology::Nat).as_on_a_wire().program(RLVS).build().expect("a lab");
        let lab: Cluster = ready(lab);
        serve(&lab);
        for device in lab.director().devices() {
            rlvs(lab.director(), &format!("attach {device} --mode xdp --xdp-redirect on"));
        }
        ipvsadm(&lab, "-C");
        everything(&lab, "xdp");
    });
}

#[test]
fn over_ipv6() {
    within(300, || {
        let lab = cluster(Topology::Nat);
        serve_six(&lab);
        attach(&lab, "tc");
        let ftp = Ftp::start(&lab, "six", true);
        for kind in SIX {
            ftp.transfers(&lab, &format!("[{VIP6}]"), kind);
        }
    });
}

/// A client by hand.
struct Talk(BufReader<TcpStream>);

impl Talk {
    fn begin() -> Talk {
        let stream = TcpStream::connect((VIP, 21)).expect("a control connection");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        let mut talk = Talk(BufReader::new(stream));
        talk.hears("220");
        talk.says("USER anonymous", "230");
        talk
    }

    fn hears(&mut self, code: &str) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        assert!(line.starts_with(code), "{line}");
        line
    }

    fn says(&mut self, line: &str, code: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("sent");
        self.hears(code)
    }
}

/// What is expected is listed, as IPVS lists it, until the data connection is there.
#[test]
fn what_is_expected_is_listed() {
    within(120, || {
        let lab = cluster(Topology::Nat);
        serve(&lab);
        attach(&lab, "tc");
        let _ftp = Ftp::start(&lab, "listed", false);
        let client = lab.client().addr();
        let mut talk = lab.client().run(Talk::begin);
        let said = talk.says("PASV", "227");
        let numbers = said.split(['(', ')']).nth(1).expect("numbers");
        let n: Vec<u16> = numbers.split(',').map(|n| n.parse().expect("a number")).collect();
        assert_eq!(n[..4], VIP.octets().map(u16::from), "{said}");
        let port = n[4] << 8 | n[5];
        let listed = || ipvsadm(&lab, "-Lnc");
        let row = |state: &str, from: &str, virt: &str| {
            listed().lines().any(|l| {
                let words: Vec<&str> = l.split_whitespace().collect();
                matches!(words[..], ["TCP", left, s, c, v, _] if s == state && c == from && v == virt
                    && (left.starts_with("01:") || state != "LISTEN"))
            })
        };
        let data = format!("{VIP}:{port}");
        assert!(row("LISTEN", &format!("{client}:0"), &data), "{}", listed());
        let mut stream = lab.client().run(|| TcpStream::connect((VIP, port)).expect("a data connection"));
        let local = stream.local_addr().expect("an address").to_string();
        wait_until("the data connection", SOON, || row("ESTABLISHED", &local, &data));
        assert!(!row("LISTEN", &format!("{client}:0"), &data), "{}", listed());
        talk.says("NLST", "150");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("a listing");
        assert_eq!(text.lines().collect::<Vec<_>>(), ["file", "in"]);
        talk.hears("226");

        let listener = lab.client().run(|| TcpListener::bind((client, 0)).expect("a listener"));
        let port = listener.local_addr().expect("an address").port();
        let numbers = format!("{},{},{}", client.to_string().replace('.', ","), port >> 8, port & 255);
        talk.says(&format!("PORT {numbers}"), "200");
        assert!(row("LISTEN", &format!("{client}:{port}"), &format!("{VIP}:20")), "{}", listed());
        talk.says("NLST", "150");
        let (mut stream, from) = listener.accept().expect("the server's call");
        assert_eq!(from, SocketAddr::new(VIP.into(), 20));
        text.clear();
        stream.read_to_string(&mut text).expect("a listing");
        assert_eq!(text.lines().collect::<Vec<_>>(), ["file", "in"]);
        talk.hears("226");
        talk.says("QUIT", "221");
    });
}
