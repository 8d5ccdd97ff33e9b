//! Reads recordings (see `tests/golden/README.md`), writes answers the same way, and carries out what a recorded
//! command line needs of a shell.

use super::{Answer, Fake, run};
use std::collections::HashMap;
use std::fmt::Write;

/// One recorded command with everything that is known of it.
pub struct Block<'a> {
    pub command: &'a str,
    pub stdin: String,
    /// As recorded.
    pub answer: String,
}

pub fn blocks(recording: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in recording.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        if let Some(command) = line.strip_prefix("$ ") {
            blocks.push(Block { command, stdin: String::new(), answer: String::new() });
            continue;
        }
        let block = blocks.last_mut().expect("a command comes first");
        match line.strip_prefix("0| ") {
            Some(line) => _ = writeln!(block.stdin, "{line}"),
            None => _ = writeln!(block.answer, "{line}"),
        }
    }
    blocks
}

/// An answer written as the recordings are: a bar ends a line that ends in blanks.
pub fn transcript(answer: &Answer) -> String {
    let mut text = String::new();
    for (number, output) in [(1, &answer.out), (2, &answer.err)] {
        for line in output.lines() {
            let bar = if line == line.trim_end() { "" } else { "|" };
            let _ = writeln!(text, "{number}| {line}{bar}");
        }
        assert!(output.is_empty() || output.ends_with('\n'), "the last line has no end: {output}");
    }
    if answer.status != 0 {
        let _ = writeln!(text, "status {}", answer.status);
    }
    text
}

/// Just enough of a shell: blanks, double quotes, `< FILE`, `> FILE`, `| diff - FILE`, `sleep N; COMMAND`.
pub fn shell(block: &Block, files: &mut HashMap<String, String>, balancer: &mut Fake) -> Answer {
    let command = match block.command.split_once("; ") {
        Some((sleep, command)) if sleep.starts_with("sleep ") => command,
        _ => block.command,
    };
    let (command, diff_with) = match command.split_once(" | diff - ") {
        Some((command, file)) => (command, Some(file)),
        None => (command, None),
    };
    let (command, write_to) = match command.split_once(" > ") {
        Some((command, file)) => (command, Some(file)),
        None => (command, None),
    };
    let (command, stdin) = match command.split_once(" < ") {
        Some((command, file)) => (command, files[file].clone()),
        None => (command, block.stdin.clone()),
    };
    let mut words = words(command);
    // The recording's word for a user who is not root.
    balancer.not_root = words[0] == "as-nobody";
    if balancer.not_root {
        words.remove(0);
    }
    let mut answer = run(&words[0], &words[1..], &stdin, balancer);
    if let Some(file) = write_to {
        files.insert(file.to_owned(), std::mem::take(&mut answer.out));
    }
    if let Some(file) = diff_with {
        assert_eq!(files[file], answer.out, "{}", block.command);
        answer.out.clear();
    }
    answer
}

fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (i, part) in command.split('"').enumerate() {
        let quoted = i % 2 == 1;
        for c in part.chars() {
            match words.last_mut() {
                Some(word) if quoted || c != ' ' => word.push(c),
                _ => words.push(String::new()),
            }
        }
    }
    words
}
