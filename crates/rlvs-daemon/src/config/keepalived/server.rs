//! `real_server ADDRESS [PORT] { … }`

use super::elsewhere;
use super::global::set;
use super::reader::Reader;
use super::tree::Statement;
use crate::config::model::{Endpoint, RealServer};
use crate::config::validate::Place;
use std::net::{IpAddr, Ipv4Addr};

const KNOWN: [&str; 27] = [
    "weight",
    "lvs_method",
    "notify_up",
    "notify_down",
    "uthreshold",
    "lthreshold",
    "inhibit_on_failure",
    "alpha",
    "connect_timeout",
    "retry",
    "delay_before_retry",
    "warmup",
    "delay_loop",
    "virtualhost",
    "smtp_alert",
    "snmp_name",
    "TCP_CHECK",
    "HTTP_GET",
    "SSL_GET",
    "SMTP_CHECK",
    "DNS_CHECK",
    "MISC_CHECK",
    "BFD_CHECK",
    "UDP_CHECK",
    "PING_CHECK",
    "FILE_CHECK",
    "lb_kind",
];

impl Reader<'_> {
    pub fn real_server(&mut self, s: &Statement, service: usize, at: usize) -> Option<RealServer> {
        let address = self.endpoint(s);
        let nowhere = Endpoint { addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 };
        let mut server = RealServer::new(address.unwrap_or(nowhere));
        for s in self.block(s) {
            self.real_server_word(s, (service, at), &mut server);
        }
        address.map(|_| server)
    }

    fn real_server_word(&mut self, s: &Statement, at: (usize, usize), server: &mut RealServer) {
        if self.timing_word(s, &mut server.timing) {
            return;
        }
        let word = s.keyword.text.as_str();
        match word {
            "weight" => set(&mut server.weight, self.number(s, 0..=0x7fff_ffff)),
            "lvs_method" | "lb_kind" => set(&mut server.method, self.forwarding(s)),
            "notify_up" => set(&mut server.notify_up, self.script(s)),
            "notify_down" => set(&mut server.notify_down, self.script(s)),
            "uthreshold" => {
                server.upper_threshold = self.number(s, 0..=u64::from(u32::MAX)).unwrap_or(server.upper_threshold);
            }
            "lthreshold" => {
                server.lower_threshold = self.number(s, 0..=u64::from(u32::MAX)).unwrap_or(server.lower_threshold);
            }
            "inhibit_on_failure" => set(&mut server.inhibit_on_failure, self.switch(s)),
            "alpha" => set(&mut server.alpha, self.switch(s)),
            "virtualhost" => set(&mut server.virtualhost, self.string(s, "virtualhost NAME")),
            "BFD_CHECK" => self.error(
                s,
                s.keyword.span,
                "BFD_CHECK is not supported, rlvs speaks no BFD; PING_CHECK with a short delay_loop sees a dead host, too",
            ),
            _ if word.ends_with("_CHECK") || word.ends_with("_GET") => {
                if let Some(check) = self.check(s) {
                    self.places.set(Place::Check(at.0, at.1, server.checks.len()), s.span());
                    server.checks.push(check);
                }
            }
            _ => match elsewhere::in_servers(word) {
                Some(why) => self.warn(s, &format!("{word} is not for rlvs; {why}")),
                None => self.unknown(s, "real_server", &KNOWN),
            },
        }
    }
}
