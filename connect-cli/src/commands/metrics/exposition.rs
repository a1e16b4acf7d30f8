// SPDX-License-Identifier: GPL-3.0-or-later
//! Metrics as text, in the two formats that Prometheus and similar programs read.
//!
//! There are two differences: in OpenMetrics the name of a counter lacks the `_total` of its
//! samples, and there is a mark at the end.

use std::fmt::Write as _;

/// What each name begins with.
const PREFIX: &str = "tripe_connect_";

/// Which form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Form {
    /// OpenMetrics 1.0.
    Openmetrics,
    /// The text format of Prometheus, version 0.0.4, which node_exporter's textfile collector
    /// reads.
    Prometheus,
}

impl Form {
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Form::Openmetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Form::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What a family of metrics measures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// A value that rises and falls.
    Gauge,
    /// A number that only grows; its samples end with `_total`.
    Counter,
    /// A count and a sum.
    Summary,
    /// Labels with the constant value 1; its samples end with `_info`.
    Info,
}

/// A family of metrics before its first sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    /// Its name, without [`PREFIX`], `_total` and `_info`.
    name: &'static str,
    kind: Kind,
    /// What it is, for people.
    help: &'static str,
}

impl Family {
    /// The unit, which a name ends with.
    fn unit(&self) -> Option<&'static str> {
        let units = ["seconds", "ratio"];
        units.into_iter().find(|unit| self.name.ends_with(unit))
    }
}

/// A value that rises and falls.
pub(crate) const fn gauge(name: &'static str, help: &'static str) -> Family {
    let kind = Kind::Gauge;
    Family { name, kind, help }
}

/// A number that only grows.
pub(crate) const fn counter(name: &'static str, help: &'static str) -> Family {
    let kind = Kind::Counter;
    Family { name, kind, help }
}

/// A count and a sum.
pub(crate) const fn summary(name: &'static str, help: &'static str) -> Family {
    let kind = Kind::Summary;
    Family { name, kind, help }
}

/// Labels with the constant value 1.
pub(crate) const fn info(name: &'static str, help: &'static str) -> Family {
    let kind = Kind::Info;
    Family { name, kind, help }
}

/// Both formats have floating-point numbers only.
#[expect(
    clippy::cast_precision_loss,
    reason = "nothing is counted beyond 2^53 in the life of a process"
)]
pub(crate) fn number(count: impl Into<u64>) -> f64 {
    count.into() as f64
}

/// A truth as 1 or 0.
pub(crate) fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// A text of metrics.
#[derive(Debug)]
pub(crate) struct Exposition {
    form: Form,
    text: String,
    /// The family whose samples are being written.
    family: Option<&'static str>,
}

impl Exposition {
    /// An empty text.
    pub(crate) fn new(form: Form) -> Self {
        Exposition {
            form,
            text: String::new(),
            family: None,
        }
    }

    /// Writes one sample; samples of a family must follow one another.
    pub(crate) fn sample(&mut self, family: &Family, labels: &[(&str, &str)], value: f64) {
        self.suffixed(family, "", labels, value);
    }

    /// Writes one sample whose name has a suffix of its own, such as `_sum`.
    pub(crate) fn suffixed(
        &mut self,
        family: &Family,
        suffix: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let own = match family.kind {
            Kind::Gauge | Kind::Summary => "",
            Kind::Counter => "_total",
            Kind::Info => "_info",
        };
        if self.family != Some(family.name) {
            self.family = Some(family.name);
            self.head(family, own);
        }
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{PREFIX}{}{own}{suffix}", family.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let before = if at == 0 { "{" } else { "," };
            let _ = write!(self.text, "{before}{name}=\"");
            for c in value.chars() {
                match c {
                    '\\' | '"' => self.text.extend(['\\', c]),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    fn head(&mut self, family: &Family, own: &str) {
        let Family { name, help, .. } = family;
        let _ = match self.form {
            Form::Openmetrics => {
                let kind = match family.kind {
                    Kind::Gauge => "gauge",
                    Kind::Counter => "counter",
                    Kind::Summary => "summary",
                    Kind::Info => "info",
                };
                let unit = family.unit().map_or_else(String::new, |unit| {
                    format!("# UNIT {PREFIX}{name} {unit}\n")
                });
                write!(
                    self.text,
                    "# TYPE {PREFIX}{name} {kind}\n{unit}# HELP {PREFIX}{name} {help}\n"
                )
            }
            Form::Prometheus => {
                let kind = match family.kind {
                    Kind::Gauge | Kind::Info => "gauge",
                    Kind::Counter => "counter",
                    Kind::Summary => "summary",
                };
                write!(
                    self.text,
                    "# HELP {PREFIX}{name}{own} {help}\n# TYPE {PREFIX}{name}{own} {kind}\n"
                )
            }
        };
    }

    /// The length of the text that was not taken yet.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Takes the text so far.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Writes the mark at the end.
    pub(crate) fn end(&mut self) {
        if self.form == Form::Openmetrics {
            self.text.push_str("# EOF\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTER: Family = counter("pings", "Pings.");

    #[test]
    fn the_forms_name_counters_each_in_its_way() {
        let text = |form| {
            let mut exposition = Exposition::new(form);
            exposition.sample(&COUNTER, &[("peer", "a\"\\\nb"), ("x", "y")], 1.5);
            exposition.sample(&COUNTER, &[], 2.0);
            exposition.end();
            exposition.take()
        };
        let samples = "tripe_connect_pings_total{peer=\"a\\\"\\\\\\nb\",x=\"y\"} 1.5\ntripe_connect_pings_total 2\n";
        assert_eq!(
            text(Form::Openmetrics),
            format!(
                "# TYPE tripe_connect_pings counter\n# HELP tripe_connect_pings Pings.\n{samples}# EOF\n"
            )
        );
        assert_eq!(
            text(Form::Prometheus),
            format!(
                "# HELP tripe_connect_pings_total Pings.\n# TYPE tripe_connect_pings_total counter\n{samples}"
            )
        );
    }
}
