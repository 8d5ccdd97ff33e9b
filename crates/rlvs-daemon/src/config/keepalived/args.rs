//! Arguments of a keyword: how many there may be, and what they must look like. What is wrong is reported at the
//! argument; the caller then goes on without it, so that the next fault is found, too.

use super::reader::Reader;
use super::tree::{Statement, Word};
use crate::config::model::{Endpoint, FileWeight, Forwarding, MAX_TIME, RunAs, Script};
use crate::config::report::{Level, Span};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

impl Reader<'_> {
    /// Reports an error; what comes after the last semicolon of `message` is the way out.
    pub fn error(&mut self, at: &Statement, span: Span, message: &str) {
        self.say(Level::Error, at, span, message);
    }

    pub fn warn(&mut self, at: &Statement, message: &str) {
        self.say(Level::Warning, at, at.span(), message);
    }

    fn say(&mut self, level: Level, at: &Statement, span: Span, message: &str) {
        let diagnostic = match message.rsplit_once("; ") {
            Some((message, help)) => at.blame(level, span, message).help(help),
            None => at.blame(level, span, message),
        };
        self.report.add(diagnostic);
    }

    /// At least `range.start()` and at most `range.end()` arguments, and no block.
    pub fn count(&mut self, s: &Statement, range: RangeInclusive<usize>, usage: &str) -> bool {
        if s.block.is_some() {
            self.error(s, s.keyword.span, &format!("{} has no block; write {usage}", s.keyword.text));
            return false;
        }
        self.args_count(s, range, usage)
    }

    /// The same where a block may follow.
    pub fn args_count(&mut self, s: &Statement, range: RangeInclusive<usize>, usage: &str) -> bool {
        if let Some(extra) = s.args.get(*range.end()) {
            let message = format!("{:?} is too much for {}; write {usage}", extra.text, s.keyword.text);
            self.error(s, extra.span, &message);
            return false;
        }
        if s.args.len() < *range.start() {
            self.error(s, s.span(), &format!("{} is not complete; write {usage}", s.keyword.text));
            return false;
        }
        true
    }

    /// An argument, parsed.
    pub fn parse<T>(
        &mut self,
        s: &Statement,
        word: &Word,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(&word.text).map_err(|why| self.error(s, word.span, &why)).ok()
    }

    /// The one argument, parsed.
    pub fn one<T>(
        &mut self,
        s: &Statement,
        usage: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.count(s, 1..=1, usage) {
            return None;
        }
        self.parse(s, &s.args[0], parse)
    }

    pub fn string(&mut self, s: &Statement, usage: &str) -> Option<String> {
        self.one(s, usage, |text| {
            if text.is_empty() { Err("an empty name".to_owned()) } else { Ok(text.to_owned()) }
        })
    }

    pub fn number<T: TryFrom<u64>>(&mut self, s: &Statement, range: RangeInclusive<u64>) -> Option<T> {
        let usage = format!("{} N", s.keyword.text);
        self.one(s, &usage, |text| number(text, range))
    }

    pub fn time(&mut self, s: &Statement) -> Option<Duration> {
        let usage = format!("{} SECONDS", s.keyword.text);
        self.one(s, &usage, crate::config::model::parse_seconds)
    }

    pub fn address(&mut self, s: &Statement) -> Option<IpAddr> {
        let usage = format!("{} ADDRESS", s.keyword.text);
        self.one(s, &usage, address)
    }

    /// A keyword alone, or with on or off.
    pub fn switch(&mut self, s: &Statement) -> Option<bool> {
        let usage = format!("{0}, {0} on or {0} off", s.keyword.text);
        if !self.count(s, 0..=1, &usage) {
            return None;
        }
        match s.args.first() {
            None => Some(true),
            Some(word) => self.parse(s, word, |text| match text {
                "on" | "true" | "yes" => Ok(true),
                "off" | "false" | "no" => Ok(false),
                _ => Err(format!("{text:?} is neither on nor off; write {usage}")),
            }),
        }
    }

    /// `ADDRESS [PORT]`
    pub fn endpoint(&mut self, s: &Statement) -> Option<Endpoint> {
        let usage = format!("{} ADDRESS [PORT]", s.keyword.text);
        if !self.args_count(s, 1..=2, &usage) {
            return None;
        }
        let addr = self.parse(s, &s.args[0], address)?;
        let port = match s.args.get(1) {
            Some(word) => self.parse(s, word, |text| number(text, 0..=65_535))?,
            None => 0,
        };
        Some(Endpoint { addr, port })
    }

    /// `COMMAND [USER [GROUP]]`
    pub fn script(&mut self, s: &Statement) -> Option<Script> {
        let usage = format!(
            "{} \"PROGRAM ARGUMENTS\" [USER [GROUP]], with quotes if there are arguments",
            s.keyword.text
        );
        if !self.count(s, 1..=3, &usage) {
            return None;
        }
        if s.args[0].text.trim().is_empty() {
            self.error(s, s.args[0].span, &format!("no program; write {usage}"));
            return None;
        }
        let run_as = s.args.get(1).map(|user| RunAs {
            user: user.text.clone(),
            group: s.args.get(2).map(|group| group.text.clone()),
        });
        Some(Script { command: s.args[0].text.clone(), run_as })
    }

    pub fn forwarding(&mut self, s: &Statement) -> Option<Forwarding> {
        self.joined(s, "NAT, DR, FULLNAT [proxy] or TUN [type gue port N]")
    }

    /// `N [reverse]`
    pub fn file_weight(&mut self, s: &Statement) -> Option<FileWeight> {
        self.joined(s, "N [reverse]")
    }

    /// All arguments as one value.
    fn joined<T: std::str::FromStr<Err = String>>(&mut self, s: &Statement, usage: &str) -> Option<T> {
        if !self.count(s, 1..=usize::MAX, &format!("{} {usage}", s.keyword.text)) {
            return None;
        }
        let span = Span { start: s.args[0].span.start.min(s.span().end), ..s.span() };
        joined_text(s).parse().map_err(|why: String| self.error(s, span, &why)).ok()
    }

    /// The statements of a block; none, if there is no block, which is an error.
    pub fn block<'s>(&mut self, s: &'s Statement) -> &'s [Statement] {
        match &s.block {
            Some(block) => block,
            None => {
                let message = format!(
                    "{0} needs a block; write {0} {{ on this line and }} on one of its own",
                    s.keyword.text
                );
                self.error(s, s.span(), &message);
                &[]
            }
        }
    }

    /// A keyword that this block does not have.
    pub fn unknown(&mut self, s: &Statement, block: &str, known: &[&str]) {
        let word = s.keyword.text.as_str();
        if word == "include" {
            return self.error(s, s.keyword.span, "include must begin a line; give it a line of its own");
        }
        let near = known
            .iter()
            .map(|name| (strsim::damerau_levenshtein(word, name), name))
            .filter(|(distance, name)| *distance <= 2.min(name.len() / 3) && word.len() <= 64)
            .min();
        let message = match near {
            Some((_, name)) => format!("unknown keyword {word} in {block}; did you mean {name}?"),
            None if known.len() > 24 => {
                format!("unknown keyword {word} in {block}; remove it, or put # before it")
            }
            None => format!("unknown keyword {word} in {block}; it takes {}", known.join(", ")),
        };
        self.error(s, s.keyword.span, &message);
    }
}

pub fn joined_text(s: &Statement) -> String {
    s.args.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

pub fn number<T: TryFrom<u64>>(text: &str, range: RangeInclusive<u64>) -> Result<T, String> {
    let parsed = text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    parsed.filter(|n| range.contains(n)).and_then(|n| T::try_from(n).ok()).ok_or_else(|| {
        format!("{text:?} is not a number from {0} to {1}; write {0} to {1}", range.start(), range.end())
    })
}

pub fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no IP address; write one, names are not resolved"))
}

/// Whole seconds, at least 1.
pub fn whole_seconds(text: &str) -> Result<Duration, String> {
    number(text, 1..=MAX_TIME.as_secs()).map(Duration::from_secs)
}
