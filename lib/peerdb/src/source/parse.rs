// SPDX-License-Identifier: GPL-3.0-or-later
//! From the lines of source files to sections of unexpanded values.

use std::collections::{BTreeMap, HashMap};

use super::report::{Part, Place, Report, SourceError};
use super::template::Template;
use crate::characters::{self, Purpose};
use crate::misspelling;
use crate::text::Name;

/// The two spellings of the key that names a section's parents.
const INHERIT: [&str; 2] = ["@inherit", "@inherits"];

/// The section that gets what follows a faulty header. It is abstract, and no header can have its
/// name.
const NAMELESS: &str = "@[]";

/// A value with its place.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// The value; `None` if it is not well formed, which has been reported.
    pub(crate) value: Option<Template>,
    pub(crate) place: Place,
}

/// The parents that a section names.
#[derive(Debug)]
pub(crate) struct Parents {
    /// Each once, in the order given.
    pub(crate) names: Vec<String>,
    pub(crate) place: Place,
    /// Which of the two spellings was used.
    spelling: &'static str,
}

/// One section, from all files together.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    /// Where it first began.
    pub(crate) place: Place,
    pub(crate) keys: BTreeMap<String, Assignment>,
    pub(crate) parents: Option<Parents>,
}

/// All sections, in the order in which they first began.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    pub(crate) list: Vec<Section>,
    index: HashMap<String, usize>,
}

impl Sections {
    /// The index of the section of this name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    fn enter(&mut self, name: &str, place: Place) -> usize {
        if let Some(index) = self.find(name) {
            return index;
        }
        let index = self.list.len();
        self.index.insert(name.to_owned(), index);
        self.list.push(Section {
            name: name.to_owned(),
            place,
            keys: BTreeMap::new(),
            parents: None,
        });
        index
    }
}

/// Whether some program reads a key. The compiler accepts any key, but an indented line that begins
/// with a known one is probably not part of the value before it.
pub type KnownKey = fn(&str) -> bool;

/// Parses one file's text into `sections`. A line that is not UTF-8 is reported and left out; a
/// header that is not takes its whole section with it.
pub(crate) fn file(
    file: u32,
    text: &[u8],
    known_key: KnownKey,
    sections: &mut Sections,
    report: &mut Report,
) {
    let mut parser = Parser {
        sections,
        report,
        known_key,
        section: None,
        value: Value::None,
    };
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        let place = Place { file, line: number };
        match str::from_utf8(line) {
            Ok(line) => parser.line(line.strip_suffix('\r').unwrap_or(line), place),
            Err(_) => parser.unreadable(line, place),
        }
    }
    parser.finish_value();
}

/// The assignment that continuation lines may still add to.
enum Value {
    /// None: a section has just begun, or none has.
    None,
    /// One that was reported as faulty; its continuation lines are not reported.
    Faulty,
    Open {
        section: usize,
        key: String,
        value: String,
        place: Place,
    },
}

struct Parser<'a> {
    sections: &'a mut Sections,
    report: &'a mut Report,
    known_key: KnownKey,
    section: Option<usize>,
    value: Value,
}

