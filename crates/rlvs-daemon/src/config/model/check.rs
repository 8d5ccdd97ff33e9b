//! Checkers: what must work for a real server to be up.

use super::text::{HexPattern, as_string};
use super::timing::Timing;
use super::via::Via;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

#[path = "check_form.rs"]
mod form;

/// One checker of a real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "form::CheckForm", into = "form::CheckForm")]
pub struct Check {
    pub kind: CheckKind,
    /// Not for [`CheckKind::Misc`] and [`CheckKind::File`].
    pub connect: Connect,
    /// Not for [`CheckKind::File`].
    pub timing: Timing,
    /// Failed until it has passed for the first time.
    pub alpha: Option<bool>,
    pub log_all_failures: Option<bool>,
}

impl Check {
    pub fn new(kind: CheckKind) -> Check {
        Check {
            kind,
            connect: Connect::default(),
            timing: Timing::default(),
            alpha: None,
            log_all_failures: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A connection is accepted.
    Tcp,
    Http(HttpCheck),
    Smtp(SmtpCheck),
    Dns(DnsCheck),
    /// A program says it.
    Misc(MiscCheck),
    Udp(UdpCheck),
    /// An ICMP echo is answered.
    Ping,
    /// A number in a file says it.
    File(FileCheck),
}

impl CheckKind {
    /// keepalived's word.
    pub fn keyword(&self) -> &'static str {
        match self {
            CheckKind::Tcp => "TCP_CHECK",
            CheckKind::Http(HttpCheck { tls: None, .. }) => "HTTP_GET",
            CheckKind::Http(_) => "SSL_GET",
            CheckKind::Smtp(_) => "SMTP_CHECK",
            CheckKind::Dns(_) => "DNS_CHECK",
            CheckKind::Misc(_) => "MISC_CHECK",
            CheckKind::Udp(_) => "UDP_CHECK",
            CheckKind::Ping => "PING_CHECK",
            CheckKind::File(_) => "FILE_CHECK",
        }
    }

    /// Does it connect to an address and a port?
    pub fn needs_port(&self) -> bool {
        !matches!(self, CheckKind::Misc(_) | CheckKind::Ping | CheckKind::File(_))
    }
}

/// Where a check goes to and comes from; the real server's address and port, if not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    pub bind_to: Option<IpAddr>,
    pub bind_if: Option<String>,
    pub bind_port: Option<u16>,
    /// A firewall mark for the check's packets.
    pub fwmark: Option<u32>,
    /// Only of checks that [can go](CheckKind::can_go_via) another way.
    pub via: Option<Via>,
}

/// HTTP_GET, and SSL_GET if there is `tls`. Every URL must give what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpCheck {
    pub tls: Option<TlsOptions>,
    pub version: HttpVersion,
    /// After a failure, all URLs are tried without `delay_loop` between them.
    pub fast_recovery: bool,
    pub virtualhost: Option<String>,
    /// At least one.
    pub urls: Vec<Url>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Send the virtual host as server name.
    pub enable_sni: bool,
    /// Send this one instead.
    pub sni_name: Option<String>,
    /// A peer that just closes the connection has failed.
    pub tls_compliant: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    #[default]
    #[serde(rename = "1.0")]
    V1_0,
    /// 1.0 with `Connection: close`.
    #[serde(rename = "1.0C")]
    V1_0Close,
    #[serde(rename = "1.1")]
    V1_1,
}

/// Options of a [`Url`]'s regular expression, all that keepalived knows.
pub const REGEX_OPTIONS: [&str; 21] = [
    "allow_empty_class",
    "alt_bsux",
    "auto_callout",
    "caseless",
    "dollar_endonly",
    "dotall",
    "dupnames",
    "extended",
    "firstline",
    "match_unset_backref",
    "multiline",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "ucp",
    "ungreedy",
    "utf",
    "never_backslash_c",
];

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Url {
    pub path: String,
    /// MD5 of the body, 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// 200-299, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status_code: Vec<StatusCodes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualhost: Option<String>,
    /// To be found in the body (or not to be found: `regex_no_match`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub regex_no_match: bool,
    /// Of [`REGEX_OPTIONS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regex_options: Vec<String>,
    /// Bytes of the body: where to begin to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex_min_offset: Option<u32>,
    /// Bytes of the body: where a match must have begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex_max_offset: Option<u32>,
}

