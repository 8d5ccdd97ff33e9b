//! What holds for the whole director.

use super::*;
use rlvs_control::Source;

/// With any ports, also those that need not be written.
fn fullnat_source() -> BoxedStrategy<FullnatSource> {
    (addr(), of((1u16.., 1u16..)))
        .prop_map(|(address, ports)| {
            let mut source = Source::new(address);
            if let Some((a, b)) = ports {
                (source.first_port, source.last_port) = (a.min(b), a.max(b));
            }
            FullnatSource(source)
        })
        .boxed()
}

pub fn global() -> BoxedStrategy<Global> {
    let sync = (word(), of(word()), of(any::<u8>()), of(1u16..=65_507), of(1u16..), of(1u8..), of(addr()))
        .prop_map(|(interface, vrrp_instance, id, max_len, port, ttl, group)| SyncDaemon {
            interface,
            vrrp_instance,
            id,
            max_len,
            port,
            ttl,
            group,
        });
    let timeouts = (of(whole()), of(whole()), of(whole())).prop_map(|(tcp, tcp_fin, udp)| TimeoutsToSet {
        tcp,
        tcp_fin,
        udp,
    });
    let stop = prop_oneof![Just(FlushAtStop::All), Just(FlushAtStop::Services)];
    let first = (of(word()), of(word()), of(sync), timeouts, of(stop));
    let first = (first, vec(fullnat_source(), 0..3));
    (first, of(script()), of(script()), of(run_as()), any::<[bool; 4]>(), passive())
        .prop_map(|(first, notify_fifo, notify_fifo_script, script_user, switches, passive)| {
            let (first, fullnat_sources) = first;
            let (net_namespace, net_namespace_ipvs, sync_daemon, timeouts, flush_at_stop) = first;
            let [flush_at_start, script_security, log_all_failures, notify_at_start] = switches;
            Global {
                net_namespace,
                net_namespace_ipvs,
                sync_daemon,
                timeouts,
                fullnat_sources,
                flush_at_start,
                flush_at_stop,
                notify_fifo,
                notify_fifo_script,
                script_user,
                script_security,
                log_all_failures,
                notify_at_start,
                passive,
            }
        })
        .boxed()
}
