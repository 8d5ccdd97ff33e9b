//! docs/packet-path.md names functions, and each of them exists.
//!
//! A name is written with parentheses: `find_conn()`, or `nat::plan()` where several functions have the name; then
//! the file is `nat.rs` or lies in a folder `nat`. Brain and hands are searched.

use anyhow::Result;
use std::collections::BTreeSet;
use std::path::Path;

const DOCUMENT: &str = "docs/packet-path.md";
const SOURCES: [&str; 2] = ["crates/rlvs-core/src", "crates/rlvs-ebpf/src"];

pub fn check(workspace: &Path) -> Result<Vec<String>> {
    let mut functions = BTreeSet::new();
    for dir in SOURCES {
        for file in super::rust_files(&workspace.join(dir))? {
            let rooms = rooms(file.strip_prefix(workspace.join(dir)).unwrap_or(&file));
            for function in defined(&super::read(&file)?) {
                functions.extend(rooms.iter().map(|room| format!("{room}::{function}")));
                functions.insert(function.to_string());
            }
        }
    }
    let named = named(&super::read(&workspace.join(DOCUMENT))?);
    if named.is_empty() {
        return Ok(vec![format!("{DOCUMENT} names no function (as `name()`)")]);
    }
    let gone = named.into_iter().filter(|name| !functions.contains(name));
    Ok(gone.map(|name| format!("{DOCUMENT} names {name}(), which does not exist")).collect())
}

/// The words a function of this file can be qualified with: the file's name and its folders'.
fn rooms(file: &Path) -> Vec<String> {
    file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

/// Names after `fn `.
fn defined(source: &str) -> impl Iterator<Item = &str> {
    let code = source.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    code.filter_map(|line| {
        let (before, rest) = line.split_once("fn ")?;
        let modifiers = before.chars().all(|c| c.is_alphanumeric() || " ()_\":".contains(c));
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        (modifiers && end > 0).then(|| &rest[..end])
    })
}

/// Names before `()`, with one qualifier at most.
fn named(document: &str) -> BTreeSet<String> {
    document
        .match_indices("()")
        .filter_map(|(end, _)| {
            let head = &document[..end];
            let start = head.rfind(|c: char| !is_name(c) && c != ':').map_or(0, |at| at + 1);
            let mut parts = head[start..].rsplit("::");
            let function = parts.next().filter(|name| !name.is_empty())?;
            Some(parts.next().map_or(function.to_string(), |room| format!("{room}::{function}")))
        })
        .collect()
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_definitions_not_mentions() {
        let source = "pub fn one<T>(x: T) {}\n  pub(crate) unsafe extern \"C\" fn two() {}\n// fn no() {}\nlet x = \"fn no\";";
        assert_eq!(defined(source).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn reads_names_in_prose_and_boxes() {
        let document = "first `find_conn()`, then\n| fwd::nat::plan() -> edit |\n() nothing";
        assert_eq!(named(document).into_iter().collect::<Vec<_>>(), ["find_conn", "nat::plan"]);
    }

    #[test]
    fn rooms_are_file_and_folders() {
        assert_eq!(rooms(Path::new("fwd/tun/ipip.rs")), ["fwd", "tun", "ipip"]);
    }
}
