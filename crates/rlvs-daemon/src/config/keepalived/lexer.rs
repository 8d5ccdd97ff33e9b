//! A line into words and braces.

use super::lines::Line;
use crate::config::report::{Level, Report};
use std::ops::Range;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// Without its quotes and escapes.
    Word(String),
    Open,
    Close,
}

/// The tokens of a line with the bytes they take in it. Quoted parts belong to the word they touch.
pub fn tokens(line: &Line, report: &mut Report) -> Vec<(Token, Range<usize>)> {
    let mut tokens = Vec::new();
    let mut rest = Scanner { text: &line.text, at: 0 };
    while let Some(c) = rest.peek() {
        let start = rest.at;
        match c {
            '{' | '}' => {
                rest.next();
                tokens.push((if c == '{' { Token::Open } else { Token::Close }, start..rest.at));
            }
            c if c.is_whitespace() => {
                rest.next();
            }
            _ => match word(&mut rest) {
                Ok(word) => tokens.push((Token::Word(word), start..rest.at)),
                Err((message, help)) => {
                    report.add(line.blame(Level::Error, start, rest.at, message).help(help));
                }
            },
        }
    }
    tokens
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn next_if(&mut self, accept: impl Fn(char) -> bool) -> Option<char> {
        self.peek().filter(|c| accept(*c)).inspect(|c| self.at += c.len_utf8())
    }
}

type Problem = (&'static str, &'static str);

fn word(rest: &mut Scanner) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    let mut quote = None;
    while let Some(c) = rest.peek() {
        if quote.is_none() && (c.is_whitespace() || c == '{' || c == '}') {
            break;
        }
        rest.next();
        match c {
            '\\' => escape(rest, &mut bytes),
            '"' | '\'' if quote.is_none() => quote = Some(c),
            c if quote == Some(c) => quote = None,
            // An unknown definition stays, with its braces.
            '$' if quote.is_none() && rest.peek() == Some('{') => {
                bytes.push(b'$');
                while let Some(c) = rest.next() {
                    push(&mut bytes, c);
                    if c == '}' {
                        break;
                    }
                }
            }
            c => push(&mut bytes, c),
        }
    }
    match quote {
        Some('"') => {
            return Err((
                "this quote is never closed",
                "write \" at the end of the string, on the same line",
            ));
        }
        Some(_) => {
            let help = "write ' at the end of the string; # and ! begin a comment even in single quotes, use double ones";
            return Err(("this quote is never closed", help));
        }
        None => {}
    }
    if bytes.contains(&0) {
        return Err(("\\0 in a word", "no name, path or string can contain a zero byte"));
    }
    String::from_utf8(bytes).map_err(|_| ("these escapes make no UTF-8", "write the character itself"))
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// What comes after a backslash, as in a shell.
fn escape(rest: &mut Scanner, bytes: &mut Vec<u8>) {
    let Some(c) = rest.next() else { return };
    let simple = match c {
        'a' => 7,
        'b' => 8,
        'E' => 27,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '0'..='7' => {
            let mut value = c.to_digit(8).unwrap_or(0);
            for _ in 0..2 {
                value =
                    rest.next_if(|c| c.is_digit(8)).map_or(value, |c| value * 8 + c.to_digit(8).unwrap_or(0));
            }
            value as u8 // \400 and more wrap, there is nothing better
        }
        'x' => {
            let mut value = 0u8;
            while let Some(c) = rest.next_if(|c| c.is_ascii_hexdigit()) {
                value = value << 4 | c.to_digit(16).unwrap_or(0) as u8;
            }
            value
        }
        'c' => match rest.next() {
            Some(c) if c.is_ascii() => c as u8 & 0x1f,
            other => return other.into_iter().for_each(|c| push(bytes, c)),
        },
        c => return push(bytes, c),
    };
    // An octal digit pair may be wrong by itself; the eight bits are what counts.
    bytes.push(simple);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keepalived::lines::Origin;
    use crate::config::report::Span;
    use std::path::Path;

    fn words(text: &str) -> Result<Vec<String>, String> {
        let mut report = Report::default();
        let file = report.add_file(Path::new("f"), text.to_owned());
        let span = Span { file, start: 0, end: text.len() };
        let tokens =
            tokens(&Line { text: text.to_owned(), origin: Origin { span, exact: true } }, &mut report);
        match report.diagnostics().first() {
            Some(problem) => Err(problem.message.clone()),
            None => Ok(tokens
                .into_iter()
                .map(|(token, _)| match token {
                    Token::Word(word) => word,
                    Token::Open => "{".to_owned(),
                    Token::Close => "}".to_owned(),
                })
                .collect()),
        }
    }

    #[test]
    fn quotes_join_and_split() {
        assert_eq!(words(r#"abcd" efg h jkl "mnop"#).unwrap(), ["abcd efg h jkl mnop"]);
        assert_eq!(words(r#"abcd "efg h jkl" mnop"#).unwrap(), ["abcd", "efg h jkl", "mnop"]);
        assert_eq!(words(r#"a "b 'c d'" '' x"#).unwrap(), ["a", "b 'c d'", "", "x"]);
    }

    #[test]
    fn braces_are_words_of_their_own() {
        assert_eq!(words("url{path /}").unwrap(), ["url", "{", "path", "/", "}"]);
        assert_eq!(words("x ${NOT_DEFINED}y \"{\"").unwrap(), ["x", "${NOT_DEFINED}y", "{"]);
    }

    #[test]
    fn escapes() {
        assert_eq!(
            words(r"a\ b \x41 \101 \n\t \\ \q \{").unwrap(),
            ["a b", "A", "A", "\n\t", "\\", "q", "{"]
        );
        assert_eq!(words(r#""\"" \cA"#).unwrap(), ["\"", "\u{1}"]);
        assert_eq!(words(r"\303\244").unwrap(), ["ä"]);
        assert_eq!(words(r"\303").unwrap_err(), "these escapes make no UTF-8");
        assert_eq!(words(r"\0").unwrap_err(), "\\0 in a word");
        assert_eq!(words("a \"b").unwrap_err(), "this quote is never closed");
        assert_eq!(words("a\\").unwrap(), ["a"]);
    }
}