impl Parser<'_> {
    fn line(&mut self, line: &str, place: Place) {
        let text = line.trim();
        if text.is_empty() || line.starts_with(['#', ';']) {
            return;
        }
        if line.starts_with(char::is_whitespace) {
            self.continuation(line, place);
        } else if text.starts_with('[') {
            self.finish_value();
            self.header(text, place);
        } else {
            self.finish_value();
            self.assignment(line, place);
        }
    }

    /// Reports a line that is not UTF-8, unless it is a comment, which may contain anything.
    fn unreadable(&mut self, line: &[u8], place: Place) {
        match line.first() {
            Some(b'#' | b';') => {}
            Some(b'[') => {
                self.finish_value();
                self.section = None;
                self.fail(place, SourceError::NameNotUtf8);
                self.section = Some(self.sections.enter(NAMELESS, place));
            }
            Some(b' ' | b'\t') => self.fail(place, SourceError::NotUtf8),
            _ => {
                self.finish_value();
                self.value = Value::Faulty;
                self.fail(place, SourceError::NotUtf8);
            }
        }
    }

    /// Reports a character that is probably a mistake, in the text before white space at its ends
    /// is removed.
    fn characters(&mut self, part: Part, text: &str, place: Place) {
        let purpose = match &part {
            Part::Name => Purpose::Name,
            Part::Key(_) | Part::Line => Purpose::Machine,
            Part::Value(key) if INHERIT.contains(&&**key) => Purpose::Name,
            Part::Value(key) if (self.known_key)(key) => Purpose::Machine,
            Part::Value(_) => Purpose::Text,
        };
        if let Some(suspect) = characters::suspect(text.trim_matches([' ', '\t']), purpose) {
            self.fail(place, SourceError::Character { part, suspect });
        }
    }

    fn fail(&mut self, place: Place, error: SourceError) {
        let section = self
            .section
            .map(|index| self.sections.list[index].name.as_str())
            .filter(|name| *name != NAMELESS);
        self.report.push(place, section, error);
    }

    fn header(&mut self, text: &str, place: Place) {
        // A faulty header also ends the section before it, so that what follows is not added to
        // that section.
        self.section = None;
        let inner = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let name = inner
            .map(str::trim)
            .filter(|name| !name.is_empty() && !name.contains(['[', ']']));
        let Some(name) = name else {
            self.fail(place, SourceError::BadHeader);
            self.characters(Part::Name, text, place);
            self.section = Some(self.sections.enter(NAMELESS, place));
            return;
        };
        self.section = Some(self.sections.enter(name, place));
        self.characters(Part::Name, inner.unwrap_or(name), place);
    }

    fn assignment(&mut self, text: &str, place: Place) {
        self.value = Value::Faulty;
        let Some(at) = text.find(['=', ':']) else {
            self.characters(Part::Line, text, place);
            let text = text.trim().into();
            return self.fail(place, SourceError::NoAssignment { text });
        };
        let (written, rest) = text.split_at(at);
        let key = written.trim().to_lowercase();
        if key.is_empty() {
            let separator = if rest.starts_with('=') { '=' } else { ':' };
            return self.fail(place, SourceError::NoKey { separator });
        }
        let Some(section) = self.section else {
            return self.fail(place, SourceError::NoSection { key: key.into() });
        };
        self.characters(Part::Key(key.as_str().into()), written, place);
        self.characters(Part::Value(key.as_str().into()), &rest[1..], place);
        self.value = Value::Open {
            section,
            key,
            value: rest[1..].trim().to_owned(),
            place,
        };
    }

    fn continuation(&mut self, line: &str, place: Place) {
        let text = line.trim();
        let key = match &mut self.value {
            Value::None => return self.fail(place, SourceError::NothingToContinue),
            Value::Faulty => return,
            Value::Open { key, value, .. } => {
                if !value.is_empty() {
                    value.push('\n');
                }
                value.push_str(text);
                Name::from(key.as_str())
            }
        };
        self.characters(Part::Value(key.clone()), line, place);
        if text.starts_with(['#', ';']) {
            self.fail(place, SourceError::IndentedComment { key });
        } else if let Some(text) = seems_to_stand_for_itself(text, self.known_key) {
            let text = text.into();
            self.fail(place, SourceError::IndentedLine { key, text });
        }
    }

    /// Stores the value, which can no longer be continued.
    fn finish_value(&mut self) {
        let Value::Open {
            section,
            key,
            value,
            place,
        } = std::mem::replace(&mut self.value, Value::None)
        else {
            return;
        };
        if let Some(spelling) = INHERIT.into_iter().find(|spelling| *spelling == key) {
            return self.parents(section, spelling, &value, place);
        }
        if key.starts_with('@')
            && let Some(meant) = misspelling::nearest(&key, INHERIT)
        {
            let (key, meant) = (key.as_str().into(), meant.into());
            self.fail(place, SourceError::UnknownDirective { key, meant });
        }
        let value = match Template::parse(&value) {
            Ok(template) => Some(template),
            Err(error) => {
                self.fail(place, error);
                None
            }
        };
        let assignment = Assignment { value, place };
        let keys = &mut self.sections.list[section].keys;
        if let Some(earlier) = keys.insert(key.clone(), assignment) {
            self.repeated(key.into(), earlier.place, place);
        }
    }

    fn parents(&mut self, section: usize, spelling: &'static str, value: &str, place: Place) {
        let mut names: Vec<String> = Vec::new();
        for name in value.split(|c: char| c == ',' || c.is_whitespace()) {
            if !name.is_empty() && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        let parents = Parents {
            names,
            place,
            spelling,
        };
        match self.sections.list[section].parents.replace(parents) {
            Some(earlier) if earlier.spelling != spelling => {
                self.fail(place, SourceError::TwoInherits);
            }
            Some(earlier) => self.repeated(spelling.into(), earlier.place, place),
            None => {}
        }
    }

    /// Reports a key that is assigned again in the same file. In another file, this is the way to
    /// override it.
    fn repeated(&mut self, key: Name, earlier: Place, place: Place) {
        if earlier.file == place.file {
            let first = self.report.location(earlier);
            self.fail(place, SourceError::Repeated { key, first });
        }
    }
}

