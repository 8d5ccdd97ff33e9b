//! The lines that count: of all files, for this machine, with definitions replaced.
//!
//! The order in which things happen to a line decides what can be written, so it is keepalived's: comments go first,
//! `include` is seen next, then `@NAME`, `$NAME=…`, `~SEQ`, and at last definitions are replaced, after which the line is
//! looked at again.

use super::definitions::{self, Definitions, Loop};
use crate::config::report::{Diagnostic, FileId, Level, Report, Span};
use crate::config::source::Files;
use std::io;
use std::path::Path;
use std::sync::Arc;

mod include;
use include::{Strictness, adjusted, include_variant};

/// The most lines, of all files together and after definitions and `~SEQ`.
pub const MAX_LINES: usize = 200_000;
/// The most bytes of all lines, likewise.
pub const MAX_TEXT: usize = 32 << 20;
/// The most bytes of one line.
pub const MAX_LINE: usize = 64 << 10;
/// How deep files include others.
pub const MAX_INCLUDE_DEPTH: usize = 16;
/// How many files there are at most.
pub const MAX_FILES: usize = 1_000;
/// How deep definitions and `~SEQ` are within each other.
const MAX_NESTING: usize = 24;

/// A line without comments and definitions.
#[derive(Clone, Debug)]
pub struct Line {
    pub text: String,
    pub origin: Origin,
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The whole line in its file.
    pub span: Span,
    /// The text is what stands at the beginning of the span, so that columns can be told.
    pub exact: bool,
}

impl Line {
    /// Reports something about the bytes `start..end` of this line.
    pub fn blame(&self, level: Level, start: usize, end: usize, message: impl Into<String>) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(level, message);
        diagnostic.span = Some(self.span(start, end));
        diagnostic.read_as = self.read_as();
        diagnostic
    }

    pub fn span(&self, start: usize, end: usize) -> Span {
        let Span { file, start: from, .. } = self.origin.span;
        if self.origin.exact { Span { file, start: from + start, end: from + end } } else { self.origin.span }
    }

    pub fn read_as(&self) -> Option<String> {
        (!self.origin.exact).then(|| self.text.chars().take(200).collect())
    }

    /// From byte `at` on, without leading spaces.
    fn rest(&self, at: usize) -> Line {
        let rest = &self.text[at..];
        let text = rest.trim_start();
        let skipped = self.text.len() - text.len();
        let mut origin = self.origin;
        if origin.exact {
            origin.span.start += skipped;
        }
        Line { text: text.to_owned(), origin }
    }

    fn whole(&self, level: Level, message: impl Into<String>) -> Diagnostic {
        self.blame(level, 0, self.text.len(), message)
    }
}

pub fn gather(path: &Path, config_id: &str, files: &dyn Files, report: &mut Report) -> io::Result<Vec<Line>> {
    let text = files.read(path)?;
    let mut gathering = Gathering {
        files,
        report,
        config_id,
        definitions: Definitions::default(),
        lines: Vec::new(),
        bytes: 0,
        full: false,
    };
    gathering.file(path, text, 0, Strictness::default());
    Ok(gathering.lines)
}

struct Gathering<'a> {
    files: &'a dyn Files,
    report: &'a mut Report,
    config_id: &'a str,
    definitions: Definitions,
    lines: Vec<Line>,
    bytes: usize,
    /// A bound was met; said once.
    full: bool,
}

