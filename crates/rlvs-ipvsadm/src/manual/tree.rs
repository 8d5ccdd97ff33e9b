//! ipvsadm's options as a [`clap::Command`]. It only describes: command lines are read by [`crate::words`], as
//! popt reads them and clap does not.

use super::{Entry, entries};
use crate::options::{Argument, Opt, Verb};
use clap::{Arg, ArgAction, Command, ValueHint, builder::PossibleValuesParser};

/// For completion scripts.
pub fn command_line() -> Command {
    Command::new("ipvsadm")
        .about("Administer the virtual server table")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(entries().map(|e| argument(&e)))
}

fn argument(entry: &Entry) -> Arg {
    let definition = entry.definition;
    let mut shorts = entry.shorts.chars();
    let mut arg = Arg::new(definition.long).long(definition.long).help(help(entry));
    if let Some(short) = shorts.next() {
        arg = arg.short(short);
    }
    arg = arg.visible_short_aliases(shorts.collect::<Vec<_>>());
    arg = match (definition.argument, definition.opt) {
        (Argument::None, _) => return arg.action(ArgAction::SetTrue),
        (Argument::Optional(_), _) => arg.num_args(0..=1),
        (Argument::Loose(_), Opt::Verb(Verb::Set)) => arg.num_args(3),
        (Argument::Loose(_) | Argument::Required(_), _) => arg.num_args(1),
    };
    arg = arg.action(ArgAction::Set).value_name(value_name(entry)).value_hint(ValueHint::Other);
    match definition.values {
        [] => arg,
        values => arg.value_parser(PossibleValuesParser::new(values.iter().copied())),
    }
}

/// The line of `-h`, or the first sentence of the manual.
fn help(entry: &Entry) -> String {
    match entry.definition.help {
        [] => entry.definition.manual.split_inclusive('.').next().unwrap_or_default().to_owned(),
        lines => lines.join(" "),
    }
}

fn value_name(entry: &Entry) -> &'static str {
    let name = match entry.definition.argument {
        Argument::None => "",
        Argument::Required("") => "role",
        Argument::Required(name) | Argument::Optional(name) | Argument::Loose(name) => name,
    };
    name.trim_matches(['[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::OPTIONS;

    #[test]
    fn has_every_spelling_once() {
        let mut command = command_line();
        command.build();
        for definition in OPTIONS {
            let arg =
                command.get_arguments().find(|a| a.get_long() == Some(definition.long)).expect("is there");
            for short in definition.shorts.chars() {
                let aliases = arg.get_visible_short_aliases().unwrap_or_default();
                assert!(arg.get_short() == Some(short) || aliases.contains(&short), "-{short}");
            }
        }
    }
}
