//! What is written from the table of options besides `-h`: the manual pages ([`page`]), and the same grammar in the
//! form that completion scripts are made from ([`command_line`]).

mod pages;
mod tree;

pub use pages::{NAMES, page};
pub use tree::command_line;

use crate::options::{Definition, OPTIONS, Section};

/// An option under all its spellings: the table may define one twice, the second time with another letter.
struct Entry {
    definition: &'static Definition,
    shorts: String,
}

/// In the order of the table, with what `-h` does not list at the end of the section where it belongs.
fn entries() -> impl Iterator<Item = Entry> {
    let firsts = OPTIONS.iter().enumerate().filter(|(i, d)| !OPTIONS[..*i].iter().any(|o| o.long == d.long));
    firsts.map(|(_, definition)| {
        let same = OPTIONS.iter().filter(|d| d.long == definition.long);
        Entry { definition, shorts: same.map(|d| d.shorts).collect() }
    })
}

impl Entry {
    fn section(&self) -> Section {
        match (self.definition.section, self.definition.slot) {
            (Section::Unlisted, None) => Section::Commands,
            (Section::Unlisted, Some(_)) => Section::Options,
            (section, _) => section,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_without_a_description() {
        for entry in entries() {
            let Definition { long, manual, .. } = entry.definition;
            assert!(manual.ends_with('.') && !manual.contains("  "), "--{long}: {manual:?}");
        }
        assert!(entries().any(|e| e.definition.long == "exact" && e.shorts == "X"));
    }
}
