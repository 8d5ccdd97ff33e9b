//! Prometheus's text format, version 0.0.4: families of samples, each with its help and its type.

use std::fmt::{Display, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows (or starts anew).
    Counter,
    Gauge,
}

/// A page in the making.
#[derive(Default)]
pub struct Text(String);

impl Text {
    /// Begins a family: all samples until the next one are of it.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text: &mut self.0, name }
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

pub struct Family<'t> {
    text: &'t mut String,
    name: &'static str,
}

impl Family<'_> {
    pub fn sample(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) -> &mut Self {
        self.text.push_str(self.name);
        for (i, (label, content)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"{}\"", if i == 0 { '{' } else { ',' }, escaped(content));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
        self
    }
}

fn escaped(content: &dyn Display) -> String {
    content.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page() {
        let mut text = Text::default();
        text.family("a_total", Kind::Counter, "All \\ of\nit")
            .sample(&[], 3)
            .sample(&[("x", &"1"), ("y", &2)], 4);
        text.family("b", Kind::Gauge, "B").sample(&[("z", &"q\"\\\nq")], 0.5);
        let wanted = "# HELP a_total All \\\\ of\\nit\n# TYPE a_total counter\na_total 3\na_total{x=\"1\",y=\"2\"} 4\n\
                      # HELP b B\n# TYPE b gauge\nb{z=\"q\\\"\\\\\\nq\"} 0.5\n";
        assert_eq!(text.into_string(), wanted);
    }

    proptest! {
        /// Whatever a label holds, it is one line, and comes back.
        #[test]
        fn any_label_comes_back(content in any::<String>()) {
            let mut text = Text::default();
            text.family("a", Kind::Gauge, "A").sample(&[("x", &content)], 1);
            let text = text.into_string();
            let line = text.strip_prefix("# HELP a A\n# TYPE a gauge\na{x=\"").unwrap();
            let inner = line.strip_suffix("\"} 1\n").unwrap();
            prop_assert!(!inner.contains('\n'));
            let (mut back, mut chars) = (String::new(), inner.chars());
            while let Some(c) = chars.next() {
                match c {
                    '\\' => back.push(match chars.next().unwrap() { 'n' => '\n', other => other }),
                    '"' => prop_assert!(false, "a quote ends the label"),
                    other => back.push(other),
                }
            }
            prop_assert_eq!(back, content);
        }
    }
}
