//! Words and braces into statements: a keyword, its arguments, and a block if it has one.
//!
//! A statement ends with its line; its block may begin on the same line or on the next one.

use super::lexer::{self, Token};
use super::lines::Line;
use crate::config::report::{Diagnostic, Level, Report, Span};

/// The most words and braces.
pub const MAX_TOKENS: usize = 1_000_000;
const MAX_DEPTH: usize = 12;

#[derive(Clone, Debug)]
pub struct Word {
    pub text: String,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Statement {
    pub keyword: Word,
    pub args: Vec<Word>,
    pub block: Option<Vec<Statement>>,
    /// The line as it was read, if definitions changed it.
    pub read_as: Option<String>,
}

impl Statement {
    /// From the keyword to the last argument.
    pub fn span(&self) -> Span {
        let last = self.args.last().unwrap_or(&self.keyword);
        let first = self.keyword.span;
        if last.span.file == first.file && last.span.end >= first.end {
            Span { end: last.span.end, ..first }
        } else {
            first
        }
    }

    pub fn blame(&self, level: Level, span: Span, message: impl Into<String>) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(level, message);
        diagnostic.span = Some(span);
        diagnostic.read_as = self.read_as.clone();
        diagnostic
    }
}

pub fn build(lines: &[Line], report: &mut Report) -> Vec<Statement> {
    let mut builder = Builder { report, open: Vec::new(), top: Vec::new(), pending: None };
    let mut count = 0;
    for line in lines {
        let tokens = lexer::tokens(line, builder.report);
        count += tokens.len();
        if count > MAX_TOKENS {
            let problem =
                line.blame(Level::Error, 0, line.text.len(), format!("more than {MAX_TOKENS} words"));
            builder.report.add(problem.help("address ranges and firewall marks need fewer"));
            break;
        }
        builder.line(line, tokens);
    }
    builder.finish()
}

struct Builder<'a> {
    report: &'a mut Report,
    /// Blocks that are open, each with the statement it belongs to.
    open: Vec<(Statement, Vec<Statement>)>,
    top: Vec<Statement>,
    /// A statement whose block may still come.
    pending: Option<Statement>,
}

impl Builder<'_> {
    fn line(&mut self, line: &Line, tokens: Vec<(Token, std::ops::Range<usize>)>) {
        // A word on a new line is a new statement; a brace may belong to the one before.
        let mut new = true;
        for (token, range) in tokens {
            let span = line.span(range.start, range.end);
            match token {
                Token::Word(text) => {
                    let word = Word { text, span };
                    match &mut self.pending {
                        Some(statement) if !new => statement.args.push(word),
                        _ => {
                            self.end_statement();
                            let read_as = line.read_as();
                            self.pending =
                                Some(Statement { keyword: word, args: Vec::new(), block: None, read_as });
                        }
                    }
                    new = false;
                }
                Token::Open => {
                    match self.pending.take() {
                        Some(statement) => self.open.push((statement, Vec::new())),
                        None => {
                            let problem = line.blame(
                                Level::Error,
                                range.start,
                                range.end,
                                "this { belongs to no keyword",
                            );
                            self.report.add(problem.help("write the block's name before it"));
                            let keyword = Word { text: String::new(), span };
                            let statement =
                                Statement { keyword, args: Vec::new(), block: None, read_as: None };
                            self.open.push((statement, Vec::new()));
                        }
                    }
                    new = true;
                }
                Token::Close => {
                    self.end_statement();
                    if !self.close() {
                        let problem =
                            line.blame(Level::Error, range.start, range.end, "this } closes nothing");
                        self.report.add(problem.help("remove it, or look for a { that is missing above"));
                    }
                    new = true;
                }
            }
        }
    }

    fn end_statement(&mut self) {
        if let Some(statement) = self.pending.take() {
            self.siblings().push(statement);
        }
    }

    fn close(&mut self) -> bool {
        let Some((mut statement, block)) = self.open.pop() else { return false };
        if self.open.len() >= MAX_DEPTH {
            let message = format!("blocks are more than {MAX_DEPTH} deep");
            let problem = statement.blame(Level::Error, statement.keyword.span, message);
            self.report
                .add(problem.help("no block of keepalived.conf is so deep; look for a } that is missing"));
        } else if !statement.keyword.text.is_empty() {
            statement.block = Some(block);
            self.siblings().push(statement);
        }
        true
    }

    fn siblings(&mut self) -> &mut Vec<Statement> {
        match self.open.last_mut() {
            Some((_, block)) => block,
            None => &mut self.top,
        }
    }

    fn finish(mut self) -> Vec<Statement> {
        self.end_statement();
        while let Some((statement, _)) = self.open.last() {
            if !statement.keyword.text.is_empty() {
                let message = format!("the block {} is never closed", statement.keyword.text);
                let problem = statement.blame(Level::Error, statement.span(), message);
                self.report.add(problem.help("write } on a line of its own where it ends"));
            }
            self.close();
        }
        self.top
    }
}
