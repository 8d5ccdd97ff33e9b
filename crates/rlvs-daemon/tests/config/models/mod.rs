//! Any model at all, for properties: every part of it, with strings that need quotes.

mod global;

use global::global;
use proptest::collection::{btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use rlvs_control::model::{Method, Tunnel, TunnelChecksum, TunnelKind};
use rlvs_daemon::config::model::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Words as in files, and such that try the quoting.
fn word() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z][a-z0-9_.-]{0,8}",
        "[ -~äé\t\n\r\u{1}]{1,12}".prop_filter("blank", |s| !s.trim().is_empty())
    ]
    .boxed()
}

fn v4() -> BoxedStrategy<Ipv4Addr> {
    (0u8..4, any::<u8>()).prop_map(|(net, host)| Ipv4Addr::new(192, 0, net, host)).boxed()
}

fn v6() -> BoxedStrategy<Ipv6Addr> {
    any::<(u16, u16)>()
        .prop_map(|(net, host)| Ipv6Addr::new(0x2001, 0xdb8, 0, net % 4, 0, 0, 0, host))
        .boxed()
}

fn addr() -> BoxedStrategy<IpAddr> {
    prop_oneof![v4().prop_map(IpAddr::from), v6().prop_map(IpAddr::from)].boxed()
}

fn endpoint() -> BoxedStrategy<Endpoint> {
    (addr(), any::<u16>()).prop_map(|(addr, port)| Endpoint { addr, port }).boxed()
}

fn time() -> BoxedStrategy<Duration> {
    (0u64..2_678_400, prop_oneof![Just(0), Just(500_000_000), 0u32..1_000_000_000])
        .prop_map(|(secs, nanos)| Duration::new(secs, nanos))
        .boxed()
}

fn whole() -> BoxedStrategy<Duration> {
    (1u64..=2_678_400).prop_map(Duration::from_secs).boxed()
}

fn timing() -> BoxedStrategy<Timing> {
    (of(time()), of(time()), of(any::<u32>()), of(time()), of(time()))
        .prop_map(|(delay_loop, connect_timeout, retry, delay_before_retry, warmup)| Timing {
            delay_loop,
            connect_timeout,
            retry,
            delay_before_retry,
            warmup,
        })
        .boxed()
}

fn run_as() -> BoxedStrategy<RunAs> {
    (word(), of(word())).prop_map(|(user, group)| RunAs { user, group }).boxed()
}

fn script() -> BoxedStrategy<Script> {
    (word(), of(run_as())).prop_map(|(command, run_as)| Script { command, run_as }).boxed()
}

fn forwarding() -> BoxedStrategy<Forwarding> {
    let tunnel = |kind, port, checksum| {
        let tunnel = Tunnel { kind, port, checksum };
        Forwarding { method: Method::Tunnel, tunnel, ..Forwarding::default() }
    };
    let checksum = prop_oneof![Just(TunnelChecksum::None), Just(TunnelChecksum::Remote)];
    prop_oneof![
        Just(Forwarding::default()),
        Just(Forwarding { method: Method::DirectRoute, ..Forwarding::default() }),
        any::<bool>().prop_map(|proxy_protocol| Forwarding {
            method: Method::FullNat,
            proxy_protocol,
            ..Forwarding::default()
        }),
        Just(tunnel(TunnelKind::Ipip, 0, TunnelChecksum::None)),
        Just(tunnel(TunnelKind::Gre, 0, TunnelChecksum::Full)),
        (1u16.., checksum).prop_map(move |(port, checksum)| tunnel(TunnelKind::Gue, port, checksum)),
    ]
    .boxed()
}

fn url() -> BoxedStrategy<Url> {
    let codes = (100u16..=999, 0u16..50).prop_map(|(a, more)| StatusCodes(a..=(a + more).min(999)));
    let option = proptest::sample::select(&REGEX_OPTIONS[..]).prop_map(str::to_owned);
    (
        word(),
        of("[0-9a-f]{32}"),
        vec(codes, 0..3),
        of(word()),
        of(word()),
        any::<bool>(),
        vec(option, 0..3),
        of(any::<u32>()),
        of(any::<u32>()),
    )
        .prop_map(|(path, digest, status_code, virtualhost, regex, no_match, regex_options, min, max)| Url {
            path,
            digest,
            status_code,
            virtualhost,
            regex,
            regex_no_match: no_match,
            regex_options,
            regex_min_offset: min,
            regex_max_offset: max,
        })
        .boxed()
}

fn http() -> BoxedStrategy<CheckKind> {
    let tls = (any::<bool>(), of(word()), any::<bool>())
        .prop_map(|(enable_sni, sni_name, tls_compliant)| TlsOptions { enable_sni, sni_name, tls_compliant });
    let version = prop_oneof![Just(HttpVersion::V1_0), Just(HttpVersion::V1_0Close), Just(HttpVersion::V1_1)];
    (of(tls), version, any::<bool>(), of(word()), vec(url(), 1..3))
        .prop_map(|(tls, version, fast_recovery, virtualhost, urls)| {
            CheckKind::Http(HttpCheck { tls, version, fast_recovery, virtualhost, urls })
        })
        .boxed()
}

