//! The top of a file: which block goes to which room.

use super::elsewhere;
use super::tree::Statement;
use crate::config::model::{Config, InitFile, Tls, TrackFile};
use crate::config::report::Report;
use crate::config::validate::{Place, Places};

pub struct Reader<'a> {
    pub report: &'a mut Report,
    pub places: Places,
}

const KNOWN: [&str; 8] = [
    "global_defs",
    "net_namespace",
    "net_namespace_ipvs",
    "SSL",
    "track_file",
    "virtual_server",
    "virtual_server_group",
    "include",
];

impl Reader<'_> {
    pub fn file(&mut self, statements: &[Statement]) -> Config {
        let mut config = Config::default();
        for s in statements {
            match s.keyword.text.as_str() {
                "global_defs" => {
                    self.places.set(Place::Global, s.span());
                    self.global_defs(s, &mut config.global);
                }
                "net_namespace" | "net_namespace_ipvs" => self.global_word(s, &mut config.global),
                "SSL" => {
                    self.places.set(Place::Tls, s.span());
                    self.tls(s, config.tls.get_or_insert_default());
                }
                "track_file" | "vrrp_track_file" => {
                    if let Some(file) = self.track_file(s) {
                        self.places.set(Place::TrackFile(config.track_files.len()), s.span());
                        config.track_files.push(file);
                    }
                }
                "virtual_server_group" => {
                    if let Some(group) = self.group(s) {
                        self.places.set(Place::Group(config.groups.len()), s.span());
                        config.groups.push(group);
                    }
                }
                "virtual_server" => {
                    let index = config.virtual_servers.len();
                    if let Some(server) = self.virtual_server(s, index) {
                        self.places.set(Place::VirtualServer(index), s.span());
                        config.virtual_servers.push(server);
                    }
                }
                word => match elsewhere::at_top(word) {
                    Some(why) => self.warn(s, &format!("{word} is not for rlvs; {why}")),
                    None => self.unknown(s, "the file", &KNOWN),
                },
            }
        }
        config
    }

    fn tls(&mut self, s: &Statement, tls: &mut Tls) {
        for s in self.block(s) {
            match s.keyword.text.as_str() {
                "password" => tls.password = self.string(s, "password STRING").or(tls.password.take()),
                "ca" => tls.ca = self.string(s, "ca FILE").or(tls.ca.take()),
                "certificate" => {
                    tls.certificate = self.string(s, "certificate FILE").or(tls.certificate.take());
                }
                "key" => tls.key = self.string(s, "key FILE").or(tls.key.take()),
                _ => self.unknown(s, "SSL", &["password", "ca", "certificate", "key"]),
            }
        }
    }

    fn track_file(&mut self, s: &Statement) -> Option<TrackFile> {
        let named = self.args_count(s, 1..=1, "track_file NAME { file PATH }");
        let (mut file, mut weight, mut init) = (None, None, None);
        for s in self.block(s) {
            match s.keyword.text.as_str() {
                "file" => file = self.string(s, "file PATH").or(file),
                "weight" => weight = self.file_weight(s).or(weight),
                "init_file" => init = self.init_file(s).or(init),
                _ => self.unknown(s, "track_file", &["file", "weight", "init_file"]),
            }
        }
        if !named {
            return None;
        }
        let name = s.args[0].text.clone();
        if file.is_none() {
            self.error(
                s,
                s.span(),
                &format!("track_file {name} has no file; write file PATH into its block"),
            );
        }
        Some(TrackFile { name, file: file?, weight, init })
    }

    fn init_file(&mut self, s: &Statement) -> Option<InitFile> {
        if !self.count(s, 0..=2, "init_file [VALUE] [overwrite]") {
            return None;
        }
        let mut init = InitFile::default();
        for word in &s.args {
            if word.text == "overwrite" {
                init.overwrite = true;
            } else {
                init.value = self.parse(s, word, |text| {
                    text.parse()
                        .map_err(|_| format!("{text:?} is no number; write init_file [VALUE] [overwrite]"))
                })?;
            }
        }
        Some(init)
    }
}
