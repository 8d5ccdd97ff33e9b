//! Where text comes from: files on disk, or a table in memory for tests and fuzzing.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// The most bytes of one file.
pub const MAX_FILE: u64 = 4 << 20;

/// What a reader may ask of the world.
pub trait Files {
    /// The text of a regular file of at most [`MAX_FILE`] bytes.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// Paths that match a pattern with `*`, `?` and `[…]`, sorted; none if nothing does.
    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String>;
}

pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(io::Error::other(format!("it has more than {MAX_FILE} bytes")));
        }
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..valid].iter().filter(|b| **b == b'\n').count() + 1;
            io::Error::other(format!("line {line} is not UTF-8"))
        })
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
        let paths = glob::glob_with(pattern, options).map_err(|error| error.msg.to_owned())?;
        Ok(paths.filter_map(Result::ok).collect())
    }
}

/// Files by name.
#[derive(Default)]
pub struct Memory(pub BTreeMap<PathBuf, String>);

impl Memory {
    pub fn one(path: &str, text: &str) -> Memory {
        Memory(BTreeMap::from([(PathBuf::from(path), text.to_owned())]))
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<String> {
        match self.0.get(&plain(path)) {
            Some(text) if text.len() as u64 <= MAX_FILE => Ok(text.clone()),
            Some(_) => Err(io::Error::other(format!("it has more than {MAX_FILE} bytes"))),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let pattern = glob::Pattern::new(pattern).map_err(|error| error.msg.to_owned())?;
        let options = glob::MatchOptions {
            require_literal_separator: true,
            require_literal_leading_dot: true,
            ..Default::default()
        };
        Ok(self.0.keys().filter(|path| pattern.matches_path_with(path, options)).cloned().collect())
    }
}

/// Without `.` in between.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