fn pattern() -> BoxedStrategy<HexPattern> {
    let byte = (any::<u8>(), proptest::sample::select(&[0u8, 0xf, 0xf0, 0xff][..]));
    vec(byte.prop_map(|(byte, mask)| (byte & mask, mask)), 0..4)
        .prop_map(|bytes| HexPattern { bytes })
        .boxed()
}

fn file_weight() -> BoxedStrategy<FileWeight> {
    (-i32::MAX..=i32::MAX, any::<bool>()).prop_map(|(factor, reverse)| FileWeight { factor, reverse }).boxed()
}

fn via() -> BoxedStrategy<Via> {
    prop_oneof![Just(Via::Rip), Just(Via::Vip)].boxed()
}

fn check() -> BoxedStrategy<Check> {
    let dns_type = proptest::sample::select(&DnsType::ALL[..]).prop_map(|(_, kind)| kind);
    let misc = (script(), of(time()), any::<bool>())
        .prop_map(|(script, timeout, dynamic)| CheckKind::Misc(MiscCheck { script, timeout, dynamic }));
    let udp = (of(vec(any::<u8>(), 1..5)), of(pattern()), of(any::<u16>()), of(any::<u16>())).prop_map(
        |(payload, require_reply, min_reply_length, max_reply_length)| {
            CheckKind::Udp(UdpCheck { payload, require_reply, min_reply_length, max_reply_length })
        },
    );
    let file = (word(), any::<bool>(), of(file_weight()))
        .prop_map(|(track_file, dynamic, weight)| CheckKind::File(FileCheck { track_file, dynamic, weight }));
    let kind = prop_oneof![
        Just(CheckKind::Tcp),
        Just(CheckKind::Ping),
        http(),
        of(word()).prop_map(|helo_name| CheckKind::Smtp(SmtpCheck { helo_name })),
        (of(dns_type), of(word()))
            .prop_map(|(query_type, name)| CheckKind::Dns(DnsCheck { query_type, name })),
        misc,
        udp,
        file,
    ];
    let connect = (of(addr()), of(1u16..), of(addr()), of(word()), of(1u16..), of(1u32..), of(via()))
        .prop_map(|(ip, port, bind_to, bind_if, bind_port, fwmark, via)| Connect {
            ip,
            port,
            bind_to,
            bind_if,
            bind_port,
            fwmark,
            via,
        });
    (kind, connect, timing(), of(any::<bool>()), of(any::<bool>()))
        .prop_map(|(kind, connect, timing, alpha, log_all_failures)| match kind {
            CheckKind::File(_) => Check::new(kind),
            CheckKind::Misc(_) => Check { timing, alpha, log_all_failures, ..Check::new(kind) },
            CheckKind::Ping => {
                Check { kind, connect: Connect { via: None, ..connect }, timing, alpha, log_all_failures }
            }
            _ => Check { kind, connect, timing, alpha, log_all_failures },
        })
        .boxed()
}

fn agent() -> BoxedStrategy<Agent> {
    let language = prop_oneof![Just(Language::Words), Just(Language::Json)];
    let who = (of(any::<bool>()), of(1u16..), of(endpoint()), of(script()), of(language));
    let how = (of(time()), of(time()), of(time()), of(1u32..), of(1u32..), of(0u8..=100), of(1u32..));
    let agent = (who, how).prop_map(|(who, how)| {
        let (enabled, port, address, script, language) = who;
        let (interval, timeout, smoothing, floor_percent, ceiling_percent, hysteresis_percent, missed) = how;
        Agent {
            enabled,
            port,
            address,
            script,
            language,
            interval,
            timeout,
            smoothing,
            floor_percent,
            ceiling_percent,
            hysteresis_percent,
            missed,
        }
    });
    prop_oneof![Just(Agent::default()), agent].boxed()
}

fn passive() -> BoxedStrategy<Passive> {
    let mode = prop_oneof![Just(PassiveMode::Off), Just(PassiveMode::Advise), Just(PassiveMode::Act)];
    let recovery = prop_oneof![Just(Recovery::Hold), Just(Recovery::Check)];
    let passive = (of(mode), of(time()), of(1u32..), of(1u32..=100), of(time()), of(recovery));
    let passive = passive.prop_map(|(mode, window, connections, percent, hold, recovery)| Passive {
        mode,
        window,
        connections,
        percent,
        hold,
        recovery,
    });
    prop_oneof![Just(Passive::default()), passive].boxed()
}

