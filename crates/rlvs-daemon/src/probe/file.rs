//! FILE_CHECK: the number in a file. A file that is not there, or that begins with no number, says 0.

use crate::machine::{CheckSpec, Outcome};
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

/// The most bytes that are looked at.
const MAX_FILE: u64 = 64;

pub fn check(spec: &CheckSpec) -> Outcome {
    let Some((path, _)) = &spec.file else { return Outcome::Failed("no track_file".into()) };
    let mut text = Vec::new();
    // A pipe or a terminal must not keep us waiting.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    if let Ok(file) = opened
        && file.metadata().is_ok_and(|meta| meta.is_file())
    {
        let _ = file.take(MAX_FILE).read_to_end(&mut text);
    }
    Outcome::Number(number(&text))
}

fn number(text: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = &digits[..digits.bytes().take_while(u8::is_ascii_digit).count()];
    match digits.parse::<i64>() {
        Ok(number) => sign * number,
        Err(_) if digits.is_empty() => 0,
        Err(_) => sign * i64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers() {
        for (text, meant) in [
            ("", 0),
            ("7\n", 7),
            (" -3 apples", -3),
            ("+4", 4),
            ("x", 0),
            ("-", 0),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(number(text.as_bytes()), meant, "{text:?}");
        }
    }
}
