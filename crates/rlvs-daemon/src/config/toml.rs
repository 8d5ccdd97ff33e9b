//! The TOML form of a configuration: serde's of the [`model`](super::model), with a place for each finding.
//!
//! Tables are read one by one, so that a wrong one does not hide what is wrong in the next.

use super::model::Config;
use super::report::{Diagnostic, FileId, Level, Report, Span};
use super::source::Files;
use super::validate::{Place, Places};
use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue, Error, ValueDeserializer};
use serde::Deserialize;
use std::ops::Range;
use std::path::Path;

/// Reads a file. The model is whole only if the report has no errors.
pub fn read(path: &Path, files: &dyn Files) -> (Config, Report, Places) {
    let mut report = Report::default();
    let mut places = Places::default();
    let text = match files.read(path) {
        Ok(text) => text,
        Err(error) => {
            report.add(Diagnostic::new(Level::Error, format!("{}: {error}", path.display())));
            return (Config::default(), report, places);
        }
    };
    let file = report.add_file(path, text.clone());
    let mut reader = Reader { file, length: text.len(), report: &mut report, places: &mut places };
    let config = reader.file(&text);
    (config, report, places)
}

/// The configuration as TOML.
pub fn write(config: &Config) -> String {
    ::toml::to_string_pretty(config).expect("a model has string keys and numbers that TOML has")
}

struct Reader<'a> {
    file: FileId,
    length: usize,
    report: &'a mut Report,
    places: &'a mut Places,
}

impl Reader<'_> {
    fn file(&mut self, text: &str) -> Config {
        let mut config = Config::default();
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            self.error(error);
        }
        if !errors.is_empty() {
            return config;
        }
        for (key, value) in document.into_inner() {
            match key.get_ref().as_ref() {
                "global" => self.one(value, Place::Global, &mut config.global),
                "tls" => {
                    self.places.set(Place::Tls, self.span(value.span()));
                    config.tls = self.deserialize(value);
                }
                "track_file" => config.track_files = self.each(value, Place::TrackFile),
                "group" => config.groups = self.each(value, Place::Group),
                "virtual_server" => {
                    self.server_places(&value);
                    config.virtual_servers = self.each(value, Place::VirtualServer);
                }
                other => {
                    let message = format!("unknown key {other}");
                    let help = "there are global, tls, track_file, group and virtual_server";
                    let mut diagnostic = Diagnostic::new(Level::Error, message).help(help);
                    diagnostic.span = Some(self.span(key.span()));
                    self.report.add(diagnostic);
                }
            }
        }
        config
    }

    fn one<'de, T: Deserialize<'de>>(&mut self, value: Spanned<DeValue<'de>>, place: Place, into: &mut T) {
        self.places.set(place, self.span(value.span()));
        if let Some(value) = self.deserialize(value) {
            *into = value;
        }
    }

    /// `[[…]]`: each table for itself.
    fn each<'de, T: Deserialize<'de>>(
        &mut self,
        value: Spanned<DeValue<'de>>,
        place: fn(usize) -> Place,
    ) -> Vec<T> {
        match value.get_ref() {
            DeValue::Array(_) => {}
            // Says that it must be an array.
            _ => return self.deserialize(value).unwrap_or_default(),
        }
        let DeValue::Array(items) = value.into_inner() else { return Vec::new() };
        let mut all = Vec::new();
        for item in items {
            self.places.set(place(all.len()), self.span(item.span()));
            all.extend(self.deserialize::<T>(item));
        }
        all
    }

    fn server_places(&mut self, servers: &Spanned<DeValue>) {
        for (i, server) in tables(servers.get_ref()).enumerate() {
            let Some(reals) = server.get("real_server") else { continue };
            for (j, real) in items(reals.get_ref()).enumerate() {
                self.places.set(Place::RealServer(i, j), self.span(real.span()));
                let Some(checks) = real.get_ref().as_table().and_then(|table| table.get("check")) else {
                    continue;
                };
                for (k, check) in items(checks.get_ref()).enumerate() {
                    self.places.set(Place::Check(i, j, k), self.span(check.span()));
                }
            }
        }
    }

    fn deserialize<'de, T: Deserialize<'de>>(&mut self, value: Spanned<DeValue<'de>>) -> Option<T> {
        let whole = value.span();
        T::deserialize(ValueDeserializer::from(value))
            .map_err(|error| {
                let span = self.span(error.span().unwrap_or(whole));
                self.say(span, error.message());
            })
            .ok()
    }

    fn error(&mut self, error: &Error) {
        let span = self.span(error.span().unwrap_or(0..0));
        self.say(span, error.message());
    }

    /// What comes after a semicolon is the way out.
    fn say(&mut self, span: Span, message: &str) {
        let mut diagnostic = match message.rsplit_once("; ") {
            Some((message, help)) => Diagnostic::new(Level::Error, message).help(help),
            None => Diagnostic::new(Level::Error, message).help("docs/config.md shows every key"),
        };
        diagnostic.span = Some(span);
        self.report.add(diagnostic);
    }

    fn span(&self, range: Range<usize>) -> Span {
        let start = range.start.min(self.length);
        Span { file: self.file, start, end: range.end.clamp(start, self.length) }
    }
}

fn items<'a, 'de>(value: &'a DeValue<'de>) -> impl Iterator<Item = &'a Spanned<DeValue<'de>>> {
    value.as_array().into_iter().flat_map(|array| array.iter())
}

fn tables<'a, 'de>(value: &'a DeValue<'de>) -> impl Iterator<Item = &'a DeTable<'de>> {
    items(value).filter_map(|item| item.get_ref().as_table())
}