fn real_server() -> BoxedStrategy<RealServer> {
    let first = (endpoint(), of(0u32..=0x7fff_ffff), of(forwarding()), of(any::<bool>()), of(any::<bool>()));
    let second =
        (any::<[u32; 2]>(), of(script()), of(script()), of(word()), of(via()), timing(), vec(check(), 0..3));
    (first, second, agent())
        .prop_map(|(first, second, agent)| {
            let (address, weight, method, inhibit_on_failure, alpha) = first;
            let (
                [upper_threshold, lower_threshold],
                notify_up,
                notify_down,
                virtualhost,
                via,
                timing,
                checks,
            ) = second;
            RealServer {
                address,
                weight,
                method,
                inhibit_on_failure,
                alpha,
                upper_threshold,
                lower_threshold,
                notify_up,
                notify_down,
                virtualhost,
                via,
                timing,
                agent,
                checks,
            }
        })
        .boxed()
}

fn family() -> BoxedStrategy<AddressFamily> {
    prop_oneof![Just(AddressFamily::Inet), Just(AddressFamily::Inet6)].boxed()
}

fn persistence() -> BoxedStrategy<Persistence> {
    let granularity =
        prop_oneof![v4().prop_map(Granularity::Mask), (1u8..=128).prop_map(Granularity::Prefix)];
    (whole(), of(granularity), of(Just("sip".to_owned())))
        .prop_map(|(timeout, granularity, engine)| Persistence { timeout, granularity, engine })
        .boxed()
}

fn virtual_server() -> BoxedStrategy<VirtualServer> {
    let service = prop_oneof![
        endpoint().prop_map(ServiceAddress::Address),
        (1u32..).prop_map(ServiceAddress::Fwmark),
        word().prop_map(ServiceAddress::Group),
    ];
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let scheduler = proptest::sample::select(&SCHEDULERS[..]).prop_map(str::to_owned);
    let flag = proptest::sample::select(&SchedulerFlag::ALL[..]);
    let sorry = (endpoint(), any::<bool>(), of(forwarding()))
        .prop_map(|(address, inhibit, method)| SorryServer { address, inhibit, method });
    let first =
        (service, protocol, of(family()), of(scheduler), btree_set(flag, 0..3), any::<bool>(), forwarding());
    let second = (of(persistence()), any::<[bool; 4]>(), of(0u32..=0x7fff_ffff), of(1u32..), any::<u32>());
    let third =
        (of(script()), of(script()), of(sorry), of(word()), of(via()), timing(), vec(real_server(), 0..3));
    (first, second, third, agent(), passive())
        .prop_map(|(first, second, third, agent, passive)| {
            let (service, protocol, family, scheduler, flags, one_packet, method) = first;
            let (persistence, [alpha, omega, ha_suspend, inhibit_on_failure], weight, quorum, hysteresis) =
                second;
            let (quorum_up, quorum_down, sorry_server, virtualhost, via, timing, real_servers) = third;
            VirtualServer {
                service,
                protocol,
                family,
                scheduler,
                flags,
                one_packet,
                method,
                persistence,
                alpha,
                omega,
                ha_suspend,
                inhibit_on_failure,
                weight,
                quorum,
                hysteresis,
                quorum_up,
                quorum_down,
                sorry_server,
                virtualhost,
                via,
                timing,
                agent,
                passive,
                real_servers,
            }
        })
        .boxed()
}

fn member() -> BoxedStrategy<Member> {
    let v4 = (v4(), 0u32..70_000, any::<u16>()).prop_map(|(first, more, port)| {
        let last = Ipv4Addr::from(u32::from(first) + more % 65_536);
        Member::Addresses { first: first.into(), last: last.into(), port }
    });
    let v6 = (v6(), 0u128..70_000, any::<u16>()).prop_map(|(first, more, port)| {
        let last = Ipv6Addr::from(u128::from(first) + more % 65_536);
        Member::Addresses { first: first.into(), last: last.into(), port }
    });
    let one = endpoint().prop_map(|e| Member::Addresses { first: e.addr, last: e.addr, port: e.port });
    prop_oneof![
        one,
        v4,
        v6,
        (1u32.., of(family())).prop_map(|(mark, family)| Member::Fwmark { mark, family })
    ]
    .boxed()
}

pub fn config() -> BoxedStrategy<Config> {
    let tls = (of(word()), of(word()), of(word()), of(word()))
        .prop_map(|(password, ca, certificate, key)| Tls { password, ca, certificate, key });
    let init = (any::<i64>(), any::<bool>()).prop_map(|(value, overwrite)| InitFile { value, overwrite });
    let track_file = (word(), word(), of(file_weight()), of(init))
        .prop_map(|(name, file, weight, init)| TrackFile { name, file, weight, init });
    let group = (word(), vec(member(), 0..4)).prop_map(|(name, members)| Group { name, members });
    (global(), of(tls), vec(track_file, 0..3), vec(group, 0..3), vec(virtual_server(), 0..4))
        .prop_map(|(global, tls, track_files, groups, virtual_servers)| Config {
            global,
            tls,
            track_files,
            groups,
            virtual_servers,
        })
        .boxed()
}