impl Url {
    pub fn accepts(&self, status: u16) -> bool {
        match self.status_code.as_slice() {
            [] => (200..=299).contains(&status),
            ranges => ranges.iter().any(|codes| codes.0.contains(&status)),
        }
    }
}

/// `200` or `200-299`, within 100..=999.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCodes(pub RangeInclusive<u16>);

as_string!(StatusCodes);

impl fmt::Display for StatusCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.start(), self.0.end()) {
            (a, b) if a == b => write!(f, "{a}"),
            (a, b) => write!(f, "{a}-{b}"),
        }
    }
}

impl FromStr for StatusCodes {
    type Err = String;

    fn from_str(text: &str) -> Result<StatusCodes, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first @ 100..=999), Ok(last @ 100..=999)) if first <= last => Ok(StatusCodes(first..=last)),
            _ => Err(format!("{text:?} is no HTTP status; write 200 or 200-299, within 100-999")),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmtpCheck {
    pub helo_name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsCheck {
    /// SOA, if not given.
    pub query_type: Option<DnsType>,
    /// The root, if not given.
    pub name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DnsType {
    A,
    Ns,
    Cname,
    Soa,
    Mx,
    Txt,
    Aaaa,
}

impl DnsType {
    pub const ALL: [(&str, DnsType); 7] = [
        ("A", DnsType::A),
        ("NS", DnsType::Ns),
        ("CNAME", DnsType::Cname),
        ("SOA", DnsType::Soa),
        ("MX", DnsType::Mx),
        ("TXT", DnsType::Txt),
        ("AAAA", DnsType::Aaaa),
    ];
}

/// Exit status 0 is good, 1 is bad, 2..=255 is good and says the weight if `dynamic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MiscCheck {
    /// Program and arguments, and as whom.
    pub script: super::Script,
    /// A program that takes longer is stopped and has failed; [`EffectiveTiming::delay_loop`](super::EffectiveTiming) if
    /// not given.
    pub timeout: Option<Duration>,
    /// The weight becomes exit status - 2.
    pub dynamic: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpCheck {
    /// What is sent; something random, if not given.
    pub payload: Option<Vec<u8>>,
    /// A reply must come, beginning with this; empty: any.
    pub require_reply: Option<HexPattern>,
    /// Bytes of a reply; 0 if not given.
    pub min_reply_length: Option<u16>,
    /// Bytes of a reply; 255 if not given.
    pub max_reply_length: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCheck {
    /// A [`TrackFile`](super::TrackFile)'s name.
    pub track_file: String,
    /// The file's number is added to the weight.
    pub dynamic: bool,
    /// That of the track file, if not given.
    pub weight: Option<FileWeight>,
}

/// What a file's number is multiplied with: `10`, `-2 reverse` (reverse: the sign is turned).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileWeight {
    /// -2147483647..=2147483647
    pub factor: i32,
    pub reverse: bool,
}

as_string!(FileWeight);

impl fmt::Display for FileWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.factor, if self.reverse { " reverse" } else { "" })
    }
}

impl FromStr for FileWeight {
    type Err = String;

    fn from_str(text: &str) -> Result<FileWeight, String> {
        let (factor, reverse) = match text.strip_suffix(" reverse") {
            Some(factor) => (factor, true),
            None => (text, false),
        };
        match factor.parse() {
            Ok(factor) if factor != i32::MIN => Ok(FileWeight { factor, reverse }),
            _ => Err(format!(
                "{text:?} is no weight; write -2147483647 to 2147483647, and reverse after it or not"
            )),
        }
    }
}
