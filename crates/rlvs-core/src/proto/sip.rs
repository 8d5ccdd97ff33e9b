//! The Call-ID of a SIP message (RFC 3261, section 20.8): what persistence engine `sip` knows a call by.
//!
//! A message is read byte by byte, from the second line on: the header is called `Call-ID` or, compact, `i`, in any case of
//! letters; then a colon, with or without blanks around it; then a word, perhaps `@` and another one (section 25.1).
//! Folded lines are no headers of their own. The empty line ends the headers.

/// A longer Call-ID is none (`IP_VS_PEDATA_MAXLEN`, Linux 6.1).
pub const MAX_LEN: u32 = 255;
/// So many bytes of a message are looked at.
pub const LOOKED_AT: u32 = 1536;

const NAME: [u8; 8] = *b"call-id\0";

/// Where in a message the reader is.
const IN_LINE: u32 = 0;
const LINE_START: u32 = 1;
/// So many letters of the name, and one, were read.
const IN_NAME: u32 = 2; // to 8
const AFTER_NAME: u32 = 16;
const BEFORE_VALUE: u32 = 17;
const IN_VALUE: u32 = 18;
const AFTER_AT: u32 = 19;
/// In the same line, something else than the header that is sought.
const FOUND: u32 = 20;
const MISSING: u32 = 21;

/// Reads a message until the Call-ID was found. Plain numbers, as the loops of programs want them.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    state: u32,
    /// Bytes read.
    at: u32,
    /// Where the Call-ID begins, and its length so far.
    pub start: u32,
    pub len: u32,
    hash: u64,
}

impl Reader {
    /// At the start of a message. `zero` is 0; in the kernel a number that the verifier takes for unknown. `secret` keeps
    /// others from making calls that look the same.
    #[inline(always)]
    pub fn new(secret: u64, zero: u32) -> Reader {
        Reader {
            state: IN_LINE ^ zero,
            at: zero,
            start: zero,
            len: zero,
            hash: 0xcbf2_9ce4_8422_2325 ^ secret ^ zero as u64,
        }
    }

    /// Bytes read so far: the number of the next one.
    #[inline(always)]
    pub fn at(&self) -> u32 {
        self.at
    }

    /// Reads the next byte; true when more would tell nothing.
    #[inline(always)]
    pub fn read(&mut self, byte: u8) -> bool {
        self.state = self.next(byte);
        self.at = self.at.wrapping_add(1);
        self.state >= FOUND
    }

