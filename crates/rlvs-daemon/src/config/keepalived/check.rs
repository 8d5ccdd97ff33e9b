//! The blocks `…_CHECK { … }` of a real server.

use super::args::joined_text;
use super::elsewhere;
use super::global::{run_as, set};
use super::reader::Reader;
use super::tree::Statement;
use crate::config::model::{
    Check, CheckKind, DnsCheck, DnsType, FileCheck, MiscCheck, Script, SmtpCheck, TlsOptions, UdpCheck,
    hex_bytes,
};

/// Keywords that all checkers have which connect.
const COMMON: [&str; 13] = [
    "connect_ip",
    "connect_port",
    "bindto",
    "bind_if",
    "bind_port",
    "fwmark",
    "alpha",
    "connect_timeout",
    "retry",
    "delay_before_retry",
    "warmup",
    "delay_loop",
    "log_all_failures",
];

impl Reader<'_> {
    pub fn check(&mut self, s: &Statement) -> Option<Check> {
        self.args_count(s, 0..=0, &format!("{} {{ … }}", s.keyword.text));
        match s.keyword.text.as_str() {
            "TCP_CHECK" => self.connecting(s, CheckKind::Tcp, &[], |_, _, _| false),
            "PING_CHECK" => self.connecting(s, CheckKind::Ping, &[], |_, _, _| false),
            "HTTP_GET" => self.http(s, None),
            "SSL_GET" => self.http(s, Some(TlsOptions::default())),
            "SMTP_CHECK" => {
                let kind = CheckKind::Smtp(SmtpCheck::default());
                self.connecting(s, kind, &["helo_name"], Self::smtp_word)
            }
            "DNS_CHECK" => {
                self.connecting(s, CheckKind::Dns(DnsCheck::default()), &["type", "name"], Self::dns_word)
            }
            "UDP_CHECK" => {
                let known = ["payload", "require_reply", "min_reply_length", "max_reply_length"];
                self.connecting(s, CheckKind::Udp(UdpCheck::default()), &known, Self::udp_word)
            }
            "MISC_CHECK" => self.misc(s),
            "FILE_CHECK" => self.file_check(s),
            other => {
                let message = format!(
                    "{other} is no checker; there are TCP_CHECK, HTTP_GET, SSL_GET, SMTP_CHECK, DNS_CHECK, MISC_CHECK, \
                     UDP_CHECK, PING_CHECK and FILE_CHECK"
                );
                self.error(s, s.keyword.span, &message);
                None
            }
        }
    }

    /// A checker with the common keywords and those that `own` takes (it says whether it did).
    pub fn connecting(
        &mut self,
        s: &Statement,
        kind: CheckKind,
        known: &[&str],
        mut own: impl FnMut(&mut Self, &Statement, &mut CheckKind) -> bool,
    ) -> Option<Check> {
        let mut check = Check::new(kind);
        let name = s.keyword.text.as_str();
        for s in self.block(s) {
            if own(self, s, &mut check.kind)
                || self.timing_word(s, &mut check.timing)
                || self.common(s, &mut check)
            {
                continue;
            }
            let connect = &mut check.connect;
            match s.keyword.text.as_str() {
                "connect_ip" => set(&mut connect.ip, self.address(s)),
                "connect_port" => set(&mut connect.port, self.number(s, 1..=65_535)),
                "bindto" => set(&mut connect.bind_to, self.address(s)),
                "bind_if" => set(&mut connect.bind_if, self.string(s, "bind_if INTERFACE")),
                "bind_port" => set(&mut connect.bind_port, self.number(s, 1..=65_535)),
                "fwmark" => set(&mut connect.fwmark, self.number(s, 1..=u64::from(u32::MAX))),
                "host" if name == "SMTP_CHECK" => {
                    let message = "host blocks are not supported; write a SMTP_CHECK of its own for each host, with \
                                   connect_ip and connect_port";
                    self.error(s, s.keyword.span, message);
                }
                word => match elsewhere::in_servers(word) {
                    Some(why) => self.warn(s, &format!("{word} is not for rlvs; {why}")),
                    None => self.unknown(s, name, &[known, &COMMON].concat()),
                },
            }
        }
        Some(check)
    }

    fn common(&mut self, s: &Statement, check: &mut Check) -> bool {
        match s.keyword.text.as_str() {
            "alpha" => set(&mut check.alpha, self.switch(s)),
            "log_all_failures" => set(&mut check.log_all_failures, self.switch(s)),
            _ => return false,
        }
        true
    }

    fn smtp_word(&mut self, s: &Statement, kind: &mut CheckKind) -> bool {
        let CheckKind::Smtp(smtp) = kind else { return false };
        match s.keyword.text.as_str() {
            "helo_name" => set(&mut smtp.helo_name, self.string(s, "helo_name NAME")),
            _ => return false,
        }
        true
    }

    fn dns_word(&mut self, s: &Statement, kind: &mut CheckKind) -> bool {
        let CheckKind::Dns(dns) = kind else { return false };
        match s.keyword.text.as_str() {
            "type" => {
                set(&mut dns.query_type, self.one(s, "type A, NS, CNAME, SOA, MX, TXT or AAAA", dns_type))
            }
            "name" => set(&mut dns.name, self.string(s, "name DOMAIN")),
            _ => return false,
        }
        true
    }

    fn udp_word(&mut self, s: &Statement, kind: &mut CheckKind) -> bool {
        let CheckKind::Udp(udp) = kind else { return false };
        match s.keyword.text.as_str() {
            "payload" => {
                if self.count(s, 1..=usize::MAX, "payload HEX")
                    && let Ok(bytes) =
                        hex_bytes(&joined_text(s)).map_err(|why| self.error(s, s.args[0].span, &why))
                {
                    udp.payload = Some(bytes);
                }
            }
            "require_reply" => {
                if self.count(s, 0..=usize::MAX, "require_reply [HEX]")
                    && let Ok(pattern) =
                        joined_text(s).parse().map_err(|why: String| self.error(s, s.span(), &why))
                {
                    udp.require_reply = Some(pattern);
                }
            }
            "min_reply_length" => set(&mut udp.min_reply_length, self.number(s, 0..=65_535)),
            "max_reply_length" => set(&mut udp.max_reply_length, self.number(s, 0..=65_535)),
            _ => return false,
        }
        true
    }

    fn misc(&mut self, s: &Statement) -> Option<Check> {
        const KNOWN: [&str; 9] = [
            "misc_path",
            "misc_timeout",
            "misc_dynamic",
            "user",
            "alpha",
            "retry",
            "delay_before_retry",
            "warmup",
            "delay_loop",
        ];
        let (mut command, mut user, mut timeout, mut dynamic) = (None, None, None, false);
        let mut check = Check::new(CheckKind::Tcp);
        for s in self.block(s) {
            if self.timing_word(s, &mut check.timing) || self.common(s, &mut check) {
                continue;
            }
            match s.keyword.text.as_str() {
                "misc_path" => set(&mut command, self.string(s, "misc_path \"PROGRAM ARGUMENTS\"")),
                "misc_timeout" => set(&mut timeout, self.time(s)),
                "misc_dynamic" => dynamic = self.switch(s).unwrap_or(dynamic),
                "user" => {
                    if self.count(s, 1..=2, "user USER [GROUP]") {
                        user = Some(run_as(&s.args));
                    }
                }
                _ => self.unknown(s, "MISC_CHECK", &KNOWN),
            }
        }
        if command.is_none() {
            self.error(
                s,
                s.keyword.span,
                "MISC_CHECK without a program; write misc_path \"PROGRAM ARGUMENTS\"",
            );
        }
        let script = Script { command: command?, run_as: user };
        check.kind = CheckKind::Misc(MiscCheck { script, timeout, dynamic });
        Some(check)
    }

    fn file_check(&mut self, s: &Statement) -> Option<Check> {
        let (mut track_file, mut dynamic, mut weight) = (None, false, None);
        for s in self.block(s) {
            match s.keyword.text.as_str() {
                "track_file" => set(&mut track_file, self.string(s, "track_file NAME")),
                "dynamic" => dynamic = self.switch(s).unwrap_or(dynamic),
                "weight" => set(&mut weight, self.file_weight(s)),
                _ => self.unknown(s, "FILE_CHECK", &["track_file", "dynamic", "weight"]),
            }
        }
        if track_file.is_none() {
            self.error(s, s.keyword.span, "FILE_CHECK without a file; write track_file NAME");
        }
        Some(Check::new(CheckKind::File(FileCheck { track_file: track_file?, dynamic, weight })))
    }
}

fn dns_type(text: &str) -> Result<DnsType, String> {
    let found = DnsType::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, kind)| *kind).ok_or_else(|| {
        format!("{text:?} is no type of DNS record to ask for; there are A, NS, CNAME, SOA, MX, TXT and AAAA")
    })
}
