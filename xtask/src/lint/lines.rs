//! No file grows out of hand: a room is mostly 80 to 400 lines.

use anyhow::Result;
use std::path::Path;

const MOST: usize = 600;

pub fn check(workspace: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for file in super::rust_files(workspace)? {
        let lines = super::read(&file)?.lines().count();
        if lines > MOST {
            let name = file.strip_prefix(workspace).unwrap_or(&file).display();
            wrong.push(format!("{name} has {lines} lines, more than {MOST}: give its parts rooms"));
        }
    }
    Ok(wrong)
}
