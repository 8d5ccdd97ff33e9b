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

//!
//! An answer that begins with a brace is JSON: an object whose `words` are such a line; what else of it is known is shown
//! ([`Measured`]).

use serde::{Deserialize, Serialize};

/// Bytes of a line of words, at most.
pub const LONGEST: usize = 512;
/// Bytes of JSON, at most.
pub const LONGEST_JSON: usize = 16 << 10;
/// As HAProxy's weights: at most 256 where one means 1.
const MOST_PERCENT: u16 = 25_600;
const LONGEST_REASON: usize = 128;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answer {
    pub weight_percent: Option<u16>,
    pub admin: Option<Admin>,
    pub health: Option<Health>,
    pub max_connections: Option<u32>,
    /// What was behind `#`, fit to be shown.
    pub reason: Option<String>,
    /// What JSON has besides the words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// What `rlvs realserver agent` measures; to be shown, nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    pub cores: Option<u32>,
    pub run_queue_tasks: Option<f64>,
    pub load_average_1m_tasks: Option<f64>,
    pub memory_total_bytes: Option<u64>,
    pub memory_available_bytes: Option<u64>,
    pub tcp_connections: Option<u64>,
}

#[derive(Deserialize)]
struct Page {
    words: String,
    #[serde(flatten)]
    measured: Measured,
}

/// What the operator on the server wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    #[default]
    Ready,
    Drain,
    Maint,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    #[error("the answer has more than {LONGEST} bytes (JSON: {LONGEST_JSON})")]
    TooLong,
    #[error("the answer is empty")]
    Empty,
    #[error("the answer is no text")]
    NoText,
    #[error("the answer is no JSON with words: {0}")]
    Json(String),
    #[error("the answer is no HTTP page: {0:?}")]
    Http(String),
    #[error(
        "{0:?} is no word of an answer: up, ready, drain, maint, down, failed, stopped, maxconn:N, or a percentage up to {MOST_PERCENT}%"
    )]
    Word(String),
}

impl Answer {
    /// The first line of `bytes`, or JSON.
    pub fn parse(bytes: &[u8]) -> Result<Answer, Refused> {
        if bytes.trim_ascii_start().first() == Some(&b'{') {
            return Answer::of_json(bytes);
        }
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

    fn of_json(bytes: &[u8]) -> Result<Answer, Refused> {
        if bytes.len() > LONGEST_JSON {
            return Err(Refused::TooLong);
        }
        let page: Page =
            serde_json::from_slice(bytes).map_err(|error| Refused::Json(shown(&error.to_string())))?;
        if page.words.trim_start().starts_with('{') {
            return Err(Refused::Word(shown(&page.words)));
        }
        let answer = Answer::parse(page.words.as_bytes())?;
        Ok(Answer { measured: (page.measured != Measured::default()).then_some(page.measured), ..answer })
    }

    /// The body of an answer over HTTP/1, which is one of those above.
    pub fn of_http(bytes: &[u8]) -> Result<Answer, Refused> {
        let first = bytes.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
        let mut words = first.split(|b| *b == b' ');
        let is_http = words.next().is_some_and(|version| version.starts_with(b"HTTP/1."));
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        match (is_http && words.next() == Some(b"200"), end) {
            (true, Some(end)) => Answer::parse(&bytes[end + 4..]),
            _ => Err(Refused::Http(shown(&String::from_utf8_lossy(first)))),
        }
    }

    /// As a line of words again, for those who read of it.
    pub fn words(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.health.map(|health| format!("{health:?}").to_lowercase()));
        words.extend(self.admin.map(|admin| format!("{admin:?}").to_lowercase()));
        words.extend(self.weight_percent.map(|percent| format!("{percent}%")));
        words.extend(self.max_connections.map(|most| format!("maxconn:{most}")));
        words.extend(self.reason.as_ref().map(|reason| format!("#{reason}")));
        words.join(" ")
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

    #[test]
    fn json_and_pages_are_read() {
        let json = br#"{"words": "up ready 40%", "cores": 4, "run_queue_tasks": 1.5, "else": [1]}"#;
        let measured = Measured { cores: Some(4), run_queue_tasks: Some(1.5), ..Measured::default() };
        let wanted = Answer {
            weight_percent: Some(40),
            admin: Some(Admin::Ready),
            health: Some(Health::Up),
            measured: Some(measured),
            ..Answer::default()
        };
        assert_eq!(Answer::parse(json), Ok(wanted.clone()));
        let page = |head: &str| [head.as_bytes(), b"\r\nX: y\r\n\r\n", json].concat();
        assert_eq!(Answer::of_http(&page("HTTP/1.1 200 OK")), Ok(wanted.clone()));
        assert_eq!(wanted.words(), "up ready 40%");
        for head in ["HTTP/1.1 500 No", "HTTP/2 200", "up ready 40%", ""] {
            assert!(matches!(Answer::of_http(&page(head)), Err(Refused::Http(_))), "{head}");
        }
        for bad in ["{", "{}", "{\"words\": 3}", "{\"words\": \"{\"}", "{\"words\":\"up\",\"cores\":-1}"] {
            assert!(Answer::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let long = format!("{{\"words\": \"up\", \"x\": \"{}\"}}", "x".repeat(LONGEST_JSON));
        assert_eq!(Answer::parse(long.as_bytes()), Err(Refused::TooLong));
        let deep = format!("{{\"words\": {}", "[".repeat(LONGEST_JSON - 100));
        assert!(matches!(Answer::parse(deep.as_bytes()), Err(Refused::Json(_))));
    }

    proptest! {
        /// Whatever is said is read or refused, and what was read comes back from its words.
        #[test]
        fn any_page_is_read_or_refused(
            head in "(HTTP/1\\.[01] [0-9]{3} .{0,9}\r\n)?([ -~]{0,20}\r\n){0,3}(\r\n)?",
            body in "(\\{\"words\": ?\"|)(up|down#x|drain|[0-9]{1,3}%| |\"|\\\\){0,6}(\"[,:}0-9a-z]{0,9}\\}|)",
        ) {
            for bytes in [body.as_bytes(), format!("{head}{body}").as_bytes()] {
                for answer in [Answer::parse(bytes), Answer::of_http(bytes)].into_iter().flatten() {
                    let again = Answer { measured: None, ..answer };
                    prop_assert!(again.words().len() <= LONGEST);
                    prop_assert_eq!(Answer::parse(again.words().as_bytes()), Ok(again));
                }
            }
        }

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