impl Gathering<'_> {
    fn file(&mut self, path: &Path, text: String, depth: usize, mut strictness: Strictness) {
        let file = self.report.add_file(path, text);
        self.definitions.set_directory(path.parent());
        let lines = physical_lines(self.report, file);
        let mut lines = lines.into_iter();
        while let Some(line) = lines.next() {
            if self.full {
                return;
            }
            if line.text.len() > MAX_LINE {
                self.report.add(line.blame(
                    Level::Error,
                    0,
                    0,
                    format!("this line has more than {MAX_LINE} bytes"),
                ));
                continue;
            }
            let word = line.text.split_whitespace().next().unwrap_or_default();
            if let Some(checks) = include_variant(word, strictness) {
                let pattern = line.rest(word.len());
                self.include(&pattern, path, depth, checks, strictness);
                self.definitions.set_directory(path.parent());
                continue;
            }
            if word == "include_check" {
                strictness = adjusted(strictness, line.text[word.len()..].split_whitespace());
            }
            self.line(line, &mut lines, 0);
        }
    }

    /// One line of a file or of a definition. `more` gives the lines that continue a definition.
    fn line(&mut self, mut line: Line, more: &mut dyn Iterator<Item = Line>, depth: usize) {
        if self.full || line.text.is_empty() {
            return;
        }
        if depth > MAX_NESTING {
            let problem = line.whole(Level::Error, format!("definitions are more than {MAX_NESTING} deep"));
            self.report.add(problem.help("does one contain itself?"));
            return;
        }
        while let Some(condition) = line.text.strip_prefix('@') {
            let (negative, name) = match condition.strip_prefix('^') {
                Some(name) => (true, name),
                None => (false, condition),
            };
            let name = name.split_whitespace().next().unwrap_or_default();
            if (name == self.config_id) == negative {
                // A definition's further lines go with its first.
                if definitions::definition(&line.text[1 + usize::from(negative) + name.len()..]).is_some() {
                    continued(&line.text, more);
                }
                return;
            }
            line = line.rest(1 + usize::from(negative) + name.len());
        }
        if let Some((name, value_at)) = definitions::definition(&line.text) {
            let name = name.to_owned();
            return self.define(name, line.rest(value_at), more);
        }
        if line.text.starts_with("~SEQ") || line.text.starts_with("~LST") {
            return self.repeat(&line, more, depth);
        }
        self.replaced(line, depth);
    }

    /// `$NAME=VALUE`, or `$NAME= \` and lines up to one that does not end with a backslash.
    fn define(&mut self, name: String, value: Line, more: &mut dyn Iterator<Item = Line>) {
        if name.starts_with('_') {
            let problem =
                value.whole(Level::Warning, format!("${name}: names that begin with _ are keepalived's own"));
            self.report.add(problem.help("choose another name"));
        }
        let mut body = continued(&value.text, more);
        if body.is_empty() {
            body.push(value);
        } else if !value.text.trim_end_matches(['\\', ' ', '\t']).is_empty() {
            let problem = value
                .whole(Level::Error, format!("${name} has lines after this one, so nothing may stand here"));
            self.report.add(problem.help("begin the definition's text on the next line"));
        }
        let body = body.into_iter().filter(|line| !line.text.is_empty()).collect();
        if let Err(problem) = self.definitions.set(&name, body) {
            self.report.add(Diagnostic::new(Level::Error, problem));
            self.full = true;
        }
    }

    /// `~SEQ(…) REST` and `~LST(…) REST`: the rest for each value.
    fn repeat(&mut self, line: &Line, more: &mut dyn Iterator<Item = Line>, depth: usize) {
        let (text, origin) = match self.definitions.replace_in_head(&line.text) {
            Some(text) => (text, Origin { exact: false, ..line.origin }),
            None => (line.text.clone(), line.origin),
        };
        let line = Line { text, origin };
        let Loop { names, values, rest_at } = match definitions::parse_loop(&line.text) {
            Ok(found) => found,
            Err(problem) => {
                let problem = line.whole(Level::Error, problem);
                self.report
                    .add(problem.help("write ~SEQ(NAME, FIRST, STEP, LAST) or ~LST(NAME, VALUE, VALUE)"));
                return;
            }
        };
        let rest = line.rest(rest_at);
        for values in values {
            if self.full {
                return;
            }
            for (name, value) in names.iter().zip(values) {
                let value = Line { text: value, origin: Origin { exact: false, ..line.origin } };
                if let Err(problem) = self.definitions.set(name, Arc::from([value])) {
                    self.report.add(line.whole(Level::Error, problem));
                    return;
                }
            }
            self.line(rest.clone(), more, depth + 1);
        }
    }

    /// Replaces the first definition that the line has, and looks at what came of it.
    fn replaced(&mut self, line: Line, depth: usize) {
        match self.definitions.replace(&line, self.config_id) {
            Ok(None) => self.push(line),
            Ok(Some(lines)) => {
                let mut lines = lines.into_iter();
                while let Some(line) = lines.next() {
                    if include_variant(
                        line.text.split_whitespace().next().unwrap_or_default(),
                        Strictness::default(),
                    )
                    .is_some()
                    {
                        let problem =
                            line.whole(Level::Error, "include is looked for before definitions are replaced");
                        self.report.add(problem.help("write the include line out"));
                        continue;
                    }
                    self.line(line, &mut lines, depth + 1);
                }
            }
            Err(problem) => self.report.add(line.whole(Level::Error, problem)),
        }
    }

    fn push(&mut self, line: Line) {
        self.bytes += line.text.len();
        if self.lines.len() >= MAX_LINES || self.bytes > MAX_TEXT {
            let problem = format!(
                "more than {MAX_LINES} lines or {MAX_TEXT} bytes, with definitions and ~SEQ replaced"
            );
            self.report.add(
                line.whole(Level::Error, problem).help("address ranges and firewall marks need fewer lines"),
            );
            self.full = true;
            return;
        }
        self.lines.push(line);
    }
}

/// The lines of a file, trimmed, without comments.
fn physical_lines(report: &Report, file: FileId) -> Vec<Line> {
    let mut start = 0;
    let mut lines = Vec::new();
    for raw in report.text(file).split('\n') {
        let text = without_comment(raw);
        let lead = text.len() - text.trim_start().len();
        let text = text.trim();
        let from = start + lead;
        let span = Span { file, start: from, end: from + text.len() };
        lines.push(Line { text: text.to_owned(), origin: Origin { span, exact: true } });
        start += raw.len() + 1;
    }
    lines
}

/// Up to the first `#` or `!` that is neither escaped nor in double quotes. Single quotes do not protect it: keepalived
/// looks for comments before it knows them.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '#' | '!' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

/// While `first` and then each line ends with a backslash: the lines after `first`, without their backslashes. Empty
/// lines in between do not count.
fn continued(first: &str, more: &mut dyn Iterator<Item = Line>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut goes_on = first.ends_with('\\');
    while goes_on {
        let Some(mut line) = more.next() else { break };
        if line.text.is_empty() {
            continue;
        }
        goes_on = line.text.ends_with('\\');
        if goes_on {
            line.text.pop();
            line.text.truncate(line.text.trim_end().len());
            if line.origin.exact {
                line.origin.span.end = line.origin.span.start + line.text.len();
            }
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments() {
        for (line, rest) in [
            ("a # b", "a "),
            ("a!b", "a"),
            ("a \"# !\" b # c", "a \"# !\" b "),
            ("a \\# b ! c", "a \\# b "),
            ("a '#'", "a '"),
            ("\"a\\\"#\" #", "\"a\\\"#\" "),
        ] {
            assert_eq!(without_comment(line), rest);
        }
    }
}
