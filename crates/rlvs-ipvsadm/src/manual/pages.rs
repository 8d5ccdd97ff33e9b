//! The manual pages ipvsadm(8), ipvsadm-save(8) and ipvsadm-restore(8), in roff.

use super::{Entry, entries};
use crate::help;
use crate::options::{Argument, Definition, Opt, SLOTS, Section, Verb};
use crate::schedulers::SCHEDULERS;
use roff::{Inline, Roff, bold, italic, roman};

/// Pages, all of section 8.
pub const NAMES: &[&str] = &["ipvsadm", "ipvsadm-save", "ipvsadm-restore"];

/// A page in roff, if it is one of [`NAMES`].
pub fn page(name: &str) -> Option<String> {
    let page = match name {
        "ipvsadm" => ipvsadm(),
        "ipvsadm-save" => save(),
        "ipvsadm-restore" => restore(),
        _ => return None,
    };
    Some(page.0.render())
}

struct Page(Roff);

impl Page {
    fn new(name: &str, what: &str) -> Page {
        let mut roff = Roff::new();
        let source = concat!("rlvs ", env!("CARGO_PKG_VERSION"));
        roff.control("TH", [name.to_uppercase().as_str(), "8", "", source, "Linux Virtual Server"]);
        roff.control("SH", ["NAME"]).text([roman(format!("{name} - {what}"))]);
        Page(roff)
    }

    fn heading(&mut self, heading: &str) {
        self.0.control("SH", [heading]);
    }

    fn paragraph(&mut self, text: &str) {
        self.0.control("PP", []).text([roman(text)]);
    }

    /// Something with what it means, indented.
    fn item(&mut self, name: Vec<Inline>, meaning: &str) {
        self.0.control("TP", []).text(name).text([roman(meaning)]);
    }

    /// Lines as they are typed.
    fn verbatim(&mut self, text: &str) {
        self.0.control("PP", []).control("RS", ["4"]).control("nf", []);
        for line in text.lines() {
            self.0.text([roman(line)]);
        }
        self.0.control("fi", []).control("RE", []);
    }

    fn see_also(&mut self, pages: &str) {
        self.heading("SEE ALSO");
        self.paragraph(pages);
    }
}

fn ipvsadm() -> Page {
    let mut page = Page::new("ipvsadm", "administer the virtual server table");
    page.heading("SYNOPSIS");
    page.0.control("nf", []);
    for line in help::SYNOPSIS.lines().skip(1) {
        page.0.text([bold(line.trim_start())]);
    }
    page.0.control("fi", []);
    page.heading("DESCRIPTION");
    page.paragraph(
        "A director shares the connections to a virtual service (a protocol, an address and a port, or a firewall \
         mark) out among real servers. ipvsadm adds, changes, deletes and lists services and servers; the packet \
         programs of rlvs(8) do the rest, in the kernel and without any running process.",
    );
    page.paragraph(
        "The command comes first, its options follow in any order, each at most once. Letters can share a word \
         (-Ln, -At 10.0.0.100:80), and a value can follow at once (-w3, -w=3, --weight=3) or as the next word. Long \
         names cannot be shortened.",
    );
    section(&mut page, "COMMANDS", Section::Commands);
    section(&mut page, "VIRTUAL SERVICE", Section::VirtualService);
    section(&mut page, "OPTIONS", Section::Options);
    section(&mut page, "DAEMON OPTIONS", Section::DaemonOptions);
    page.heading("SCHEDULERS");
    for (name, meaning) in SCHEDULERS {
        page.item(vec![bold(*name)], meaning);
    }
    page.heading("EXAMPLES");
    page.paragraph("A web service on two servers behind NAT, the first of which takes two thirds:");
    page.verbatim(
        "ipvsadm -A -t 10.0.0.100:80 -s wlc\n\
         ipvsadm -a -t 10.0.0.100:80 -r 10.1.0.1:8080 -m -w 2\n\
         ipvsadm -a -t 10.0.0.100:80 -r 10.1.0.2:8080 -m",
    );
    page.paragraph("No new connections for the first server; old ones go on:");
    page.verbatim("ipvsadm -e -t 10.0.0.100:80 -r 10.1.0.1:8080 -m -w 0");
    page.paragraph("Two ports as one service, by a firewall mark, with persistence:");
    page.verbatim(
        "ipvsadm -A -f 1 -s wlc -p 600\n\
         ipvsadm -a -f 1 -r 10.1.0.1 -g\n\
         ipvsadm -a -f 1 -r 10.1.0.2 -g",
    );
    page.heading("EXIT STATUS");
    for (status, meaning) in [
        ("0", "Done."),
        ("1", "What should be listed is not there."),
        ("2", "The command line says something wrong, or the caller lacks permission."),
        ("255", "The command line has unknown options, or the order was refused."),
    ] {
        page.item(vec![bold(status)], meaning);
    }
    page.heading("NOTES");
    page.paragraph(
        "Options, output and exit status are those of ipvsadm 1.31, with few exceptions, which docs/compat.md of \
         rlvs lists. Rules belong to a network namespace, and go with it.",
    );
    page.see_also("ipvsadm-save(8), ipvsadm-restore(8), rlvs(8)");
    page
}

