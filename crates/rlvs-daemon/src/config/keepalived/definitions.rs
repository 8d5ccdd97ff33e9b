//! `$NAME=VALUE`, `$NAME` and `${NAME}`, `~SEQ` and `~LST`.
//!
//! A value is kept as it is written and replaced where it is used, so what it contains is what holds there. An unknown
//! name stays as it is: a `$` in a script's arguments means nothing.

use super::lines::{Line, MAX_LINE, Origin};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The most definitions, and the most values of a `~SEQ` or `~LST`.
const MOST: usize = 65_536;
/// The most replacements within one line.
const MAX_REPLACEMENTS: usize = 1_000;

#[derive(Default)]
pub struct Definitions {
    values: BTreeMap<String, Arc<[Line]>>,
    /// Of the file that is being read, for `${_PWD}`.
    directory: String,
}

/// What a `~SEQ` or `~LST` runs through.
pub struct Loop {
    pub names: Vec<String>,
    /// Each as many as there are names.
    pub values: Vec<Vec<String>>,
    /// Where the rest of the line begins.
    pub rest_at: usize,
}

/// Is this `$NAME=…`? Its name, and where the value begins.
pub fn definition(text: &str) -> Option<(&str, usize)> {
    let text_start = text.trim_start();
    let lead = text.len() - text_start.len();
    let rest = text_start.strip_prefix('$')?;
    let (name, value) = rest.split_once('=')?;
    is_name(name).then_some((name, lead + 1 + name.len() + (rest.len() - name.len() - value.len())))
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

impl Definitions {
    pub fn set_directory(&mut self, directory: Option<&Path>) {
        self.directory = directory.map(|d| d.to_string_lossy().into_owned()).unwrap_or_default();
    }

    pub fn set(&mut self, name: &str, body: Arc<[Line]>) -> Result<(), String> {
        if self.values.len() >= MOST && !self.values.contains_key(name) {
            return Err(format!("more than {MOST} definitions"));
        }
        self.values.insert(name.to_owned(), body);
        Ok(())
    }

    /// Replaces in the parentheses of a `~SEQ(…)`; what comes after them is for later.
    pub fn replace_in_head(&self, text: &str) -> Option<String> {
        let end = text.find(')')?;
        let mut head = text[..end].to_owned();
        let mut changed = false;
        for _ in 0..MAX_REPLACEMENTS {
            let Some(found) = find(&head, 0, |name| self.single(name).is_some()) else { break };
            let value = self.single(&found.name)?;
            head.replace_range(found.start..found.end, &value);
            changed = true;
            if head.len() > MAX_LINE {
                return None;
            }
        }
        changed.then(|| head + &text[end..])
    }

    /// `None` if there is nothing to replace; else the lines that the line becomes.
    pub fn replace(&self, line: &Line, config_id: &str) -> Result<Option<Vec<Line>>, String> {
        let mut text = line.text.clone();
        let mut changed = false;
        let mut from = 0;
        for _ in 0..MAX_REPLACEMENTS {
            let known = |name: &str| self.values.contains_key(name) || name.starts_with('_');
            let Some(found) = find(&text, from, known) else {
                let origin = Origin { exact: false, ..line.origin };
                return Ok(changed.then(|| vec![Line { text, origin }]));
            };
            if let Some(body) = self.values.get(&found.name) {
                if body.len() > 1 {
                    return Ok(Some(spliced(line, &text, &found, body, changed)));
                }
                let value = body.first().map_or("", |line| &line.text);
                text.replace_range(found.start..found.end, value);
            } else {
                match self.own(&found.name, config_id)? {
                    Some(value) => {
                        text.replace_range(found.start..found.end, &value);
                        // Not looked at again: ${_HASH} and a directory are no definitions.
                        from = found.start + value.len();
                    }
                    None => from = found.end,
                }
            }
            changed = true;
            if text.len() > MAX_LINE {
                return Err(format!("with definitions replaced, this line has more than {MAX_LINE} bytes"));
            }
        }
        Err(format!(
            "more than {MAX_REPLACEMENTS} definitions are replaced in this line; does one contain itself?"
        ))
    }

    /// A value of one line.
    fn single(&self, name: &str) -> Option<String> {
        match &**self.values.get(name)? {
            [] => Some(String::new()),
            [line] => Some(line.text.clone()),
            _ => None,
        }
    }

    /// The names that are there from the start.
    fn own(&self, name: &str, config_id: &str) -> Result<Option<String>, String> {
        match name.split_whitespace().next().unwrap_or_default() {
            "_PWD" => Ok(Some(self.directory.clone())),
            "_INSTANCE" => Ok(Some(config_id.to_owned())),
            "_HASH" => Ok(Some("#".to_owned())),
            "_BANG" => Ok(Some("!".to_owned())),
            "_RANDOM" => Err("${_RANDOM} would give other rules each time; write a number".to_owned()),
            _ => Ok(None),
        }
    }
}

/// The lines of a definition, with what stands before and after the name.
fn spliced(line: &Line, text: &str, found: &Found, body: &[Line], changed: bool) -> Vec<Line> {
    let mut lines: Vec<Line> = body.to_vec();
    let alone = found.start == 0 && found.end == text.len() && !changed;
    if !alone {
        if let Some(first) = lines.first_mut() {
            first.text.insert_str(0, &text[..found.start]);
            first.origin = Origin { exact: false, ..line.origin };
        }
        if let Some(last) = lines.last_mut().filter(|_| found.end < text.len()) {
            last.text.push_str(&text[found.end..]);
            last.origin = Origin { exact: false, ..line.origin };
        }
    }
    lines
}

struct Found {
    start: usize,
    end: usize,
    name: String,
}

/// The first `$NAME` before a space or the end, or `${NAME}`, whose name is known.
fn find(text: &str, from: usize, known: impl Fn(&str) -> bool) -> Option<Found> {
    let mut at = from;
    while let Some(offset) = text[at..].find('$') {
        let start = at + offset;
        let rest = &text[start + 1..];
        if let Some(inner) = rest.strip_prefix('{') {
            if let Some(end) = inner.find('}')
                && is_name(inner[..end].split_whitespace().next().unwrap_or_default())
                && known(&inner[..end])
            {
                return Some(Found { start, end: start + 2 + end + 1, name: inner[..end].to_owned() });
            }
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            if is_name(&rest[..end]) && known(&rest[..end]) {
                return Some(Found { start, end: start + 1 + end, name: rest[..end].to_owned() });
            }
        }
        at = start + 1;
    }
    None
}

/// `~SEQ(NAME, FIRST, STEP, LAST)`, `~SEQx(…)` in hexadecimal, `~LST(NAME, V, …)`, `~LST({A, B}, {1, 2}, …)`.
pub fn parse_loop(text: &str) -> Result<Loop, String> {
    let open = text.find('(').ok_or("no parenthesis after ~SEQ or ~LST")?;
    let close = text.find(')').ok_or("no closing parenthesis")?;
    if close < open {
        return Err("the parentheses are the wrong way round".to_owned());
    }
    let arguments = &text[open + 1..close];
    let rest_at = close + 1;
    match text[..open].trim_end() {
        "~SEQ" => sequence(arguments, false, rest_at),
        "~SEQx" => sequence(arguments, true, rest_at),
        "~LST" => list(arguments, rest_at),
        other => Err(format!("{other:?} is unknown; there are ~SEQ, ~SEQx and ~LST")),
    }
}

fn sequence(arguments: &str, hexadecimal: bool, rest_at: usize) -> Result<Loop, String> {
    let parts: Vec<&str> = arguments.split(',').map(str::trim).collect();
    let name = parts[0];
    if !is_name(name) {
        return Err(format!("{name:?} is no name"));
    }
    let numbers = parts[1..].iter().map(|text| number(text)).collect::<Result<Vec<i64>, _>>()?;
    let (first, step, last) = match *numbers {
        [last] => (if last < 0 { -1 } else { 1 }, None, last),
        [first, last] => (first, None, last),
        [first, step, last] => (first, Some(step), last),
        _ => return Err(format!("~SEQ takes 1 to 3 numbers, not {}", numbers.len())),
    };
    let step = step.unwrap_or(if last < first { -1 } else { 1 });
    if step == 0 {
        return Err("a step of 0 never ends".to_owned());
    }
    let mut values = Vec::new();
    let mut value = first;
    while if step > 0 { value <= last } else { value >= last } {
        if values.len() >= MOST {
            return Err(format!("more than {MOST} values"));
        }
        values.push(vec![match (hexadecimal, value < 0) {
            (false, _) => value.to_string(),
            (true, false) => format!("{value:x}"),
            (true, true) => format!("-{:x}", -value),
        }]);
        value += step; // of numbers within 32 bits
    }
    Ok(Loop { names: vec![name.to_owned()], values, rest_at })
}

/// Decimal or `0x…`, of 32 bits.
fn number(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let parsed = match digits.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => digits.parse::<u32>().ok(),
    };
    match parsed {
        Some(n) if !digits.contains('+') => Ok(if negative { -i64::from(n) } else { i64::from(n) }),
        _ => Err(format!("{text:?} is no number")),
    }
}

