//! A model as `keepalived.conf`: what [`read`](super::read) makes the same model of.

use crate::config::model::*;
use std::fmt::{Display, Write};
use std::net::IpAddr;

/// The configuration as the text of a `keepalived.conf`, but for what that has no words for ([`forget`](super::forget)).
pub fn write(config: &Config) -> String {
    let mut out = Writer { text: String::new(), depth: 0 };
    out.global(&config.global);
    if let Some(tls) = &config.tls {
        out.block("SSL", |out| {
            out.string("password", &tls.password);
            out.string("ca", &tls.ca);
            out.string("certificate", &tls.certificate);
            out.string("key", &tls.key);
        });
    }
    for file in &config.track_files {
        out.block(&format!("track_file {}", quoted(&file.name)), |out| {
            out.line("file", quoted(&file.file));
            out.option("weight", file.weight);
            if let Some(init) = file.init {
                out.line(
                    "init_file",
                    format!("{}{}", init.value, if init.overwrite { " overwrite" } else { "" }),
                );
            }
        });
    }
    for group in &config.groups {
        out.block(&format!("virtual_server_group {}", quoted(&group.name)), |out| {
            group.members.iter().for_each(|member| out.member(member));
        });
    }
    for server in &config.virtual_servers {
        out.virtual_server(server);
    }
    out.text
}

struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    fn put(&mut self, line: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{:1$}{line}", "", self.depth * 4);
    }

    fn block(&mut self, head: &str, inside: impl FnOnce(&mut Writer)) {
        if self.depth == 0 && !self.text.is_empty() {
            self.text.push('\n');
        }
        self.put(&format!("{head} {{"));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.put("}");
    }

    fn line(&mut self, keyword: &str, value: impl Display) {
        self.put(&format!("{keyword} {value}"));
    }

    fn option<T: Display>(&mut self, keyword: &str, value: Option<T>) {
        if let Some(value) = value {
            self.line(keyword, value);
        }
    }

    fn string(&mut self, keyword: &str, value: &Option<String>) {
        self.option(keyword, value.as_deref().map(quoted));
    }

    fn flag(&mut self, keyword: &str, set: bool) {
        if set {
            self.put(keyword);
        }
    }

    fn script(&mut self, keyword: &str, script: &Option<Script>) {
        if let Some(script) = script {
            let run_as = script.run_as.as_ref().map(|run_as| format!(" {}", user(run_as)));
            self.line(keyword, format!("{}{}", quoted(&script.command), run_as.unwrap_or_default()));
        }
    }

    fn global(&mut self, global: &Global) {
        if *global == Global::default() {
            return;
        }
        self.string("net_namespace", &global.net_namespace);
        self.string("net_namespace_ipvs", &global.net_namespace_ipvs);
        let rest = Global { net_namespace: None, net_namespace_ipvs: None, ..global.clone() };
        if rest == Global::default() {
            return;
        }
        self.block("global_defs", |out| {
            out.option("lvs_sync_daemon", global.sync_daemon.as_ref().map(sync_daemon));
            let timeouts = &global.timeouts;
            let named = [("tcp", timeouts.tcp), ("tcpfin", timeouts.tcp_fin), ("udp", timeouts.udp)];
            let set: Vec<String> = named
                .iter()
                .filter_map(|(name, time)| Some(format!("{name} {}", seconds((*time)?))))
                .collect();
            if !set.is_empty() {
                out.line("lvs_timeouts", set.join(" "));
            }
            for source in &global.fullnat_sources {
                out.line("lvs_fullnat_source", source);
            }
            out.flag("lvs_flush", global.flush_at_start);
            match global.flush_at_stop {
                None => {}
                Some(FlushAtStop::All) => out.put("lvs_flush_on_stop"),
                Some(FlushAtStop::Services) => out.put("lvs_flush_on_stop VS"),
            }
            out.script("lvs_notify_fifo", &global.notify_fifo);
            out.script("lvs_notify_fifo_script", &global.notify_fifo_script);
            out.option("script_user", global.script_user.as_ref().map(user));
            out.flag("enable_script_security", global.script_security);
            out.flag("checker_log_all_failures on", global.log_all_failures);
            out.flag("rs_init_notifies", global.notify_at_start);
        });
    }

    fn member(&mut self, member: &Member) {
        match *member {
            Member::Addresses { first, last, port: 0 } => self.put(&Member::range_text(first, last)),
            Member::Addresses { first, last, port } => self.line(&Member::range_text(first, last), port),
            Member::Fwmark { .. } => self.put(&member.to_string()),
        }
    }

    fn virtual_server(&mut self, server: &VirtualServer) {
        let head = match &server.service {
            ServiceAddress::Address(endpoint) => format!("virtual_server {}", spaced(*endpoint)),
            ServiceAddress::Fwmark(mark) => format!("virtual_server fwmark {mark}"),
            ServiceAddress::Group(name) => format!("virtual_server group {}", quoted(name)),
        };
        self.block(&head, |out| {
            // Of a mark, keepalived says that it ignores it; for the model it is TCP then.
            if server.protocol != Protocol::Tcp || !matches!(server.service, ServiceAddress::Fwmark(_)) {
                let protocol = match server.protocol {
                    Protocol::Tcp => "TCP",
                    Protocol::Udp => "UDP",
                    Protocol::Sctp => "SCTP",
                };
                out.line("protocol", protocol);
            }
            out.option("ip_family", server.family.map(family_word));
            out.string("lvs_sched", &server.scheduler);
            server.flags.iter().for_each(|flag| out.put(flag.name()));
            out.flag("ops", server.one_packet);
            // Also the default: keepalived complains where it is not written.
            out.line("lvs_method", server.method);
            if let Some(persistence) = &server.persistence {
                out.line("persistence_timeout", seconds(persistence.timeout));
                out.option("persistence_granularity", persistence.granularity);
                out.string("persistence_engine", &persistence.engine);
            }
            out.flag("alpha", server.alpha);
            out.flag("omega", server.omega);
            out.flag("ha_suspend", server.ha_suspend);
            out.flag("inhibit_on_failure", server.inhibit_on_failure);
            out.option("weight", server.weight);
            out.option("quorum", server.quorum);
            out.option("hysteresis", (server.hysteresis > 0).then_some(server.hysteresis));
            out.script("quorum_up", &server.quorum_up);
            out.script("quorum_down", &server.quorum_down);
            if let Some(sorry) = &server.sorry_server {
                out.line("sorry_server", spaced(sorry.address));
                out.flag("sorry_server_inhibit", sorry.inhibit);
                out.option("sorry_server_lvs_method", sorry.method);
            }
            out.string("virtualhost", &server.virtualhost);
            out.timing(&server.timing);
            server.real_servers.iter().for_each(|real| out.real_server(real));
        });
    }

    fn real_server(&mut self, real: &RealServer) {
        self.block(&format!("real_server {}", spaced(real.address)), |out| {
            out.option("weight", real.weight);
            out.option("lvs_method", real.method);
            out.option("inhibit_on_failure", real.inhibit_on_failure.map(on_off));
            out.option("alpha", real.alpha.map(on_off));
            out.option("uthreshold", (real.upper_threshold > 0).then_some(real.upper_threshold));
            out.option("lthreshold", (real.lower_threshold > 0).then_some(real.lower_threshold));
            out.script("notify_up", &real.notify_up);
            out.script("notify_down", &real.notify_down);
            out.string("virtualhost", &real.virtualhost);
            out.timing(&real.timing);
            real.checks.iter().for_each(|check| out.check(check));
        });
    }

    fn timing(&mut self, timing: &Timing) {
        self.option("delay_loop", timing.delay_loop.map(seconds));
        self.option("connect_timeout", timing.connect_timeout.map(seconds));
        self.option("retry", timing.retry);
        self.option("delay_before_retry", timing.delay_before_retry.map(seconds));
        self.option("warmup", timing.warmup.map(seconds));
    }

    fn check(&mut self, check: &Check) {
        self.block(check.kind.keyword(), |out| {
            let connect = &check.connect;
            out.option("connect_ip", connect.ip);
            out.option("connect_port", connect.port);
            out.option("bindto", connect.bind_to);
            out.string("bind_if", &connect.bind_if);
            out.option("bind_port", connect.bind_port);
            out.option("fwmark", connect.fwmark);
            out.timing(&check.timing);
            out.option("alpha", check.alpha.map(on_off));
            out.option("log_all_failures", check.log_all_failures.map(on_off));
            match &check.kind {
                CheckKind::Tcp | CheckKind::Ping => {}
                CheckKind::Http(http) => out.http(http),
                CheckKind::Smtp(smtp) => out.string("helo_name", &smtp.helo_name),
                CheckKind::Dns(dns) => {
                    let name_of =
                        |kind| DnsType::ALL.iter().find(|(_, k)| *k == kind).map_or("SOA", |(name, _)| name);
                    out.option("type", dns.query_type.map(name_of));
                    out.string("name", &dns.name);
                }
                CheckKind::Misc(misc) => {
                    out.line("misc_path", quoted(&misc.script.command));
                    out.option("misc_timeout", misc.timeout.map(seconds));
                    out.flag("misc_dynamic", misc.dynamic);
                    out.option("user", misc.script.run_as.as_ref().map(user));
                }
                CheckKind::Udp(udp) => {
                    let payload = udp.payload.as_ref().filter(|bytes| !bytes.is_empty());
                    let hex =
                        |bytes: &Vec<u8>| HexPattern { bytes: bytes.iter().map(|b| (*b, 0xff)).collect() };
                    out.option("payload", payload.map(hex));
                    if let Some(reply) = &udp.require_reply {
                        out.put(format!("require_reply {reply}").trim_end());
                    }
                    out.option("min_reply_length", udp.min_reply_length);
                    out.option("max_reply_length", udp.max_reply_length);
                }
                CheckKind::File(file) => {
                    out.line("track_file", quoted(&file.track_file));
                    out.flag("dynamic", file.dynamic);
                    out.option("weight", file.weight);
                }
            }
        });
    }

    fn http(&mut self, http: &HttpCheck) {
        match http.version {
            HttpVersion::V1_0 => {}
            HttpVersion::V1_0Close => self.put("http_protocol 1.0C"),
            HttpVersion::V1_1 => self.put("http_protocol 1.1"),
        }
        self.flag("fast_recovery", http.fast_recovery);
        self.string("virtualhost", &http.virtualhost);
        if let Some(tls) = &http.tls {
            self.flag("enable_sni", tls.enable_sni);
            self.string("sni_name", &tls.sni_name);
            self.flag("tls_compliant", tls.tls_compliant);
        }
        for url in &http.urls {
            self.block("url", |out| {
                out.line("path", quoted(&url.path));
                out.option("digest", url.digest.as_ref());
                if !url.status_code.is_empty() {
                    let codes: Vec<String> = url.status_code.iter().map(ToString::to_string).collect();
                    out.line("status_code", codes.join(" "));
                }
                out.string("virtualhost", &url.virtualhost);
                out.string("regex", &url.regex);
                out.flag("regex_no_match", url.regex_no_match);
                if !url.regex_options.is_empty() {
                    out.line("regex_options", url.regex_options.join(" "));
                }
                out.option("regex_min_offset", url.regex_min_offset);
                out.option("regex_max_offset", url.regex_max_offset);
            });
        }
    }
}

