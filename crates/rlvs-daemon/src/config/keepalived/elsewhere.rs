//! Words of `keepalived.conf` that say nothing to rlvs, and where they belong. They are warned of, not refused: the same
//! file may be read by keepalived for its VRRP part.

const VRRP: &str =
    "it is left to keepalived: let `keepalived --vrrp` read this file, it leaves virtual servers alone";
const MAIL: &str = "rlvs sends no mail: let notify_up, notify_down, quorum_up and quorum_down do it";
const SNMP: &str = "rlvs has no SNMP";
const PROCESS: &str =
    "it is about keepalived's own processes: leave it out, or set it in rlvs's service unit";
const NFTABLES: &str = "rlvs needs no packet filter: every member of a group becomes a service";
const RELOAD: &str = "it is about keepalived's reload: rlvs checks a file before it uses it";

/// At the top of the file: what to do about a word that keepalived knows.
pub fn at_top(word: &str) -> Option<&'static str> {
    match word {
        "static_ipaddress"
        | "static_routes"
        | "static_rules"
        | "static_addresses"
        | "track_group"
        | "garp_group"
        | "linkbeat_interfaces"
        | "linkbeat_use_polling"
        | "interface_up_down_delays"
        | "bfd_instance"
        | "track_process" => Some(VRRP),
        "namespace_with_ipsets" | "instance" | "use_pid_dir" | "child_wait_time" => Some(PROCESS),
        word if word.starts_with("vrrp_") => Some(VRRP),
        _ => None,
    }
}

/// In `global_defs`.
pub fn in_global_defs(word: &str) -> Option<&'static str> {
    Some(match word {
        "notification_email"
        | "notification_email_from"
        | "smtp_server"
        | "smtp_helo_name"
        | "smtp_connect_timeout"
        | "smtp_alert"
        | "smtp_alert_vrrp"
        | "smtp_alert_checker"
        | "no_email_faults"
        | "no_checker_emails" => MAIL,
        "snmp_socket"
        | "enable_snmp_vrrp"
        | "enable_snmp_keepalived"
        | "enable_snmp_checker"
        | "enable_snmp_rfc"
        | "enable_snmp_rfcv2"
        | "enable_snmp_rfcv3"
        | "enable_traps"
        | "snmp_vs_stats_update_interval"
        | "snmp_rs_stats_update_interval" => SNMP,
        "nftables"
        | "nftables_priority"
        | "nftables_counters"
        | "nftables_ifindex"
        | "dynamic_interfaces"
        | "default_interface"
        | "disable_local_igmp"
        | "fifo_write_vrrp_states_on_reload"
        | "log_unknown_vrids"
        | "vmac_prefix"
        | "vmac_addr_prefix"
        | "startup_script"
        | "startup_script_timeout"
        | "shutdown_script"
        | "shutdown_script_timeout"
        | "notify_fifo"
        | "notify_fifo_script"
        | "router_id" => VRRP,
        "nftables_ipvs" | "nftables_ipvs_priority" | "nftables_ipvs_start_fwmark" => NFTABLES,
        "tmp_config_directory"
        | "config_save_dir"
        | "reload_check_config"
        | "reload_time_file"
        | "reload_repeat"
        | "reload_file"
        | "data_use_instance"
        | "state_dump_file"
        | "json_version" => RELOAD,
        "process_names"
        | "process_name"
        | "max_auto_priority"
        | "min_auto_priority_delay"
        | "enable_dbus"
        | "dbus_service_name"
        | "dbus_no_interface_name"
        | "umask"
        | "random_seed"
        | "use_symlink_paths"
        | "iproute_usr_dir"
        | "iproute_etc_dir"
        | "include_check"
        | "process_monitor_rcv_bufs"
        | "process_monitor_rcv_bufs_force" => PROCESS,
        word if word.starts_with("vrrp_") => VRRP,
        word if ["checker_", "bfd_", "lvs_netlink_"].iter().any(|prefix| word.starts_with(prefix)) => PROCESS,
        _ => return None,
    })
}

/// In virtual and real servers and checkers.
pub fn in_servers(word: &str) -> Option<&'static str> {
    match word {
        "smtp_alert" => Some(MAIL),
        "snmp_name" => Some(SNMP),
        "hashed" => Some("it is a flag of old kernels without an effect: leave it out"),
        "regex_stack" => Some("rlvs's regular expressions need no stack to be set: leave it out"),
        _ => None,
    }
}
