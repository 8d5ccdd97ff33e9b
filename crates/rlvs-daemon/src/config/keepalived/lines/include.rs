//! `include` with its variants and patterns.

use super::{Gathering, Line, MAX_FILES, MAX_INCLUDE_DEPTH};
use crate::config::report::Level;
use std::io;
use std::path::{Path, PathBuf};

/// Which included files must be there; `include_check`.
#[derive(Clone, Copy, Default)]
pub(super) struct Strictness {
    readable: bool,
    matching: bool,
    wildcard: bool,
    brace: bool,
}

impl Gathering<'_> {
    pub(super) fn include(
        &mut self,
        pattern: &Line,
        from: &Path,
        depth: usize,
        checks: Strictness,
        saved: Strictness,
    ) {
        let name = pattern.text.trim_matches(['"', '\'']);
        if name.is_empty() {
            self.report
                .add(pattern.whole(Level::Error, "include without a file").help("include conf.d/*.conf"));
            return;
        }
        if depth + 1 >= MAX_INCLUDE_DEPTH {
            let problem = pattern
                .whole(Level::Error, format!("files include each other more than {MAX_INCLUDE_DEPTH} deep"));
            self.report.add(problem.help("does a file include itself?"));
            self.full = true;
            return;
        }
        let directory = from.parent().unwrap_or(Path::new(""));
        for alternative in braces(name) {
            let wild = alternative.contains(['*', '?', '[']);
            let braced = name.contains('{');
            let full = directory.join(&alternative);
            let paths = if wild {
                match self.files.matching(&full.to_string_lossy()) {
                    Ok(paths) => paths,
                    Err(problem) => {
                        self.report.add(
                            pattern.whole(Level::Error, format!("{alternative:?} is no pattern: {problem}")),
                        );
                        continue;
                    }
                }
            } else {
                vec![full]
            };
            if paths.is_empty() {
                self.not_there(pattern, &alternative, checks.wildcard);
            }
            for path in paths {
                let missing_is_error =
                    checks.readable && wild || checks.matching && !braced || checks.brace && braced;
                self.include_one(pattern, path, depth, saved, missing_is_error || checks.readable);
            }
        }
    }

    fn include_one(
        &mut self,
        at: &Line,
        path: PathBuf,
        depth: usize,
        strictness: Strictness,
        is_error: bool,
    ) {
        if self.report.files() >= MAX_FILES {
            if !self.full {
                self.report.add(at.whole(Level::Error, format!("more than {MAX_FILES} files are included")));
            }
            self.full = true;
            return;
        }
        match self.files.read(&path) {
            Ok(text) => self.file(&path, text, depth + 1, strictness),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.not_there(at, &path.to_string_lossy(), is_error);
            }
            // It is there, so what it says is meant; keepalived would go on without.
            Err(error) => self.report.add(at.whole(Level::Error, format!("{}: {error}", path.display()))),
        }
    }

    fn not_there(&mut self, at: &Line, name: &str, is_error: bool) {
        let level = if is_error { Level::Error } else { Level::Warning };
        let problem = at.whole(level, format!("no file {name}"));
        self.report.add(problem.help(if is_error {
            "include (without a letter after it) allows files that are not there"
        } else {
            "nothing is included here; names are relative to the including file"
        }));
    }
}

pub(super) fn include_variant(word: &str, current: Strictness) -> Option<Strictness> {
    let readable = Strictness { readable: true, ..current };
    match word {
        "include" => Some(current),
        "includer" => Some(readable),
        "includem" => Some(Strictness { matching: true, ..readable }),
        "includew" => Some(Strictness { wildcard: true, ..readable }),
        "includeb" => Some(Strictness { brace: true, ..readable }),
        "includea" => Some(Strictness { readable: true, matching: true, wildcard: true, brace: true }),
        _ => None,
    }
}

pub(super) fn adjusted<'a>(current: Strictness, options: impl Iterator<Item = &'a str>) -> Strictness {
    let mut result = Strictness::default();
    let mut any = false;
    for option in options {
        let (on, name) = match (option.strip_prefix('-'), option.strip_prefix('+')) {
            (Some(name), _) => (false, name),
            (_, Some(name)) => (true, name),
            _ => (true, option),
        };
        if !any && name != option {
            result = current;
        }
        any = true;
        match name {
            "readable" => result.readable = on,
            "match" => result.matching = on,
            "wildcard_match" => result.wildcard = on,
            "brace_match" => result.brace = on,
            _ => {} // the block global_defs names it
        }
    }
    if any { result } else { Strictness { readable: true, matching: true, wildcard: true, brace: true } }
}

/// `a{b,c}d` is `abd` and `acd`; braces may be within braces. At most 1000 come of it.
fn braces(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(text) = open.pop() {
        match first_braces(&text) {
            Some((from, to, parts)) if done.len() + open.len() < 1000 => {
                for part in parts.iter().rev() {
                    open.push(format!("{}{part}{}", &text[..from], &text[to..]));
                }
            }
            _ => done.push(text),
        }
    }
    done
}

/// The bytes of the first outer pair of braces, and the alternatives in it.
fn first_braces(text: &str) -> Option<(usize, usize, Vec<&str>)> {
    let open = text.find('{')?;
    let (mut depth, mut from, mut parts) = (0, open + 1, Vec::new());
    for (at, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b',' if depth == 1 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    parts.push(&text[from..at]);
                    return Some((open, at + 1, parts));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives() {
        assert_eq!(braces("x/{a,b}.conf"), ["x/a.conf", "x/b.conf"]);
        assert_eq!(braces("{foo/{,cat,dog},bar}"), ["foo/", "foo/cat", "foo/dog", "bar"]);
        assert_eq!(braces("a{b"), ["a{b"]);
    }
}
