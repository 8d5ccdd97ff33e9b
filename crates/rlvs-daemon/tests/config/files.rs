//! The twelve files below `tests/data/keepalived`: each is read into what it says, which is shown by its TOML form in
//! `….toml` beside it. `BLESS=1` writes those anew; look at what changed before it is committed.

use crate::data;
use rlvs_daemon::config::model::*;
use rlvs_daemon::config::report::{Level, Report};
use rlvs_daemon::config::source::{Disk, Memory};
use rlvs_daemon::config::{Format, keepalived, load, toml};
use std::path::Path;
use std::time::Duration;

fn read(name: &str, id: &str) -> (Config, Report) {
    load(&data().join(name), Format::Keepalived, id, &Disk)
}

fn clean(name: &str) -> Config {
    let (config, report) = read(name, "east");
    assert!(report.diagnostics().is_empty(), "{report}");
    config
}

#[test]
fn each_is_what_its_toml_says_and_comes_back_from_both_forms() {
    let mut names: Vec<String> = std::fs::read_dir(data())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".conf"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 12);
    for name in names {
        let (config, report) = read(&name, "east");
        assert!(!report.has_errors(), "{report}");
        let golden = data().join(&name).with_extension("toml");
        let text = toml::write(&config);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&golden).unwrap(), "{name}");
        assert_eq!(load(&golden, Format::Toml, "", &Disk).0, config, "{name}");
        let written = Memory::one("again.conf", &keepalived::write(&config));
        let (again, report) = load(Path::new("again.conf"), Format::Keepalived, "", &written);
        assert_eq!(again, config, "{name}: {report}");
    }
}

#[test]
fn a_dr_web_farm() {
    let config = clean("01-dr-web-farm.conf");
    assert_eq!(config.global.timeouts.tcp_fin, Some(Duration::from_secs(60)));
    let [server] = &config.virtual_servers[..] else { panic!("one virtual server") };
    assert_eq!(server.service.to_string(), "203.0.113.10:80");
    assert_eq!((server.effective_scheduler(), server.method.to_string()), ("wrr", "DR".to_owned()));
    let weights: Vec<_> = server.real_servers.iter().map(|real| real.effective_weight(server)).collect();
    assert_eq!(weights, [100, 50, 0]);
    // What is not written comes from further out, or is keepalived's default.
    let real = &server.real_servers[2];
    let timing = server.effective_timing(real, &real.checks[0]);
    assert_eq!((timing.delay_loop, timing.connect_timeout), (Duration::from_secs(6), Duration::from_secs(5)));
    assert_eq!((timing.retry, timing.delay_before_retry), (1, Duration::from_secs(1)));
    assert_eq!(timing.warmup, Duration::from_secs(6));
    let real = &server.real_servers[0];
    assert_eq!(server.effective_timing(real, &real.checks[0]).retry, 3);
}

#[test]
fn nat_with_ssl_get() {
    let (config, report) = read("02-nat-ssl.conf", "east");
    let warned: Vec<_> = report.findings().map(|f| (f.line.unwrap(), f.message.to_owned())).collect();
    assert!(warned.iter().all(|(line, said)| *line == 2 && said.ends_with("in the block SSL does nothing")));
    assert_eq!(warned.len(), 2, "password and ca");
    assert_eq!(config.tls.unwrap().password.as_deref(), Some("not so secret"));
    let server = &config.virtual_servers[0];
    let persistence = server.persistence.as_ref().unwrap();
    assert_eq!(persistence.timeout, Duration::from_secs(300));
    assert_eq!(persistence.granularity.unwrap().to_string(), "255.255.255.0");
    let real = &server.real_servers[0];
    assert!(real.effective_inhibit(server) && !server.real_servers[1].effective_inhibit(server));
    assert_eq!((real.upper_threshold, real.lower_threshold), (1000, 700));
    let CheckKind::Http(http) = &real.checks[0].kind else { panic!("SSL_GET") };
    assert!(http.tls.as_ref().unwrap().enable_sni);
    let accepted: Vec<u16> = (100..600).filter(|code| http.urls[0].accepts(*code)).collect();
    assert_eq!(accepted, [200, 204, 301, 302]);
    assert!(http.urls[1].accepts(299) && !http.urls[1].accepts(300));
    assert_eq!(real.checks[0].timing.connect_timeout, Some(Duration::from_millis(2500)));
    let CheckKind::Http(http) = &server.real_servers[1].checks[0].kind else { panic!("SSL_GET") };
    assert_eq!((http.version, http.fast_recovery), (HttpVersion::V1_1, true));
    assert_eq!(http.urls[0].regex.as_deref(), Some("status: *(ok|good)"));
    assert_eq!(http.urls[0].regex_options, ["caseless", "multiline"]);
}

