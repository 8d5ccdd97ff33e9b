//! How a check stands in TOML: flat, `type = "http_get"` beside its settings. A table of all settings there are is read,
//! so that an unknown key is found at its place, and then sorted by type.

use super::*;
use crate::config::model::{RunAs, Script, text};

macro_rules! form {
    ($($(#[$attr:meta])* $name:ident: $type:ty,)+) => {
        #[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct CheckForm {
            #[serde(rename = "type")]
            kind: String,
            $($(#[$attr])* #[serde(skip_serializing_if = "Option::is_none")] $name: Option<$type>,)+
        }

        impl CheckForm {
            /// The first setting that is there but not among `allowed`.
            fn stranger(&self, allowed: &[&[&str]]) -> Option<&'static str> {
                let is_allowed = |name| allowed.iter().any(|names| names.contains(&name));
                $(if self.$name.is_some() && !is_allowed(stringify!($name)) { return Some(stringify!($name)); })+
                None
            }
        }
    };
}

form! {
    connect_ip: IpAddr,
    connect_port: u16,
    bindto: IpAddr,
    bind_if: String,
    bind_port: u16,
    fwmark: u32,
    via: Via,
    #[serde(with = "text::time")] delay_loop: Duration,
    #[serde(with = "text::time")] connect_timeout: Duration,
    retry: u32,
    #[serde(with = "text::time")] delay_before_retry: Duration,
    #[serde(with = "text::time")] warmup: Duration,
    alpha: bool,
    log_all_failures: bool,
    http_protocol: HttpVersion,
    fast_recovery: bool,
    virtualhost: String,
    enable_sni: bool,
    sni_name: String,
    tls_compliant: bool,
    helo_name: String,
    query: DnsType,
    name: String,
    command: String,
    #[serde(rename = "as")] run_as: RunAs,
    #[serde(with = "text::time")] timeout: Duration,
    dynamic: bool,
    #[serde(with = "text::payload")] payload: Vec<u8>,
    require_reply: HexPattern,
    min_reply_length: u16,
    max_reply_length: u16,
    track_file: String,
    weight: FileWeight,
    url: Vec<Url>,
}

const CONNECT: &[&str] = &["connect_ip", "connect_port", "bindto", "bind_if", "bind_port", "fwmark"];
const VIA: &[&str] = &["via"];
const TIMING: &[&str] =
    &["delay_loop", "connect_timeout", "retry", "delay_before_retry", "warmup", "alpha", "log_all_failures"];
const HTTP: &[&str] = &["http_protocol", "fast_recovery", "virtualhost", "url"];

impl TryFrom<CheckForm> for Check {
    type Error = String;

    fn try_from(form: CheckForm) -> Result<Check, String> {
        let allowed: &[&[&str]] = match form.kind.as_str() {
            "tcp" => &[CONNECT, VIA, TIMING],
            "ping" => &[CONNECT, TIMING],
            "http_get" => &[CONNECT, VIA, TIMING, HTTP],
            "ssl_get" => &[CONNECT, VIA, TIMING, HTTP, &["enable_sni", "sni_name", "tls_compliant"]],
            "smtp" => &[CONNECT, VIA, TIMING, &["helo_name"]],
            "dns" => &[CONNECT, VIA, TIMING, &["query", "name"]],
            "misc" => &[TIMING, &["command", "run_as", "timeout", "dynamic"]],
            "udp" => {
                &[CONNECT, VIA, TIMING, &["payload", "require_reply", "min_reply_length", "max_reply_length"]]
            }
            "file" => &[&["track_file", "dynamic", "weight"]],
            other => {
                return Err(format!(
                    "{other:?} is no type of check; there are tcp, http_get, ssl_get, smtp, dns, misc, udp, ping and file"
                ));
            }
        };
        if let Some(name) = form.stranger(allowed) {
            let name = if name == "run_as" { "as" } else { name };
            return Err(format!("a check of type {} has no {name}", form.kind));
        }
        let needed = |setting: Option<String>, name: &str| {
            setting.ok_or_else(|| format!("a check of type {} needs {name}", form.kind))
        };
        let kind = match form.kind.as_str() {
            "tcp" => CheckKind::Tcp,
            "ping" => CheckKind::Ping,
            "smtp" => CheckKind::Smtp(SmtpCheck { helo_name: form.helo_name }),
            "dns" => CheckKind::Dns(DnsCheck { query_type: form.query, name: form.name }),
            "misc" => CheckKind::Misc(MiscCheck {
                script: Script { command: needed(form.command, "command")?, run_as: form.run_as },
                timeout: form.timeout,
                dynamic: form.dynamic.unwrap_or(false),
            }),
            "udp" => CheckKind::Udp(UdpCheck {
                payload: form.payload,
                require_reply: form.require_reply,
                min_reply_length: form.min_reply_length,
                max_reply_length: form.max_reply_length,
            }),
            "file" => CheckKind::File(FileCheck {
                track_file: needed(form.track_file, "track_file")?,
                dynamic: form.dynamic.unwrap_or(false),
                weight: form.weight,
            }),
            http => CheckKind::Http(HttpCheck {
                tls: (http == "ssl_get").then(|| TlsOptions {
                    enable_sni: form.enable_sni.unwrap_or(false),
                    sni_name: form.sni_name,
                    tls_compliant: form.tls_compliant.unwrap_or(false),
                }),
                version: form.http_protocol.unwrap_or_default(),
                fast_recovery: form.fast_recovery.unwrap_or(false),
                virtualhost: form.virtualhost,
                urls: form.url.unwrap_or_default(),
            }),
        };
        Ok(Check {
            kind,
            connect: Connect {
                ip: form.connect_ip,
                port: form.connect_port,
                bind_to: form.bindto,
                bind_if: form.bind_if,
                bind_port: form.bind_port,
                fwmark: form.fwmark,
                via: form.via,
            },
            timing: Timing {
                delay_loop: form.delay_loop,
                connect_timeout: form.connect_timeout,
                retry: form.retry,
                delay_before_retry: form.delay_before_retry,
                warmup: form.warmup,
            },
            alpha: form.alpha,
            log_all_failures: form.log_all_failures,
        })
    }
}

impl From<Check> for CheckForm {
    fn from(check: Check) -> CheckForm {
        let Check { kind, connect, timing, alpha, log_all_failures } = check;
        let yes = |set: bool| set.then_some(true);
        let common = CheckForm {
            connect_ip: connect.ip,
            connect_port: connect.port,
            bindto: connect.bind_to,
            bind_if: connect.bind_if,
            bind_port: connect.bind_port,
            fwmark: connect.fwmark,
            via: connect.via,
            delay_loop: timing.delay_loop,
            connect_timeout: timing.connect_timeout,
            retry: timing.retry,
            delay_before_retry: timing.delay_before_retry,
            warmup: timing.warmup,
            alpha,
            log_all_failures,
            ..CheckForm::default()
        };
        let of = |kind: &str| CheckForm { kind: kind.to_owned(), ..common };
        match kind {
            CheckKind::Tcp => of("tcp"),
            CheckKind::Ping => of("ping"),
            CheckKind::Smtp(smtp) => CheckForm { helo_name: smtp.helo_name, ..of("smtp") },
            CheckKind::Dns(dns) => CheckForm { query: dns.query_type, name: dns.name, ..of("dns") },
            CheckKind::Misc(misc) => CheckForm {
                command: Some(misc.script.command),
                run_as: misc.script.run_as,
                timeout: misc.timeout,
                dynamic: yes(misc.dynamic),
                ..of("misc")
            },
            CheckKind::Udp(udp) => CheckForm {
                payload: udp.payload,
                require_reply: udp.require_reply,
                min_reply_length: udp.min_reply_length,
                max_reply_length: udp.max_reply_length,
                ..of("udp")
            },
            CheckKind::File(file) => CheckForm {
                track_file: Some(file.track_file),
                dynamic: yes(file.dynamic),
                weight: file.weight,
                ..of("file")
            },
            CheckKind::Http(http) => {
                let common = CheckForm {
                    http_protocol: (http.version != HttpVersion::default()).then_some(http.version),
                    fast_recovery: yes(http.fast_recovery),
                    virtualhost: http.virtualhost,
                    url: (!http.urls.is_empty()).then_some(http.urls),
                    ..of(if http.tls.is_some() { "ssl_get" } else { "http_get" })
                };
                match http.tls {
                    None => common,
                    Some(tls) => CheckForm {
                        enable_sni: yes(tls.enable_sni),
                        sni_name: tls.sni_name,
                        tls_compliant: yes(tls.tls_compliant),
                        ..common
                    },
                }
            }
        }
    }
}
