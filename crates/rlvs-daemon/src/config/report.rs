//! What was found in a file, all of it at once, each finding with its line and the way out.

use annotate_snippets::{
    AnnotationKind, Group, Level as Heading, Renderer, Snippet, normalize_untrusted_str,
};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// The most findings that are kept; more are counted.
pub const MAX_FINDINGS: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The file cannot be used.
    Error,
    /// It can, but not all of it means what it says.
    Warning,
}

/// A file of [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(usize);

/// Bytes `start..end` of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub file: FileId,
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub level: Level,
    pub message: String,
    /// Where; not known for what concerns no place.
    pub span: Option<Span>,
    /// The way out.
    pub help: Option<String>,
    /// The line as it was read, when definitions made another one of what the file shows.
    pub read_as: Option<String>,
}

impl Diagnostic {
    pub fn new(level: Level, message: impl Into<String>) -> Diagnostic {
        Diagnostic { level, message: message.into(), span: None, help: None, read_as: None }
    }

    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
}

/// A finding for programs; line and column count from 1, the column in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding<'a> {
    pub level: Level,
    pub file: Option<&'a str>,
    pub line: Option<usize>,
    pub column: Option<usize>,
    pub message: &'a str,
    pub help: Option<&'a str>,
}

/// Findings, and the texts they point into.
#[derive(Clone, Debug, Default)]
pub struct Report {
    files: Vec<(String, String)>,
    diagnostics: Vec<Diagnostic>,
    left_out: usize,
    errors: usize,
}

impl Report {
    pub fn add_file(&mut self, name: &Path, text: String) -> FileId {
        self.files.push((name.display().to_string(), text));
        FileId(self.files.len() - 1)
    }

    pub fn files(&self) -> usize {
        self.files.len()
    }

    pub fn text(&self, file: FileId) -> &str {
        &self.files[file.0].1
    }

    pub fn name(&self, file: FileId) -> &str {
        &self.files[file.0].0
    }

    pub fn add(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.level == Level::Error);
        if self.diagnostics.len() < MAX_FINDINGS {
            // A definition that is used a hundred times need not be scolded a hundred times.
            if diagnostic.span.is_none() || !self.diagnostics.contains(&diagnostic) {
                self.diagnostics.push(diagnostic);
            }
        } else {
            self.left_out += 1;
        }
    }

    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    pub fn count(&self, level: Level) -> usize {
        self.diagnostics.iter().filter(|d| d.level == level).count()
    }

    /// Line and column of a place, both from 1.
    pub fn position(&self, span: Span) -> (usize, usize) {
        let before = &self.text(span.file)[..span.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    pub fn findings(&self) -> impl Iterator<Item = Finding<'_>> {
        self.diagnostics.iter().map(|d| {
            let position = d.span.map(|span| self.position(span));
            Finding {
                level: d.level,
                file: d.span.map(|span| self.name(span.file)),
                line: position.map(|(line, _)| line),
                column: position.map(|(_, column)| column),
                message: &d.message,
                help: d.help.as_deref(),
            }
        })
    }

    /// For a terminal, with colours or without.
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text += &self.render_one(diagnostic, &renderer);
            text += "\n\n";
        }
        if self.left_out > 0 {
            text += &format!("… and {} more\n\n", self.left_out);
        }
        text
    }

    fn render_one(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let heading = match diagnostic.level {
            Level::Error => Heading::ERROR,
            Level::Warning => Heading::WARNING,
        };
        let mut group = Group::with_title(heading.primary_title(diagnostic.message.as_str()));
        if let Some(span) = diagnostic.span {
            let text = self.text(span.file);
            // The first line of the place alone: a file may be large, and the start says enough.
            let from = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
            let to = text[span.start..].find('\n').map_or(text.len(), |at| span.start + at);
            let line = text[from..to].trim_end_matches('\r');
            let start = (span.start - from).min(line.len());
            let end = (span.end.min(to) - from).min(line.len()).max(start);
            let snippet = Snippet::source(line)
                .line_start(self.position(span).0)
                .path(self.name(span.file))
                .annotation(AnnotationKind::Primary.span(start..end));
            group = group.element(snippet);
        }
        if let Some(line) = &diagnostic.read_as {
            group = group.element(
                Heading::NOTE.message(format!("this line was read as: {}", normalize_untrusted_str(line))),
            );
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Heading::HELP.message(normalize_untrusted_str(help)));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}