#[test]
fn marks_and_groups() {
    let config = clean("03-fwmark-groups.conf");
    let [mark, group] = &config.virtual_servers[..] else { panic!("two virtual servers") };
    assert_eq!(mark.service, ServiceAddress::Fwmark(80));
    assert_eq!(mark.persistence.as_ref().unwrap().timeout, Duration::from_secs(360));
    let flags: Vec<_> = mark.flags.iter().map(|flag| flag.name()).collect();
    assert_eq!(flags, ["sh-fallback", "sh-port"]);
    assert_eq!(group.service, ServiceAddress::Group("mixed".to_owned()));
    let members: Vec<_> = config.group("mixed").unwrap().members.iter().map(Member::to_string).collect();
    assert_eq!(members, ["203.0.113.1:80", "203.0.113.2:8080", "fwmark 5", "fwmark 6"]);
    let checks = mark.real_servers.iter().map(|real| mark.check_port(real, &real.checks[0]));
    assert_eq!(checks.collect::<Vec<_>>(), [0, 443]);
    let real = &mark.real_servers[0];
    assert_eq!(mark.effective_timing(real, &real.checks[0]).retry, 0, "of a MISC_CHECK");
}

#[test]
fn ranges_and_ipv6() {
    let config = clean("04-ranges.conf");
    let count = |config: &Config| {
        config.groups[0].members.iter().map(|member| member.endpoints().count()).collect::<Vec<_>>()
    };
    assert_eq!(count(&config), [10, 12, 8, 1]);
    let check = &config.virtual_servers[0].real_servers[1].checks[0];
    assert_eq!(
        (check.connect.port, check.connect.ip.unwrap().to_string()),
        (Some(8081), "10.9.1.2".to_owned())
    );

    let config = clean("05-ipv6.conf");
    assert_eq!(count(&config), [16, 4]);
    let server = &config.virtual_servers[0];
    assert_eq!(server.persistence.as_ref().unwrap().granularity, Some(Granularity::Prefix(64)));
    assert_eq!(server.real_servers[0].checks[0].connect.bind_if.as_deref(), Some("eth0"));
    assert_eq!(config.virtual_servers[2].family, Some(AddressFamily::Inet6));
}

#[test]
fn includes_are_relative_and_sorted() {
    let (config, report) = read("06-includes.conf", "east");
    let services: Vec<_> = config.virtual_servers.iter().map(|server| server.service.to_string()).collect();
    assert_eq!(services, ["203.0.113.53:53", "203.0.113.123:123", "203.0.113.41:80", "203.0.113.42:80"]);
    assert_eq!(config.virtual_servers[0].real_servers.len(), 2, "a file that a file includes");
    assert_eq!((report.count(Level::Error), report.count(Level::Warning)), (0, 1));
    let message = &report.diagnostics()[0].message;
    assert!(message.starts_with("no file ") && message.ends_with("sites/none-*.conf"), "{message}");
}

#[test]
fn conditions_and_definitions() {
    let name = "07-conditions-and-definitions.conf";
    for (id, scheduler, weight) in [("east", Some("wlc"), 10), ("west", Some("rr"), 1), ("other", None, 1)] {
        let (config, report) = read(name, id);
        assert!(report.diagnostics().is_empty(), "{report}");
        let [server, list] = &config.virtual_servers[..] else { panic!("two virtual servers") };
        assert_eq!(server.scheduler.as_deref(), scheduler);
        let reals: Vec<_> = server
            .real_servers
            .iter()
            .map(|real| (real.address.to_string(), real.effective_weight(server)))
            .collect();
        let addresses = ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"];
        assert_eq!(reals, addresses.map(|address| (address.to_owned(), weight)));
        assert_eq!(server.quorum_up.as_ref().unwrap().argv()[1..], [id, "up", "#1"]);
        let reals: Vec<_> = list.real_servers.iter().map(|real| real.address.to_string()).collect();
        assert_eq!(reals, ["192.0.2.21:81", "192.0.2.22:81"]);
    }
}

#[test]
fn programs_and_files_as_checks() {
    let config = clean("08-misc-dynamic.conf");
    let file = &config.track_files[0];
    assert_eq!(file.weight, Some(FileWeight { factor: -10, reverse: true }));
    assert_eq!(file.init, Some(InitFile { value: 0, overwrite: true }));
    let server = &config.virtual_servers[0];
    assert!(server.alpha && server.omega && server.real_servers[1].alpha == Some(false));
    let real = &server.real_servers[0];
    assert_eq!(real.notify_down.as_ref().unwrap().argv(), ["/etc/keepalived/db", "down", "a b"]);
    let run_as = real.notify_down.as_ref().unwrap().run_as.as_ref().unwrap();
    assert_eq!((run_as.user.as_str(), run_as.group.as_deref()), ("postgres", Some("dba")));
    let CheckKind::Misc(misc) = &real.checks[0].kind else { panic!("MISC_CHECK") };
    assert!(misc.dynamic && misc.timeout == Some(Duration::from_secs(4)));
    assert_eq!(misc.script.command, "/usr/lib/checks/load --host 192.0.2.81 --max \"7 %\"");
    assert_eq!(real.checks[0].timing.warmup, Some(Duration::ZERO));
    let CheckKind::File(file) = &real.checks[1].kind else { panic!("FILE_CHECK") };
    assert_eq!((file.track_file.as_str(), file.weight.unwrap().factor), ("maintenance", 2));
}

