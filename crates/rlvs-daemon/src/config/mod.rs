//! What the operator wants, as data.
//!
//! A file is either a `keepalived.conf` ([`keepalived`]) or our TOML form ([`toml`]); both give the same [`model`].
//! [`validate`] finds what cannot work in a model, whatever it came from, and a [`report`] shows all findings at once,
//! each at its place in the file. [`rules`] says which services and destinations a model stands for, [`diff`] which
//! orders lead from one such table to another.

pub mod diff;
pub mod keepalived;
pub mod model;
pub mod pattern;
pub mod report;
pub mod rules;
pub mod source;
pub mod toml;
pub mod validate;

use model::Config;
use report::Report;
use source::Files;
use std::path::Path;
use validate::Places;

/// The two ways to write a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Keepalived,
    Toml,
}

impl Format {
    /// A name that ends in `.toml` is TOML; everything else is a `keepalived.conf`.
    pub fn of(path: &Path) -> Format {
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml")) {
            Format::Toml
        } else {
            Format::Keepalived
        }
    }
}

/// Reads and validates a file. The model is whole only if the report has no errors.
///
/// `config_id` is what the lines `@NAME` of a `keepalived.conf` are compared with.
pub fn load(path: &Path, format: Format, config_id: &str, files: &dyn Files) -> (Config, Report) {
    let (config, report, _) = load_with_places(path, format, config_id, files);
    (config, report)
}

/// The same, and where the parts of the model stand.
pub fn load_with_places(
    path: &Path,
    format: Format,
    config_id: &str,
    files: &dyn Files,
) -> (Config, Report, Places) {
    let (config, mut report, places) = match format {
        Format::Keepalived => keepalived::read(path, config_id, files),
        Format::Toml => toml::read(path, files),
    };
    // What a broken file leaves of the model would only give misleading findings.
    if !report.has_errors() {
        for finding in validate::validate(&config) {
            report.add(finding.diagnostic(&places));
        }
    }
    (config, report, places)
}
