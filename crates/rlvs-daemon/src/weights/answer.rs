//! What an agent answers: HAProxy's agent-check words (its configuration manual, "agent-check"). One line of words separated
//! by spaces, tabs or commas, in any order, ended by CR or LF or by the connection:
//!
//! | word | means |
//! |---|---|
//! | `75%` | of the configured weight; 0% takes no new connections |
//! | `ready` | the operator on the server wants it used: cancels drain and maint |
//! | `drain`, `maint` | no new connections; out of service |
//! | `up` | healthy |
//! | `down`, `failed`, `stopped` | not; a text after `#` says why |
//! | `maxconn:30` | connections at most |
//!
//! What is not said stays as it was. Of two words of one kind the last counts. Upper and lower case are the same. An answer
//! with any other word is refused as a whole: who does not understand it should not act on half of it.

use serde::Serialize;

/// Bytes of an answer, at most.
pub const LONGEST: usize = 512;
/// As HAProxy's weights: at most 256 where one means 1.
const MOST_PERCENT: u16 = 25_600;
const LONGEST_REASON: usize = 128;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub weight_percent: Option<u16>,
    pub admin: Option<Admin>,
    pub health: Option<Health>,
    pub max_connections: Option<u32>,
    /// What was behind `#`, fit to be shown.
    pub reason: Option<String>,
}

/// What the operator on the server wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    #[default]
    Ready,
    Drain,
    Maint,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    #[default]
    Up,
    Down,
    Failed,
    Stopped,
}

/// Why an answer is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the answer has more than {LONGEST} bytes")]
    TooLong,
    #[error("the answer is empty")]
    Empty,
    #[error("the answer is no text")]
    NoText,
    #[error(
        "{0:?} is no word of an answer: up, ready, drain, maint, down, failed, stopped, maxconn:N, or a percentage up to {MOST_PERCENT}%"
    )]
    Word(String),
}

impl Answer {
    /// The first line of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Answer, Refused> {
        let line = bytes.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
        if line.len() > LONGEST {
            return Err(Refused::TooLong);
        }
        let line = std::str::from_utf8(line).map_err(|_| Refused::NoText)?;
        // A reason is the rest of the line, so that it may have spaces.
        let (words, reason) = line.split_once('#').map_or((line, None), |(w, r)| (w, Some(r)));
        let mut answer = Answer { reason: reason.map(shown).filter(|r| !r.is_empty()), ..Answer::default() };
        let mut words = words.split([' ', '\t', ',']).filter(|w| !w.is_empty()).peekable();
        if words.peek().is_none() {
            return Err(Refused::Empty);
        }
        words.try_for_each(|word| answer.take(word))?;
        Ok(answer)
    }

    fn take(&mut self, word: &str) -> Result<(), Refused> {
        let refused = || Refused::Word(shown(word));
        match word.to_ascii_lowercase().as_str() {
            "ready" => self.admin = Some(Admin::Ready),
            "drain" => self.admin = Some(Admin::Drain),
            "maint" => self.admin = Some(Admin::Maint),
            "up" => self.health = Some(Health::Up),
            "down" => self.health = Some(Health::Down),
            "failed" => self.health = Some(Health::Failed),
            "stopped" => self.health = Some(Health::Stopped),
            other => match (other.strip_suffix('%'), other.strip_prefix("maxconn:")) {
                (Some(number), _) => {
                    let percent = digits(number).filter(|n| *n <= u32::from(MOST_PERCENT));
                    self.weight_percent = Some(percent.ok_or_else(refused)? as u16);
                }
                (_, Some(number)) => self.max_connections = Some(digits(number).ok_or_else(refused)?),
                _ => return Err(refused()),
            },
        }
        Ok(())
    }
}

/// Only digits: `parse` would take a plus sign.
fn digits(word: &str) -> Option<u32> {
    word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok())?
}

/// Fit for a terminal and a log.
fn shown(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_are_read() {
        let read = |text: &str| Answer::parse(text.as_bytes());
        let percent = |n| Answer { weight_percent: Some(n), ..Answer::default() };
        for (text, wanted) in [
            ("75%\n", percent(75)),
            ("75%", percent(75)),
            ("0%\r\n50%\n", percent(0)),
            ("10% 20%\n", percent(20)),
            ("Drain\n", Answer { admin: Some(Admin::Drain), ..Answer::default() }),
            (
                "up,ready\t 100%, maxconn:30\n",
                Answer {
                    admin: Some(Admin::Ready),
                    health: Some(Health::Up),
                    max_connections: Some(30),
                    ..percent(100)
                },
            ),
            (
                "down#disk is full\x1b[2J\n",
                Answer {
                    health: Some(Health::Down),
                    reason: Some("disk is full[2J".into()),
                    ..Answer::default()
                },
            ),
            ("stopped # \n", Answer { health: Some(Health::Stopped), ..Answer::default() }),
            (
                "failed maint",
                Answer { health: Some(Health::Failed), admin: Some(Admin::Maint), ..Answer::default() },
            ),
        ] {
            assert_eq!(read(text), Ok(wanted), "{text:?}");
        }
        for bad in [
            "upp",
            "75",
            "%",
            "+5%",
            "-5%",
            "1e2%",
            "25601%",
            "99999999999%",
            "maxconn:",
            "maxconn:x",
            "up 5",
        ] {
            let refused = read(bad).unwrap_err();
            assert!(matches!(&refused, Refused::Word(w) if bad.contains(w.as_str())), "{bad:?}: {refused}");
        }
        assert_eq!(read(""), Err(Refused::Empty));
        assert_eq!(read(" ,\t#why\n"), Err(Refused::Empty));
        assert_eq!(Answer::parse(&[0xff, b'\n']), Err(Refused::NoText));
        assert_eq!(Answer::parse(&[b'u'; LONGEST + 1]), Err(Refused::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            if let Ok(answer) = Answer::parse(&bytes) {
                prop_assert!(answer.reason.is_none_or(|r| r.chars().count() <= LONGEST_REASON));
            }
        }

        #[test]
        fn any_words_are_read_or_refused(text in "(up|down|ready|drain|maint|[0-9]{1,6}%|maxconn:[0-9]{1,11}|#.{0,200}|[ ,\t]){0,20}") {
            match Answer::parse(text.as_bytes()) {
                Ok(answer) => prop_assert!(answer.weight_percent.is_none_or(|p| p <= MOST_PERCENT)),
                Err(refused) => prop_assert!(!refused.to_string().chars().any(char::is_control)),
            }
        }
    }
}