#[test]
fn dns_and_smtp() {
    let config = clean("09-dns-and-smtp.conf");
    let protocols: Vec<_> = config.virtual_servers.iter().map(|server| server.protocol).collect();
    assert_eq!(protocols, [Protocol::Udp, Protocol::Tcp, Protocol::Tcp]);
    let server = &config.virtual_servers[0];
    let check = &server.real_servers[0].checks[0];
    assert_eq!(
        check.kind,
        CheckKind::Dns(DnsCheck { query_type: Some(DnsType::Ns), name: Some("example.net.".into()) })
    );
    let timing = server.effective_timing(&server.real_servers[0], check);
    assert_eq!((timing.retry, timing.delay_before_retry), (5, Duration::from_secs(20)), "as the delay_loop");
    let mail = &config.virtual_servers[2];
    let timing = mail.effective_timing(&mail.real_servers[1], &mail.real_servers[1].checks[0]);
    assert_eq!(timing.connect_timeout, Duration::from_secs(10), "of the virtual server");
    assert_eq!(mail.real_servers[1].checks[0].connect.fwmark, Some(7));
}

#[test]
fn udp_and_tunnels() {
    let config = clean("10-udp-ops-and-tunnels.conf");
    let [syslog, sip, tunnels] = &config.virtual_servers[..] else { panic!("three virtual servers") };
    assert!(syslog.one_packet);
    let CheckKind::Udp(udp) = &syslog.real_servers[0].checks[0].kind else { panic!("UDP_CHECK") };
    assert_eq!(udp.payload.as_deref(), Some(&[0x0a, 0xff, 3, 0x45, 6][..]));
    assert!(udp.require_reply.as_ref().unwrap().matches(&[1, 77]));
    assert_eq!(sip.persistence.as_ref().unwrap().engine.as_deref(), Some("sip"));
    let CheckKind::Udp(udp) = &sip.real_servers[0].checks[0].kind else { panic!("UDP_CHECK") };
    assert!(udp.require_reply.as_ref().unwrap().bytes.is_empty(), "any reply");
    let methods: Vec<_> =
        tunnels.real_servers.iter().map(|real| real.effective_method(tunnels).to_string()).collect();
    assert_eq!(methods, ["TUN type gue port 6080 remcsum", "TUN type gre csum", "TUN", "NAT"]);
}

#[test]
fn a_quorum_beside_vrrp() {
    let (config, report) = read("11-quorum-and-vrrp.conf", "east");
    let left: Vec<_> = report.findings().map(|f| (f.level, f.line.unwrap(), f.message.to_owned())).collect();
    let words = [
        (3, "notification_email"),
        (7, "notification_email_from"),
        (8, "smtp_server"),
        (9, "smtp_connect_timeout"),
        (11, "vrrp_garp_master_delay"),
        (20, "static_routes"),
        (24, "vrrp_script"),
        (29, "vrrp_instance"),
        (50, "smtp_alert"),
    ];
    let (last, left) = left.split_last().unwrap();
    assert_eq!(left, words.map(|(line, word)| (Level::Warning, line, format!("{word} is not for rlvs"))));
    assert!(last.1 == 2 && last.2.contains("lvs_sync_daemon does nothing"), "{last:?}");
    let sync = config.global.sync_daemon.as_ref().unwrap();
    assert_eq!(
        (sync.interface.as_str(), sync.vrrp_instance.as_deref(), sync.id),
        ("eth1", Some("VI_1"), Some(51))
    );
    assert_eq!(config.global.flush_at_stop, Some(FlushAtStop::Services));
    assert_eq!(config.global.notify_fifo_script.as_ref().unwrap().run_as.as_ref().unwrap().user, "root");
    let server = &config.virtual_servers[0];
    assert!(
        server.ha_suspend && server.inhibit_on_failure && !server.real_servers[0].effective_inhibit(server)
    );
    assert!(
        server.quorum_holds(25, false) && !server.quorum_holds(24, false) && server.quorum_holds(15, true)
    );
    let sorry = server.sorry_server.unwrap();
    assert!(sorry.inhibit && sorry.method.unwrap().is_tunnel());
}

#[test]
fn odd_writing() {
    let config = clean("12-odd-writing.conf");
    let server = &config.virtual_servers[0];
    assert_eq!(
        (server.scheduler.as_deref(), server.virtualhost.as_deref()),
        (Some("rr"), Some("www.example.com"))
    );
    assert_eq!(server.quorum_up.as_ref().unwrap().command, "/bin/echo \"up\" # no comment ! here");
    let real = &server.real_servers[0];
    assert_eq!(real.weight, Some(3));
    let CheckKind::Http(http) = &real.checks[0].kind else { panic!("HTTP_GET") };
    let paths: Vec<_> = http.urls.iter().map(|url| url.path.as_str()).collect();
    assert_eq!(paths, ["/a b", "/plain?x=1&y=2"]);
    assert_eq!(http.urls[1].regex.as_deref(), Some("^it's \\d+ $ !"));
    assert_eq!(real.checks[0].timing.connect_timeout, Some(Duration::from_millis(500)));
}
