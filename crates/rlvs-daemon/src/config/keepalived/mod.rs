//! `keepalived.conf`, read and written.
//!
//! The file is made of lines. [`lines`] joins the included ones, drops comments and what is for another machine
//! (`@NAME`), and replaces definitions ([`definitions`]); [`lexer`] cuts a line into words and braces, [`tree`] makes
//! statements and blocks of them, and a room for each kind of block makes the [`model`](super::model) of those. What is
//! not for LVS is named and left to keepalived ([`elsewhere`]).
//!
//! The text is nobody's friend: files, their number and depth, lines, words and findings are bounded.

mod args;
mod check;
mod definitions;
mod elsewhere;
mod global;
mod http;
mod lexer;
mod lines;
mod lost;
mod reader;
mod server;
mod service;
mod tree;
mod write;

pub use lost::forget;
pub use write::write;

use super::model::Config;
use super::report::{Diagnostic, Level, Report};
use super::source::Files;
use super::validate::Places;
use std::path::Path;

/// Reads a file with all it includes. The model is whole only if the report has no errors.
pub fn read(path: &Path, config_id: &str, files: &dyn Files) -> (Config, Report, Places) {
    let mut report = Report::default();
    let lines = match lines::gather(path, config_id, files, &mut report) {
        Ok(lines) => lines,
        Err(error) => {
            report.add(Diagnostic::new(Level::Error, format!("{}: {error}", path.display())));
            return (Config::default(), report, Places::default());
        }
    };
    let statements = tree::build(&lines, &mut report);
    let mut reader = reader::Reader { report: &mut report, places: Places::default() };
    let config = reader.file(&statements);
    let places = reader.places;
    (config, report, places)
}
