//! `HTTP_GET { … }` and `SSL_GET { … }` with their URLs.

use super::elsewhere;
use super::global::set;
use super::reader::Reader;
use super::tree::Statement;
use crate::config::model::{Check, CheckKind, HttpCheck, HttpVersion, REGEX_OPTIONS, TlsOptions, Url};

const URL: [&str; 10] = [
    "path",
    "digest",
    "status_code",
    "virtualhost",
    "regex",
    "regex_no_match",
    "regex_options",
    "regex_min_offset",
    "regex_max_offset",
    "regex_stack",
];

impl Reader<'_> {
    pub fn http(&mut self, s: &Statement, tls: Option<TlsOptions>) -> Option<Check> {
        let known: &[&str] = match tls {
            None => &["url", "http_protocol", "fast_recovery", "virtualhost"],
            Some(_) => &[
                "url",
                "http_protocol",
                "fast_recovery",
                "virtualhost",
                "enable_sni",
                "sni_name",
                "tls_compliant",
            ],
        };
        let kind = CheckKind::Http(HttpCheck { tls, ..HttpCheck::default() });
        let check = self.connecting(s, kind, known, Self::http_word)?;
        if let CheckKind::Http(http) = &check.kind
            && http.urls.is_empty()
        {
            let name = &s.keyword.text;
            self.error(s, s.keyword.span, &format!("{name} without a URL; write url {{ with path / in it"));
        }
        Some(check)
    }

    fn http_word(&mut self, s: &Statement, kind: &mut CheckKind) -> bool {
        let CheckKind::Http(http) = kind else { return false };
        match (s.keyword.text.as_str(), &mut http.tls) {
            ("http_protocol", _) => {
                http.version = self.one(s, "http_protocol 1.0, 1.0C or 1.1", version).unwrap_or(http.version);
            }
            ("fast_recovery", _) => http.fast_recovery = self.switch(s).unwrap_or(http.fast_recovery),
            ("virtualhost", _) => set(&mut http.virtualhost, self.string(s, "virtualhost NAME")),
            ("url", _) => http.urls.extend(self.url(s)),
            ("enable_sni", Some(tls)) => tls.enable_sni = self.switch(s).unwrap_or(tls.enable_sni),
            ("sni_name", Some(tls)) => set(&mut tls.sni_name, self.string(s, "sni_name NAME")),
            ("tls_compliant", Some(tls)) => tls.tls_compliant = self.switch(s).unwrap_or(tls.tls_compliant),
            ("enable_sni" | "sni_name" | "tls_compliant", None) => {
                let message = format!("{} is for SSL_GET; write SSL_GET instead of HTTP_GET", s.keyword.text);
                self.error(s, s.keyword.span, &message);
            }
            _ => return false,
        }
        true
    }

    fn url(&mut self, s: &Statement) -> Option<Url> {
        self.args_count(s, 0..=0, "url { … }");
        let mut url = Url::default();
        for s in self.block(s) {
            match s.keyword.text.as_str() {
                "path" => url.path = self.string(s, "path /PATH").unwrap_or_else(|| "/".to_owned()),
                "digest" => set(&mut url.digest, self.one(s, "digest MD5", digest)),
                "status_code" => {
                    if self.count(s, 1..=usize::MAX, "status_code 200 301-302 …") {
                        url.status_code =
                            s.args.iter().filter_map(|w| self.parse(s, w, str::parse)).collect();
                    }
                }
                "virtualhost" => set(&mut url.virtualhost, self.string(s, "virtualhost NAME")),
                "regex" => set(&mut url.regex, self.string(s, "regex \"EXPRESSION\"")),
                "regex_no_match" => url.regex_no_match = self.switch(s).unwrap_or(url.regex_no_match),
                "regex_options" => {
                    if self.count(s, 1..=usize::MAX, "regex_options NAME …") {
                        url.regex_options =
                            s.args.iter().filter_map(|w| self.parse(s, w, regex_option)).collect();
                    }
                }
                "regex_min_offset" => set(&mut url.regex_min_offset, self.number(s, 0..=u64::from(u32::MAX))),
                "regex_max_offset" => set(&mut url.regex_max_offset, self.number(s, 0..=u64::from(u32::MAX))),
                word => match elsewhere::in_servers(word) {
                    Some(why) => self.warn(s, &format!("{word} is not for rlvs; {why}")),
                    None => self.unknown(s, "url", &URL),
                },
            }
        }
        if url.path.is_empty() {
            if s.block.is_some() {
                self.error(s, s.keyword.span, "url without a path; write path /");
            }
            return None;
        }
        Some(url)
    }
}

fn version(text: &str) -> Result<HttpVersion, String> {
    match text {
        "1.0" => Ok(HttpVersion::V1_0),
        "1.0C" | "1.0c" => Ok(HttpVersion::V1_0Close),
        "1.1" => Ok(HttpVersion::V1_1),
        _ => Err(format!("{text:?} is no version of HTTP that checks speak; there are 1.0, 1.0C and 1.1")),
    }
}

fn digest(text: &str) -> Result<String, String> {
    if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("{text:?} is no MD5 digest; it has 32 hexadecimal digits, md5sum of the page gives it"))
    }
}

fn regex_option(text: &str) -> Result<String, String> {
    if REGEX_OPTIONS.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no option of regular expressions; there are {}", REGEX_OPTIONS.join(", ")))
    }
}