fn list(arguments: &str, rest_at: usize) -> Result<Loop, String> {
    let parts = split_outside_braces(arguments);
    let group = |text: &str| -> Vec<String> {
        match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            Some(inner) => inner.split(',').map(|part| part.trim().to_owned()).collect(),
            None => vec![text.to_owned()],
        }
    };
    let names = group(parts[0]);
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        return Err(format!("{name:?} is no name"));
    }
    let values: Vec<Vec<String>> = parts[1..].iter().map(|part| group(part)).collect();
    if values.is_empty() {
        return Err("~LST without values".to_owned());
    }
    if let Some(wrong) = values.iter().find(|values| values.len() != names.len()) {
        return Err(format!("{} names, but {} values: {}", names.len(), wrong.len(), wrong.join(", ")));
    }
    Ok(Loop { names, values, rest_at })
}

fn split_outside_braces(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0i32, 0, Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        parse_loop(text).unwrap().values.iter().map(|v| v.join("/")).collect()
    }

    #[test]
    fn sequences() {
        assert_eq!(values("~SEQ(N, 0, 3) x"), ["0", "1", "2", "3"]);
        assert_eq!(values("~SEQ(N, 3)"), ["1", "2", "3"]);
        assert_eq!(values("~SEQ(N,-2)"), ["-1", "-2"]);
        assert_eq!(values("~SEQ(N, 3, 1)"), ["3", "2", "1"]);
        assert_eq!(values("~SEQx(N, 144, 16, 192)"), ["90", "a0", "b0", "c0"]);
        assert_eq!(values("~SEQx(N, 0x12, -1, 0x10)"), ["12", "11", "10"]);
        assert_eq!(values("~SEQ(N, 5, 1, 3)"), [""; 0]);
        assert_eq!(values("~LST({A, B}, {10,1},{20, 4}) x"), ["10/1", "20/4"]);
        assert_eq!(values("~LST(A, 1, b)"), ["1", "b"]);
    }

    #[test]
    fn what_is_no_sequence() {
        for (text, why) in [
            ("~SEQ N", "no parenthesis after ~SEQ or ~LST"),
            ("~SEQ(N, 1", "no closing parenthesis"),
            ("~SEQ(N, 1, 0, 5)", "a step of 0 never ends"),
            ("~SEQ(N, 1, 100000)", "more than 65536 values"),
            ("~SEQ(9, 1)", "\"9\" is no name"),
            ("~SEQ(N, +1)", "\"+1\" is no number"),
            ("~LST({A,B}, 1)", "2 names, but 1 values: 1"),
            ("~SEQy(N, 1)", "\"~SEQy\" is unknown; there are ~SEQ, ~SEQx and ~LST"),
        ] {
            assert_eq!(parse_loop(text).err(), Some(why.to_owned()));
        }
    }
}
