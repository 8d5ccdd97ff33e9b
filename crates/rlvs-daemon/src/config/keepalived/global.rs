//! `global_defs { … }`: what of it is about LVS.

use super::args::{address, number, whole_seconds};
use super::elsewhere;
use super::reader::Reader;
use super::tree::{Statement, Word};
use crate::config::model::{FlushAtStop, FullnatSource, Global, RunAs, SyncDaemon};

const KNOWN: [&str; 15] = [
    "net_namespace",
    "net_namespace_ipvs",
    "lvs_sync_daemon",
    "lvs_timeouts",
    "lvs_fullnat_source",
    "lvs_flush",
    "lvs_flush_on_stop",
    "lvs_notify_fifo",
    "lvs_notify_fifo_script",
    "script_user",
    "enable_script_security",
    "checker_log_all_failures",
    "rs_init_notifies",
    "router_id",
    "notification_email",
];

impl Reader<'_> {
    pub fn global_defs(&mut self, s: &Statement, global: &mut Global) {
        for s in self.block(s) {
            self.global_word(s, global);
        }
    }

    pub fn global_word(&mut self, s: &Statement, global: &mut Global) {
        let word = s.keyword.text.as_str();
        match word {
            "net_namespace" => set(&mut global.net_namespace, self.string(s, "net_namespace NAME")),
            "net_namespace_ipvs" => {
                set(&mut global.net_namespace_ipvs, self.string(s, "net_namespace_ipvs NAME"))
            }
            "lvs_sync_daemon" => set(&mut global.sync_daemon, self.sync_daemon(s)),
            "lvs_timeouts" => self.timeouts(s, global),
            "lvs_fullnat_source" => {
                if self.count(s, 1..=2, "lvs_fullnat_source ADDRESS [FIRST-LAST]") {
                    let words: Vec<&str> = s.args.iter().map(|word| word.text.as_str()).collect();
                    let source: Option<FullnatSource> =
                        self.parse(s, &s.args[0], |_| words.join(" ").parse());
                    global.fullnat_sources.extend(source);
                }
            }
            "lvs_flush" => global.flush_at_start |= self.count(s, 0..=0, "lvs_flush"),
            "lvs_flush_on_stop" => set(&mut global.flush_at_stop, self.flush_at_stop(s)),
            "lvs_notify_fifo" => set(&mut global.notify_fifo, self.script(s)),
            "lvs_notify_fifo_script" => set(&mut global.notify_fifo_script, self.script(s)),
            "script_user" => {
                if self.count(s, 1..=2, "script_user USER [GROUP]") {
                    global.script_user = Some(run_as(&s.args));
                }
            }
            "enable_script_security" => {
                global.script_security |= self.count(s, 0..=0, "enable_script_security");
            }
            "checker_log_all_failures" => {
                global.log_all_failures = self.switch(s).unwrap_or(global.log_all_failures);
            }
            "rs_init_notifies" => global.notify_at_start |= self.count(s, 0..=0, "rs_init_notifies"),
            _ => match elsewhere::in_global_defs(word) {
                // Read by keepalived for its other half, or a word that changes nothing for us: no finding.
                Some(_) if word == "router_id" || word == "include_check" => {}
                Some(why) => self.warn(s, &format!("{word} is not for rlvs; {why}")),
                None => self.unknown(s, "global_defs", &KNOWN),
            },
        }
    }

    fn sync_daemon(&mut self, s: &Statement) -> Option<SyncDaemon> {
        const USAGE: &str = "lvs_sync_daemon INTERFACE [[inst] VRRP_INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDRESS]";
        if !self.count(s, 1..=14, USAGE) {
            return None;
        }
        let mut daemon = SyncDaemon {
            interface: s.args[0].text.clone(),
            vrrp_instance: None,
            id: None,
            max_len: None,
            port: None,
            ttl: None,
            group: None,
        };
        let mut words = s.args[1..].iter().enumerate();
        while let Some((at, word)) = words.next() {
            let keyword = word.text.as_str();
            if !["inst", "id", "maxlen", "port", "ttl", "group"].contains(&keyword) {
                if at > 0 {
                    self.error(s, word.span, &format!("{keyword:?} is unknown here; write {USAGE}"));
                    return None;
                }
                daemon.vrrp_instance = Some(word.text.clone());
                continue;
            }
            let Some((_, value)) = words.next() else {
                self.error(s, word.span, &format!("{keyword} without a value; write {USAGE}"));
                return None;
            };
            match keyword {
                "inst" => daemon.vrrp_instance = Some(value.text.clone()),
                "id" => daemon.id = Some(self.parse(s, value, |t| number(t, 0..=255))?),
                "maxlen" => daemon.max_len = Some(self.parse(s, value, |t| number(t, 1..=65_507))?),
                "port" => daemon.port = Some(self.parse(s, value, |t| number(t, 1..=65_535))?),
                "ttl" => daemon.ttl = Some(self.parse(s, value, |t| number(t, 1..=255))?),
                _ => daemon.group = Some(self.parse(s, value, address)?),
            }
        }
        Some(daemon)
    }

    fn timeouts(&mut self, s: &Statement, global: &mut Global) {
        const USAGE: &str = "lvs_timeouts [tcp SECONDS] [tcpfin SECONDS] [udp SECONDS]";
        if !self.count(s, 2..=6, USAGE) {
            return;
        }
        for pair in s.args.chunks(2) {
            let [name, value] = pair else {
                return self.error(
                    s,
                    pair[0].span,
                    &format!("{:?} without a value; write {USAGE}", pair[0].text),
                );
            };
            let Some(time) = self.parse(s, value, whole_seconds) else { continue };
            match name.text.as_str() {
                "tcp" => global.timeouts.tcp = Some(time),
                "tcpfin" => global.timeouts.tcp_fin = Some(time),
                "udp" => global.timeouts.udp = Some(time),
                other => self.error(s, name.span, &format!("{other:?} is unknown here; write {USAGE}")),
            }
        }
    }

    fn flush_at_stop(&mut self, s: &Statement) -> Option<FlushAtStop> {
        if !self.count(s, 0..=1, "lvs_flush_on_stop [VS]") {
            return None;
        }
        match s.args.first() {
            None => Some(FlushAtStop::All),
            Some(word) => self.parse(s, word, |text| match text {
                "VS" => Ok(FlushAtStop::Services),
                _ => Err(format!("{text:?} is unknown here; write lvs_flush_on_stop [VS]")),
            }),
        }
    }
}

/// What is wrong leaves what was there; it was reported.
pub fn set<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

pub fn run_as(words: &[Word]) -> RunAs {
    RunAs { user: words[0].text.clone(), group: words.get(1).map(|group| group.text.clone()) }
}
