//! Numbers as they are typed, and as `--stats` and `--rate` abbreviate them.

use std::ops::RangeInclusive;

/// A decimal number in the range. Leading blanks and a sign are allowed, as `strtol(3)` allows them; anything
/// after the digits is not.
pub fn in_range(text: &str, range: RangeInclusive<i64>) -> Option<i64> {
    let blank = |c| matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r');
    let number: i64 = text.trim_start_matches(blank).parse().ok()?;
    range.contains(&number).then_some(number)
}

/// Nine columns: from 10^8 on in thousands (K), millions (M), … of which the last digits are cut off, or, when
/// `exact`, as wide as it takes.
pub fn column(number: u64, exact: bool) -> String {
    const UNITS: [(u64, u64, char); 4] = [
        (1_000_000_000, 1_000, 'K'),
        (100_000_000_000, 1_000_000, 'M'),
        (100_000_000_000_000, 1_000_000_000, 'G'),
        (u64::MAX, 1_000_000_000_000, 'T'),
    ];
    if exact || number < 100_000_000 {
        return plain_column(number);
    }
    let (_, unit, letter) = UNITS.iter().find(|u| number < u.0).unwrap_or(&UNITS[3]);
    format!("{:8}{letter}", number / unit)
}

pub fn plain_column(number: u64) -> String {
    format!(" {number:8}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_strtol() {
        for (text, expected) in [
            ("80", Some(80)),
            (" 80", Some(80)),
            ("+80", Some(80)),
            ("080", Some(80)),
            ("", None),
            ("80 ", None),
            ("0x50", None),
            ("-1", None),
            ("65536", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(in_range(text, 0..=65535), expected, "{text:?}");
        }
    }

    #[test]
    fn abbreviates_from_a_hundred_million_on() {
        for (number, short, exact) in [
            (0, "        0", "        0"),
            (99_999_999, " 99999999", " 99999999"),
            (100_000_000, "  100000K", " 100000000"),
            (999_999_999, "  999999K", " 999999999"),
            (1_000_000_000, "    1000M", " 1000000000"),
            (99_999_999_999, "   99999M", " 99999999999"),
            (100_000_000_000, "     100G", " 100000000000"),
            (99_999_999_999_999, "   99999G", " 99999999999999"),
            (100_000_000_000_000, "     100T", " 100000000000000"),
            (u64::MAX, "18446744T", " 18446744073709551615"),
        ] {
            assert_eq!(column(number, false), short);
            assert_eq!(column(number, true), exact);
        }
    }
}
