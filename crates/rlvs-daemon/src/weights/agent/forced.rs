//! What the operator of the real server orders, whatever the formula says: a word in a small file, read at each question.

use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Forced {
    Drain,
    Maint,
    Percent(u8),
}

/// `ready` takes back what was ordered.
pub type Order = Option<Forced>;

/// Reads `drain`, `maint`, `ready` and `NN%`.
pub fn order(word: &str) -> Result<Order, String> {
    match word {
        "ready" => Ok(None),
        other => other.parse().map(Some),
    }
}

impl FromStr for Forced {
    type Err = String;

    fn from_str(word: &str) -> Result<Forced, String> {
        match word {
            "drain" => Ok(Forced::Drain),
            "maint" => Ok(Forced::Maint),
            other => match other.strip_suffix('%').map(str::parse::<u8>) {
                Some(Ok(percent @ 0..=100)) if !other.starts_with('+') => Ok(Forced::Percent(percent)),
                _ => Err(format!(
                    "{word:?} is no state: give drain, maint, ready, or a percentage from 0% to 100%"
                )),
            },
        }
    }
}

/// The file of this network namespace (`rlvs_control::bpffs::netns_cookie`).
pub fn default_file(cookie: u64) -> PathBuf {
    Path::new("/run/rlvs").join(format!("agent-{cookie}"))
}

/// What is ordered; an error if there is something else in the file.
pub fn read(file: &Path) -> Result<Order, String> {
    let mut text = String::new();
    match fs::File::open(file).and_then(|f| f.take(64).read_to_string(&mut text)) {
        Ok(_) => text.trim().parse().map(Some).map_err(|e| format!("{}: {e}", file.display())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("{}: {e}", file.display())),
    }
}

/// Orders it: the file is replaced as a whole, or removed.
pub fn write(file: &Path, order: Order) -> io::Result<()> {
    let word = match order {
        None => {
            return fs::remove_file(file).or_else(|e| match e.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(e),
            });
        }
        Some(Forced::Drain) => "drain\n".to_string(),
        Some(Forced::Maint) => "maint\n".to_string(),
        Some(Forced::Percent(percent)) => format!("{percent}%\n"),
    };
    if let Some(directory) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let new = file.with_extension("new");
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    out.write_all(word.as_bytes())?;
    fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_written_and_read() {
        let file = std::env::temp_dir().join(format!("rlvs-agent-{}", std::process::id()));
        assert_eq!(read(&file), Ok(None));
        for word in ["drain", "maint", "0%", "100%"] {
            let wanted = order(word).unwrap();
            write(&file, wanted).unwrap();
            assert_eq!(read(&file), Ok(wanted), "{word}");
        }
        fs::write(&file, "x".repeat(1000)).unwrap();
        assert!(read(&file).unwrap_err().contains("is no state"));
        write(&file, order("ready").unwrap()).unwrap();
        write(&file, None).unwrap();
        assert!(!file.exists());
        for bad in ["", "101%", "-1%", "+1%", "50", "down", "1.5%"] {
            assert!(order(bad).unwrap_err().contains(bad), "{bad:?}");
        }
    }
}
