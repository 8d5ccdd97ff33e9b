//! Cuts a command line into options the way popt does, which `getopt` and clap do not.
//!
//! Long names are never shortened (`--add-serv` is unknown); `--opt=value`, `-w7`, `-w=7` and clusters such as
//! `-Lnt ADDR` work; an option with a value takes the next word even if it begins with `-`, an optional value
//! only if it does not; words that belong to no option are kept for the end; `--` ends the options. An error
//! names the word that was read last.

use crate::options::{self, Argument, Definition};

/// An option, with its value where it has one.
#[derive(Debug)]
pub struct Found<'a> {
    pub definition: &'static Definition,
    pub value: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Unknown,
    MissingArgument,
    UnwantedArgument,
}

pub struct Words<'a> {
    words: &'a [String],
    next: usize,
    /// What is left of a word of short options.
    cluster: &'a str,
    loose: Vec<&'a str>,
    options_ended: bool,
}

impl<'a> Words<'a> {
    pub fn new(words: &'a [String]) -> Words<'a> {
        Words { words, next: 0, cluster: "", loose: Vec::new(), options_ended: false }
    }

    pub fn next_option(&mut self) -> Option<Result<Found<'a>, Fault>> {
        if self.cluster.is_empty() {
            match self.next_dashed_word()?.strip_prefix("--") {
                Some(long) => return Some(self.long(long)),
                None => self.cluster = &self.words[self.next - 1][1..],
            }
        }
        Some(self.short())
    }

    /// The word read last: what error messages call "the option".
    pub fn last_word(&self) -> &'a str {
        self.next.checked_sub(1).map_or("", |i| &self.words[i])
    }

    /// The words that belong to no option; complete only after the last option.
    pub fn loose(&self) -> &[&'a str] {
        &self.loose
    }

    fn next_dashed_word(&mut self) -> Option<&'a str> {
        while let Some(word) = self.words.get(self.next) {
            self.next += 1;
            if self.options_ended || !word.starts_with('-') || word == "-" {
                self.loose.push(word);
            } else if word == "--" {
                self.options_ended = true;
            } else {
                return Some(word);
            }
        }
        None
    }

    fn long(&mut self, text: &'a str) -> Result<Found<'a>, Fault> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let definition = options::by_long(name).ok_or(Fault::Unknown)?;
        self.with_value(definition, value)
    }

    fn short(&mut self) -> Result<Found<'a>, Fault> {
        let mut rest = self.cluster.chars();
        let letter = rest.next().ok_or(Fault::Unknown)?;
        let rest = rest.as_str();
        let definition = options::by_short(letter).ok_or(Fault::Unknown)?;
        if takes_value(definition) {
            self.cluster = "";
            let glued = (!rest.is_empty()).then(|| rest.strip_prefix('=').unwrap_or(rest));
            return self.with_value(definition, glued);
        }
        self.cluster = rest;
        if rest.starts_with('=') {
            return Err(Fault::UnwantedArgument);
        }
        Ok(Found { definition, value: None })
    }

    /// `glued` is a value in the same word; otherwise the next word may be it.
    fn with_value(
        &mut self,
        definition: &'static Definition,
        glued: Option<&'a str>,
    ) -> Result<Found<'a>, Fault> {
        let next = self.words.get(self.next);
        let value = match definition.argument {
            Argument::None | Argument::Loose(_) if glued.is_some() => {
                return Err(Fault::UnwantedArgument);
            }
            Argument::None | Argument::Loose(_) => None,
            Argument::Required(_) | Argument::Optional(_) if glued.is_some() => glued,
            Argument::Required(_) => {
                let word = next.ok_or(Fault::MissingArgument)?;
                self.next += 1;
                Some(word.as_str())
            }
            Argument::Optional(_) => next.filter(|w| !w.starts_with('-')).map(|word| {
                self.next += 1;
                word.as_str()
            }),
        };
        Ok(Found { definition, value })
    }
}

fn takes_value(definition: &Definition) -> bool {
    matches!(definition.argument, Argument::Required(_) | Argument::Optional(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut scan = Words::new(&words);
        let mut seen = Vec::new();
        while let Some(found) = scan.next_option() {
            match found {
                Ok(Found { definition, value }) => {
                    seen.push(format!("{}={}", definition.long, value.unwrap_or("-")));
                }
                Err(fault) => {
                    seen.push(format!("{}: {fault:?}", scan.last_word()));
                    break;
                }
            }
        }
        seen.extend(scan.loose().iter().map(|w| format!("loose {w}")));
        seen.join(", ")
    }

    #[test]
    fn cuts_like_popt() {
        for (line, expected) in [
            ("-A -t X", "add-service=-, tcp-service=X"),
            ("-At X -swlc", "add-service=-, tcp-service=X, scheduler=wlc"),
            ("-aw=7", "add-server=-, weight=7"),
            ("-a -w -1", "add-server=-, weight=-1"),
            ("-A -p -5", "add-service=-, persistent=-, -5: Unknown"),
            ("-A -p 5", "add-service=-, persistent=5"),
            ("-A -p", "add-service=-, persistent=-"),
            ("-A -t", "add-service=-, -t: MissingArgument"),
            ("-At", "add-service=-, -At: MissingArgument"),
            ("--add-serv", "--add-serv: Unknown"),
            ("--list=x", "--list=x: UnwantedArgument"),
            ("-L=x", "-L=x: UnwantedArgument"),
            ("--weight=", "weight="),
            ("-Lnq", "list=-, numeric=-, -Lnq: Unknown"),
            ("--set 1 2 -n 3", "set=-, numeric=-, loose 1, loose 2, loose 3"),
            ("-L -- -n -", "list=-, loose -n, loose -"),
        ] {
            assert_eq!(cut(line), expected, "{line}");
        }
    }
}