/// The header or known key with which an indented line begins, if the line looks as if it were not
/// meant to continue the value before it. Any other word before an equals sign does not show this:
/// shell commands have many of these.
fn seems_to_stand_for_itself(text: &str, known_key: KnownKey) -> Option<&str> {
    if text.starts_with('[') && text.ends_with(']') {
        return Some(text);
    }
    let key = text
        .split(['=', ':'])
        .next()
        .filter(|key| key.len() < text.len())?;
    let key = key.trim();
    (known_key(key) || INHERIT.contains(&key)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Finding, Severity};
    use proptest::prelude::*;
    use std::path::Path;

    fn parse(files: &[&str]) -> (Sections, Vec<Finding>) {
        let mut sections = Sections::default();
        let mut report = Report::default();
        for (text, number) in files.iter().zip(1..) {
            let number = report.add_file(Path::new(&format!("file{number}")));
            file(
                number,
                text.as_bytes(),
                |key| key == "watch",
                &mut sections,
                &mut report,
            );
        }
        (sections, report.take_findings())
    }

    /// Section, key and value of everything assigned without substitutions.
    fn values(sections: &Sections) -> Vec<(&str, &str, &str)> {
        let mut values = Vec::new();
        for section in &sections.list {
            for (key, assignment) in &section.keys {
                let value = assignment.value.as_ref().and_then(Template::literal);
                values.push((section.name.as_str(), key.as_str(), value.unwrap_or("?")));
            }
        }
        values
    }

    #[test]
    fn every_kind_of_line_is_read() {
        let (sections, findings) = parse(&["# comment\n; comment = too\n\n[hub]\r\n\
             Watch = t\npeer: INET6 ::1 4070\nempty =\ntwo words=x\ncolon=a:b\nequals:a=b\n\
             connect = ssh hub\n  --now\n\n\t# comment?\n [laptop] \n[ other one ]\nx = 1\n"]);
        assert_eq!(
            values(&sections),
            [
                ("hub", "colon", "a:b"),
                ("hub", "connect", "ssh hub\n--now\n# comment?\n[laptop]"),
                ("hub", "empty", ""),
                ("hub", "equals", "a=b"),
                ("hub", "peer", "INET6 ::1 4070"),
                ("hub", "two words", "x"),
                ("hub", "watch", "t"),
                ("other one", "x", "1"),
            ]
        );
        assert_eq!(findings.len(), 2);
        assert!(findings.iter().all(|d| d.severity == Severity::Warning));
    }

    #[test]
    fn a_value_may_begin_on_its_continuation_line() {
        let (sections, findings) = parse(&["[a]\nconnect =\n  one\n  two\n"]);
        assert_eq!(values(&sections), [("a", "connect", "one\ntwo")]);
        assert_eq!(findings, []);
    }

    #[test]
    fn of_a_line_that_is_not_utf8_only_the_line_is_lost() {
        let mut sections = Sections::default();
        let mut report = Report::default();
        let number = report.add_file(Path::new("file1"));
        let text =
            b"# caf\xe9\n[a]\nx = 1\ny = caf\xe9\n more\nz = 1\n[caf\xe9]\nx = 2\n[b]\nx = 3";
        file(number, text, |_| false, &mut sections, &mut report);
        let findings: Vec<String> = report
            .take_findings()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].contains("file1:4: error: section [a]: the line is not UTF-8"));
        assert!(findings[1].contains("file1:7: error: the section's name is not UTF-8"));
        let values = values(&sections);
        let expected = [
            ("a", "x", "1"),
            ("a", "z", "1"),
            (NAMELESS, "x", "2"),
            ("b", "x", "3"),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn characters_that_are_hardly_meant_are_reported_where_they_are() {
        for (text, line, words) in [
            (
                "[h\u{200b}ub]\n",
                1,
                "section [h\\u{200b}ub]: the section's name has",
            ),
            (
                "[h\u{43e}st]\n",
                1,
                "the section's name has the character U+043E, which looks like o",
            ),
            ("[@\u{410}CTIVE]\n", 1, "looks like A"),
            (
                "\u{feff}[a]\n",
                1,
                "an invisible byte order mark, at 1 of 4",
            ),
            ("[a]\nw\u{430}tch = t\n", 2, "the key w\u{430}tch has"),
            ("[a]\nwatch\u{a0}= t\n", 2, "the key watch has"),
            ("[a]\nwatch = t\u{a0}\n", 2, "the value of watch has"),
            ("[a]\nwatch = t\n\u{3000}x\n", 3, "the value of watch has"),
            (
                "[a]\nwatch =\u{201c}t\u{201d}\n",
                2,
                "quotation mark, at 1 of 3",
            ),
            ("[a]\nnote = a\u{200b}b\n", 2, "the value of note has"),
            (
                "[a]\n@inherit = @\u{410}B\n",
                2,
                "the value of @inherit has",
            ),
            ("[a]\nwatch \u{ff1d} t\n", 2, "the line has"),
        ] {
            let (_, findings) = parse(&[text]);
            let found = findings.iter().find(|finding| {
                finding.severity == Severity::Warning && finding.to_string().contains(words)
            });
            let place = found.and_then(|found| found.location.as_ref());
            assert_eq!(
                place.map(|place| place.line),
                Some(line),
                "{text}: {findings:?}"
            );
        }
        let (_, findings) =
            parse(&["[caf\u{e9}]\nnote = \u{201c}\u{43f}\u{440}\u{201d} \u{2013}\n"]);
        assert_eq!(findings, []);
    }

    #[test]
    fn later_files_override_and_add() {
        let (sections, findings) = parse(&[
            "[a]\nx = 1\ny = 1\n[b]\nz = 1\n",
            "[b]\nz = 2\n[a]\nx = 2\n",
        ]);
        assert_eq!(
            values(&sections),
            [("a", "x", "2"), ("a", "y", "1"), ("b", "z", "2")]
        );
        assert_eq!(findings, []);
        let (sections, findings) = parse(&["[a]\nx = 1\nx = 2\n"]);
        assert_eq!(values(&sections), [("a", "x", "2")]);
        assert!(findings[0].message.contains("before, at file1:2"));
    }

    #[test]
    fn parents_are_separated_by_commas_or_blanks() {
        let (sections, findings) =
            parse(&["[a]\n@inherit = @X,@Y  @Z , @X\n[b]\n@inherits: @X\n[c]\n@inherit =\n[d]\n"]);
        let names = |index: usize| {
            let parents = sections.list[index].parents.as_ref();
            parents.map(|parents| parents.names.clone())
        };
        assert_eq!(names(0), Some(vec!["@X".into(), "@Y".into(), "@Z".into()]));
        assert_eq!(names(1), Some(vec!["@X".into()]));
        assert_eq!(names(2), Some(vec![]));
        assert_eq!(names(3), None);
        assert_eq!(findings, []);
        assert!(values(&sections).is_empty());
    }

    #[test]
    fn every_faulty_line_is_reported_with_its_place() {
        let table: &[(&str, u32, &str)] = &[
            ("x = 1\n", 1, "assigned outside any section"),
            ("[a]\nnonsense\n", 2, "\"nonsense\" is not an assignment"),
            ("[a]\n= 1\n", 2, "no key before the ="),
            ("[a]\n: 1\n", 2, "no key before the :"),
            (
                "[a]\n  x = 1\n",
                2,
                "no value that this line could continue",
            ),
            ("[a\nx = 1\n", 1, "a section is written [NAME]"),
            ("[]\n", 1, "a section is written [NAME]"),
            ("[a] # b\n", 1, "a section is written [NAME]"),
            ("[a]b]\n", 1, "a section is written [NAME]"),
            ("[a]\nx = $(y\n", 2, "$( is not closed by )"),
            ("[a]\nx = $[]\n", 2, "$[] has no name"),
            (
                "[a]\n@inherit = b\n@inherits = c\n",
                3,
                "both @inherit and @inherits",
            ),
            (
                "[a]\n@inherit = b\n@inherit = c\n",
                3,
                "assigned in this section before, at file1:2",
            ),
            ("[a]\n@inhert = b\n", 2, "was @inherit meant?"),
            (
                "[a]\nx = 1\n  watch = t\n",
                3,
                "part of the value of x: if watch",
            ),
            ("[a]\nx = 1\n  [b]\n", 3, "part of the value of x: if [b]"),
            ("[a]\nx = 1\n  # b\n", 3, "if it is a comment"),
        ];
        for (text, line, message) in table {
            let (_, findings) = parse(&[text]);
            let [finding] = findings.as_slice() else {
                unreachable!("{text:?}: {findings:?}");
            };
            let location = finding.location.as_ref().unwrap();
            assert_eq!(location.line, *line, "{text:?}");
            assert!(finding.to_string().contains(message), "{finding}");
        }
    }

    #[test]
    fn all_faults_are_reported_not_only_the_first() {
        let (_, findings) = parse(&["junk\n[a]\nmore junk\n  of it\n[b\nx = 1\n= 2\n"]);
        let lines: Vec<u32> = findings
            .iter()
            .map(|d| d.location.as_ref().unwrap().line)
            .collect();
        assert_eq!(lines, [1, 3, 5, 7]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            parse(&[&text]);
        }

        #[test]
        fn no_mixture_of_the_special_characters_makes_it_panic(
            text in "(\n|\\[|\\]|@inherit|[#;=: \t$()a-c\u{e9}]){0,60}"
        ) {
            parse(&[&text, &text]);
        }
    }
}