fn section(page: &mut Page, heading: &str, section: Section) {
    page.heading(heading);
    for entry in entries().filter(|e| e.section() == section) {
        let mut meaning = entry.definition.manual.to_owned();
        // In the other sections it goes without saying.
        if section == Section::Options {
            meaning.push_str(&takers(entry.definition));
        }
        page.item(spelling(&entry), &meaning);
    }
}

/// `-w, --weight weight`
fn spelling(entry: &Entry) -> Vec<Inline> {
    let mut inlines = Vec::new();
    for short in entry.shorts.chars() {
        inlines.extend([bold(format!("-{short}")), roman(", ")]);
    }
    inlines.push(bold(format!("--{}", entry.definition.long)));
    let argument = match entry.definition.argument {
        Argument::None => return inlines,
        Argument::Required("") => "master|backup",
        Argument::Required(name) | Argument::Optional(name) | Argument::Loose(name) => name,
    };
    inlines.extend([roman(" "), italic(argument)]);
    inlines
}

/// ` (With -A, -E.)`, from the table that decides it.
fn takers(definition: &Definition) -> String {
    let Some(rules) = SLOTS.iter().find(|s| Some(s.slot) == definition.slot) else { return String::new() };
    let verbs = [rules.required_by, rules.optional_for, rules.one_of_for].concat();
    let names: Vec<String> = verbs.into_iter().map(verb).collect();
    format!(" (With {}.)", names.join(", "))
}

fn verb(verb: Verb) -> String {
    let entry = entries().find(|e| e.definition.opt == Opt::Verb(verb));
    entry.map_or(String::new(), |e| match e.shorts.chars().next() {
        Some(short) => format!("-{short}"),
        None => format!("--{}", e.definition.long),
    })
}

fn save() -> Page {
    let mut page = Page::new("ipvsadm-save", "write the virtual server table to standard output");
    page.heading("SYNOPSIS");
    page.0.text([bold("ipvsadm-save"), roman(" ["), bold("-n"), roman("]")]);
    page.heading("DESCRIPTION");
    page.paragraph(
        "Writes all virtual services and real servers as command lines that ipvsadm-restore(8) reads, with \
         everything that they hold, thresholds included. Connections, counters and timeouts are not saved.",
    );
    page.heading("OPTIONS");
    page.item(
        vec![bold("-n")],
        "Write addresses and ports as numbers. Recommended: names can change their meaning.",
    );
    page.heading("EXIT STATUS");
    page.paragraph("0, or that of ipvsadm(8); 1 after a wrong option.");
    page.see_also("ipvsadm(8), ipvsadm-restore(8)");
    page
}

fn restore() -> Page {
    let mut page = Page::new("ipvsadm-restore", "read the virtual server table from standard input");
    page.heading("SYNOPSIS");
    page.0.text([bold("ipvsadm-restore"), roman(" < "), italic("file")]);
    page.heading("DESCRIPTION");
    page.paragraph(
        "Deletes all virtual services, then carries out every line of standard input as a command line of \
         ipvsadm(8): what ipvsadm-save(8) wrote, or what was written by hand. Lines that begin with # are comments.",
    );
    page.paragraph(
        "Everything is read before anything is changed: when a line says something wrong, that is all that happens, \
         and the old table stays. A line that the table refuses (a service twice, say) is complained of, and the \
         next one is carried out.",
    );
    page.heading("OPTIONS");
    page.item(vec![bold("-h"), roman(", "), bold("--help")], "Do nothing.");
    page.heading("EXIT STATUS");
    page.paragraph("That of the last line; see ipvsadm(8).");
    page.heading("EXAMPLES");
    page.paragraph("Save, change and restore:");
    page.verbatim("ipvsadm-save -n | sed 's/ -s wlc/ -s wrr/' | ipvsadm-restore");
    page.see_also("ipvsadm(8), ipvsadm-save(8)");
    page
}