fn sync_daemon(daemon: &SyncDaemon) -> String {
    let mut text = quoted(&daemon.interface);
    let mut put = |word: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(text, " {word} {value}");
        }
    };
    put("inst", daemon.vrrp_instance.as_deref().map(quoted));
    put("id", daemon.id.map(|id| id.to_string()));
    put("maxlen", daemon.max_len.map(|len| len.to_string()));
    put("port", daemon.port.map(|port| port.to_string()));
    put("ttl", daemon.ttl.map(|ttl| ttl.to_string()));
    put("group", daemon.group.map(|addr: IpAddr| addr.to_string()));
    text
}

fn user(run_as: &RunAs) -> String {
    let group = run_as.group.as_deref().map(|group| format!(" {}", quoted(group)));
    quoted(&run_as.user) + &group.unwrap_or_default()
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// `ADDRESS PORT`
fn spaced(endpoint: Endpoint) -> String {
    match endpoint.port {
        0 => endpoint.addr.to_string(),
        port => format!("{} {port}", endpoint.addr),
    }
}

/// A word that is read as `text`: as it is if nothing in it has a meaning, or in double quotes with escapes.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:-,+=%*?&;".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut word = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            // A definition would be replaced even here, and a control character breaks the line.
            '$' => word.push_str("\\044"),
            '\n' => word.push_str("\\n"),
            '\t' => word.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(word, "\\{:03o}", c as u32);
            }
            c => word.push(c),
        }
    }
    word.push('"');
    word
}
