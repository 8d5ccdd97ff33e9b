//! The settings of `/proc/sys/net/ipv4/vs`, by their names there (`rlvs sysctl`).

use super::Director;
use crate::instance::first_settings;
use crate::object::Sizes;
use crate::{Error, Result};
use rlvs_core::maps::command::op;
use rlvs_core::maps::sysctl::{self, Definition, SYNC_PERIOD, Setting};
use rlvs_core::maps::{NONE, Settings, global};
use rlvs_core::mem::Mem;
use serde::Serialize;

/// A setting as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sysctl {
    pub name: &'static str,
    /// One number, or two for `sync_threshold`.
    pub value: Vec<u32>,
    pub default: Vec<u32>,
    pub meaning: &'static str,
}

impl Director {
    /// All settings, sorted by name; their defaults where nothing was ever set up.
    pub fn sysctls(&mut self) -> Result<Vec<Sysctl>> {
        let (settings, acting) = match self.instance()? {
            Some(instance) => {
                let global = instance.global.words(0);
                (instance.settings.get(0), (global.load(global::DEFENCE), global.load(global::DROP_RATE)))
            }
            None => (first_settings(Sizes::of_this_machine().hz), (0, 0)),
        };
        let defaults = first_settings(1);
        let view = |d: &Definition| Sysctl {
            name: d.name,
            value: numbers(d, |setting| shown(&settings, setting, acting)),
            default: numbers(d, |setting| defaults.sysctl(setting)),
            meaning: d.meaning,
        };
        Ok(sysctl::ALL.iter().map(view).collect())
    }

    pub fn sysctl(&mut self, name: &str) -> Result<Sysctl> {
        known(name)?;
        let found = self.sysctls()?.into_iter().find(|s| s.name == name);
        found.ok_or_else(|| Error::Invalid(format!("no setting {name}")))
    }

    /// Sets one setting from the text of its number or numbers. Like the first service, it sets everything up where
    /// nothing was.
    pub fn set_sysctl(&mut self, name: &str, text: &str) -> Result<()> {
        let definition = known(name)?;
        let values = parse(definition, text)?;
        let _lock = self.lock()?;
        let instance = self.instance_or_new()?;
        instance.settings.edit(0, |s| {
            for (setting, value) in values {
                s.sysctl[setting as usize] = value;
            }
        });
        if is_defence(definition.setting) {
            instance.command(op::DEFENCE, NONE, NONE, 0)?;
        }
        Ok(())
    }
}

fn known(name: &str) -> Result<&'static Definition> {
    sysctl::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = sysctl::ALL.iter().map(|d| d.name).collect();
        Error::Invalid(format!("no setting is called {name:?}; there are: {}", names.join(" ")))
    })
}

fn is_defence(setting: Setting) -> bool {
    matches!(setting, Setting::DropEntry | Setting::DropPacket | Setting::SecureTcp | Setting::Amemthresh)
}

/// The numbers behind a name.
fn numbers(d: &Definition, value: impl Fn(Setting) -> u32) -> Vec<u32> {
    if d.setting == Setting::SyncThreshold {
        vec![value(d.setting), value(SYNC_PERIOD.setting)]
    } else {
        vec![value(d.setting)]
    }
}

/// An automatic defence shows as 2 while it acts, as 1 while it does not.
fn shown(settings: &Settings, setting: Setting, (defence, drop_rate): (u32, u32)) -> u32 {
    let value = settings.sysctl(setting);
    let acts = match setting {
        Setting::DropEntry => defence & global::DROP_ENTRY != 0,
        Setting::SecureTcp => defence & global::SECURE != 0,
        Setting::DropPacket => drop_rate != 0,
        _ => return value,
    };
    match value {
        1 | 2 => 1 + acts as u32,
        other => other,
    }
}

fn parse(definition: &Definition, text: &str) -> Result<Vec<(Setting, u32)>> {
    let definitions: &[&Definition] = if definition.setting == Setting::SyncThreshold {
        &[definition, &SYNC_PERIOD]
    } else {
        &[definition]
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() != definitions.len() {
        let wanted = if definitions.len() == 1 { "one number" } else { "two numbers" };
        return Err(Error::Invalid(format!("{} takes {wanted}, not {text:?}", definition.name)));
    }
    let values = definitions
        .iter()
        .zip(&words)
        .map(|(d, word)| match word.parse::<u32>() {
            Ok(n) if (d.min..=d.max).contains(&n) => Ok((d.setting, n)),
            _ => Err(Error::Invalid(format!("{} is {} to {}, not {word:?}", d.name, d.min, d.max))),
        })
        .collect::<Result<Vec<_>>>()?;
    match values[..] {
        [(Setting::SyncPorts, ports)] if !ports.is_power_of_two() => {
            Err(Error::Invalid(format!("sync_ports is a power of two, not {ports}")))
        }
        [(Setting::SyncThreshold, threshold), (_, period)] if period != 0 && threshold >= period => {
            let why = format!("sync_threshold: {threshold} is not below the period {period}");
            Err(Error::Invalid(why))
        }
        _ => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, text: &str) -> Result<Vec<u32>> {
        Ok(parse(known(name)?, text)?.into_iter().map(|(_, n)| n).collect())
    }

    #[test]
    fn values_are_checked() {
        assert_eq!(parsed("drop_entry", " 3\n").unwrap(), [3]);
        assert_eq!(parsed("sync_threshold", "3\t50").unwrap(), [3, 50]);
        assert_eq!(parsed("sync_threshold", "3 0").unwrap(), [3, 0]);
        for (name, text) in [
            ("drop_entry", "4"),
            ("drop_entry", "-1"),
            ("drop_entry", ""),
            ("drop_entry", "1 1"),
            ("sync_threshold", "50 50"),
            ("sync_threshold", "3"),
            ("sync_ports", "3"),
            ("am_droprate", "0"),
            ("no_such", "0"),
        ] {
            let refused = parsed(name, text).expect_err(&format!("{name}={text:?}"));
            assert!(refused.to_string().contains(name) || name == "no_such", "{refused}");
        }
    }
}