    #[inline(always)]
    fn next(&mut self, byte: u8) -> u32 {
        let is_end = byte == b'\r' || byte == b'\n';
        match self.state {
            IN_LINE if byte == b'\n' => LINE_START,
            IN_LINE => IN_LINE,
            LINE_START if is_end => MISSING,
            LINE_START => match byte | 0x20 {
                b'c' => IN_NAME,
                b'i' => AFTER_NAME,
                _ => IN_LINE,
            },
            AFTER_NAME => match byte {
                b' ' | b'\t' => AFTER_NAME,
                b':' => BEFORE_VALUE,
                b'\n' => LINE_START,
                _ => IN_LINE,
            },
            BEFORE_VALUE if byte == b' ' || byte == b'\t' => BEFORE_VALUE,
            BEFORE_VALUE if is_word(byte) => {
                self.start = self.at;
                self.take(byte);
                IN_VALUE
            }
            BEFORE_VALUE => MISSING,
            IN_VALUE if byte == b'@' => {
                self.take(byte);
                AFTER_AT
            }
            IN_VALUE | AFTER_AT if is_word(byte) => {
                self.take(byte);
                if self.len > MAX_LEN { MISSING } else { self.state }
            }
            IN_VALUE | AFTER_AT => FOUND,
            FOUND | MISSING => self.state,
            // In the name: `Call-ID` has seven letters.
            letters if letters <= 8 => {
                let place = (letters - IN_NAME + 1) as usize & 7;
                let expected = NAME[place];
                let same = byte == expected || (expected != b'-' && byte | 0x20 == expected);
                match same {
                    true if place == 6 => AFTER_NAME,
                    true => letters + 1,
                    false if byte == b'\n' => LINE_START,
                    false => IN_LINE,
                }
            }
            _ => MISSING,
        }
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) {
        // FNV-1a.
        self.hash = (self.hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        self.len = self.len.wrapping_add(1);
    }

    /// The message is over: what the call is known by, 0 if there is no Call-ID.
    #[inline(always)]
    pub fn call(&self) -> u64 {
        let whole = self.state == FOUND || self.state == IN_VALUE || self.state == AFTER_AT;
        if whole && self.len > 0 && self.len <= MAX_LEN {
            crate::conn::hash::mix(self.hash).max(1)
        } else {
            0
        }
    }
}

/// A byte of a word (RFC 3261, section 25.1).
#[inline(always)]
const fn is_word(byte: u8) -> bool {
    let marks = if byte < 64 { WORD_MARKS[0] } else { WORD_MARKS[1] };
    byte < 128 && (byte.is_ascii_alphanumeric() || marks >> (byte & 63) & 1 != 0)
}

/// `-.!%*_+`'~()<>:\"/[]?{}`, a bit for each.
const WORD_MARKS: [u64; 2] = {
    let marks = b"-.!%*_+`'~()<>:\\\"/[]?{}";
    let mut bits = [0; 2];
    let mut i = 0;
    while i < marks.len() {
        bits[(marks[i] >> 6) as usize] |= 1 << (marks[i] & 63);
        i += 1;
    }
    bits
};

/// What the call of a message is known by, and its Call-ID: for the host.
pub fn call_of(message: &[u8], secret: u64) -> Option<(u64, &[u8])> {
    let mut reader = Reader::new(secret, 0);
    for byte in message.iter().take(LOOKED_AT as usize) {
        if reader.read(*byte) {
            break;
        }
    }
    let id = message.get(reader.start as usize..(reader.start + reader.len) as usize)?;
    (reader.call() != 0).then_some((reader.call(), id))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    fn id(message: &str) -> Option<&str> {
        call_of(message.as_bytes(), 7).map(|(_, id)| core::str::from_utf8(id).unwrap())
    }

    #[test]
    fn the_header_is_found_in_all_its_forms() {
        let invite = "INVITE sip:bob@biloxi.example SIP/2.0\r\nVia: SIP/2.0/UDP pc33\r\n";
        for (header, wanted) in [
            ("Call-ID: a84b4c76e66710@pc33.example\r\n", "a84b4c76e66710@pc33.example"),
            ("CALL-id:a84b4c76e66710\r\n", "a84b4c76e66710"),
            ("i: f81d4fae-7dec-11d0-a765-00a0c91e6bf6@foo\r\n", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6@foo"),
            ("I\t :\t(odd)<word>[x]?{y}\\\"/~\r\n", "(odd)<word>[x]?{y}\\\"/~"),
            ("Call-ID: one two\r\n", "one"),
            ("Call-IDs: no\r\nCall-ID: yes\r\n", "yes"),
            ("Caller: no\r\nCall-Info: no\r\nIdentity: no\r\nCall-ID: yes\r\n", "yes"),
            ("c: text\r\nc\ni: yes\r\n", "yes"),
            ("Subject: a\r\n Call-ID: folded\r\nCall-ID: yes\n", "yes"),
            ("Call-ID: to-the-end", "to-the-end"),
            ("Call-ID: one\r\nCall-ID: two\r\n", "one"),
        ] {
            assert_eq!(id(&format!("{invite}{header}\r\n")), Some(wanted), "{header:?}");
        }
    }

    #[test]
    fn nothing_is_found_where_there_is_none() {
        for message in [
            "",
            "Call-ID: first-line\r\n\r\n",
            "BYE sip:x SIP/2.0\r\n\r\nCall-ID: body\r\n",
            "BYE sip:x SIP/2.0\r\nCall-ID:\r\n\r\n",
            "BYE sip:x SIP/2.0\r\nCall-ID\r\n\r\n",
            "\u{0}\u{1}\u{2}\n\n",
        ] {
            assert_eq!(id(message), None, "{message:?}");
        }
        let long = |n| format!("BYE x SIP/2.0\r\nCall-ID: {}\r\n", "x".repeat(n));
        assert!(id(&long(255)).is_some());
        assert_eq!(id(&long(256)), None, "longer than the engine's limit");
        let late = format!("BYE x SIP/2.0\r\nSubject: {}\r\nCall-ID: late\r\n", "x".repeat(1600));
        assert_eq!(id(&late), None, "beyond what is looked at");
    }

    #[test]
    fn calls_differ_by_their_ids_and_by_the_secret() {
        let call = |id: &str, secret| call_of(format!("X\r\ni:{id}\r\n").as_bytes(), secret).unwrap().0;
        assert_eq!(call("a@b", 1), call("a@b", 1));
        assert_ne!(call("a@b", 1), call("a@c", 1));
        assert_ne!(call("a@b", 1), call("a@b", 2));
    }
}
