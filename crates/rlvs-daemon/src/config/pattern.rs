//! Regular expressions of HTTP checks.
//!
//! keepalived uses PCRE2, this is fancy-regex: the same language in what people write (groups, lookaround,
//! back-references), not in its corners. Without `utf` a page is bytes, and a byte is a character; the page and the
//! expression are read as Latin-1, so that this holds here too. A search that would take too long ends with an error.

use super::model::Url;
use fancy_regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Steps of one search.
const MAX_STEPS: usize = 1_000_000;
/// The most bytes of an expression.
const MAX_PATTERN: usize = 10_000;

/// Options that change what an expression means, and how that is said here.
const FLAGS: [(&str, char); 5] =
    [("caseless", 'i'), ("multiline", 'm'), ("dotall", 's'), ("extended", 'x'), ("ungreedy", 'U')];
/// Options that are only about speed, or forbid what does not exist here.
const HARMLESS: [&str; 8] = [
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "auto_callout",
    "never_backslash_c",
    "never_utf",
    "never_ucp",
    "ucp",
];
const UTF: &str = "utf";
const DOLLAR_ENDONLY: &str = "dollar_endonly";

pub struct Pattern {
    regex: Regex,
    utf: bool,
    min_offset: usize,
    max_offset: Option<usize>,
}

impl Pattern {
    /// The expression of a URL that has one; or why it cannot be used.
    pub fn new(url: &Url) -> Result<Pattern, String> {
        let text = url.regex.as_deref().unwrap_or_default();
        if text.len() > MAX_PATTERN {
            return Err(format!("the regular expression has more than {MAX_PATTERN} bytes"));
        }
        let has = |name: &str| url.regex_options.iter().any(|option| option == name);
        let known = |option: &&String| {
            let option = option.as_str();
            let known = [UTF, DOLLAR_ENDONLY];
            !FLAGS.iter().any(|(name, _)| *name == option)
                && !HARMLESS.contains(&option)
                && !known.contains(&option)
        };
        if let Some(option) = url.regex_options.iter().find(known) {
            return Err(format!("the option {option} of regular expressions is not supported"));
        }
        let utf = has(UTF);
        let text = if utf { text.to_owned() } else { latin1(text.as_bytes()) };
        // PCRE's $ also stands before a line feed that ends the page.
        let text = if has(DOLLAR_ENDONLY) || has("multiline") { text } else { with_line_feed(&text) };
        let flags: String = FLAGS.iter().filter(|(name, _)| has(name)).map(|(_, flag)| *flag).collect();
        let text = if flags.is_empty() { text } else { format!("(?{flags}){text}") };
        let regex = RegexBuilder::new(&text)
            .backtrack_limit(MAX_STEPS)
            .build()
            .map_err(|error| format!("the regular expression cannot be used: {error}"))?;
        let offset = |offset: Option<u32>| offset.map(|offset| offset as usize); // 64 bits are more than 32
        Ok(Pattern {
            regex,
            utf,
            min_offset: offset(url.regex_min_offset).unwrap_or(0),
            max_offset: offset(url.regex_max_offset),
        })
    }

    /// Is there a match in the page that begins where it may?
    pub fn is_found(&self, page: &[u8]) -> Result<bool, String> {
        if self.min_offset > page.len() {
            return Ok(false);
        }
        let text;
        let (text, start) = if self.utf {
            let page = std::str::from_utf8(page).map_err(|_| "the page is not UTF-8".to_owned())?;
            let start = (self.min_offset..=page.len()).find(|at| page.is_char_boundary(*at));
            (page, start.unwrap_or(page.len()))
        } else {
            text = latin1(page);
            (text.as_str(), latin1(&page[..self.min_offset]).len())
        };
        let found =
            self.regex.find_from_pos(text, start).map_err(|error| format!("the expression: {error}"))?;
        let Some(found) = found else { return Ok(false) };
        let at = if self.utf { found.start() } else { text[..found.start()].chars().count() };
        Ok(self.max_offset.is_none_or(|most| at <= most))
    }
}

/// Bytes as the characters of the same number.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// `$` outside of classes, escapes and quotes, written out.
fn with_line_feed(pattern: &str) -> String {
    let mut out = String::new();
    let (mut class, mut escaped) = (false, false);
    for c in pattern.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '$' if !class => {
                out.push_str("(?=\\n?\\z)");
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// Expressions that were used before are ready.
#[derive(Default)]
pub struct Patterns(Mutex<HashMap<String, Arc<Pattern>>>);

impl Patterns {
    pub fn get(&self, url: &Url) -> Result<Arc<Pattern>, String> {
        let key = format!(
            "{:?} {:?} {:?} {:?}",
            url.regex, url.regex_options, url.regex_min_offset, url.regex_max_offset
        );
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = all.get(&key) {
            return Ok(Arc::clone(pattern));
        }
        let pattern = Arc::new(Pattern::new(url)?);
        all.insert(key, Arc::clone(&pattern));
        Ok(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(regex: &str, options: &[&str], page: &[u8]) -> Result<bool, String> {
        let url = Url {
            regex: Some(regex.into()),
            regex_options: options.iter().map(|o| (*o).to_owned()).collect(),
            ..Url::default()
        };
        Pattern::new(&url)?.is_found(page)
    }

    #[test]
    fn as_pcre_does_it() {
        for (regex, options, page, is_found) in [
            ("status: (ok|good)", &[][..], &b"status: good"[..], true),
            ("OK$", &[], b"OK\n", true),
            ("OK$", &["dollar_endonly"], b"OK\n", false),
            ("OK[$]$", &[], b"OK$", true),
            (r"5\$", &[], b"cost: 5$ more", true),
            ("^b$", &["multiline"], b"a\nb\nc", true),
            ("^b$", &[], b"a\nb\nc", false),
            ("ok", &["caseless"], b"OK", true),
            ("a.b", &[], b"a\nb", false),
            ("a.b", &["dotall"], b"a\nb", true),
            ("a b", &["extended"], b"ab", true),
            ("(?<!not )ready", &[], b"not ready", false),
            (r"(.)\1", &[], b"abba", true),
            ("\\xff.", &[], b"\xff\xfe", true),
            ("ä", &[], "ä".as_bytes(), true),
            ("^.$", &[], "ä".as_bytes(), false),
            ("^.$", &["utf"], "ä".as_bytes(), true),
        ] {
            assert_eq!(found(regex, options, page), Ok(is_found), "{regex} {options:?}");
        }
    }

    #[test]
    fn what_is_refused() {
        assert!(found("(", &[], b"").unwrap_err().contains("cannot be used"));
        assert!(found("a", &["dupnames"], b"").unwrap_err().contains("dupnames"));
        assert!(found("a", &["utf"], b"\xff").unwrap_err().contains("UTF-8"));
        let long = vec![b'a'; 5000];
        assert!(found(r"(a|b|ab)*(?=c)\1d", &[], &long).is_err(), "it ends");
    }

    #[test]
    fn offsets_are_bytes() {
        let at = |min: Option<u32>, max: Option<u32>| {
            let url = Url {
                regex: Some("x".into()),
                regex_min_offset: min,
                regex_max_offset: max,
                ..Url::default()
            };
            Pattern::new(&url).unwrap().is_found("ääx".as_bytes()).unwrap()
        };
        assert!(at(None, None) && at(Some(4), Some(4)) && at(None, Some(4)));
        assert!(!at(Some(5), None) && !at(None, Some(3)) && !at(Some(99), None));
    }
}
