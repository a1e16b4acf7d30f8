// SPDX-License-Identifier: GPL-3.0-or-later
//! How long functions, files and comments may be, and how many fields a struct may have.

use proc_macro2::Span;
use syn::visit::{self, Visit};

use crate::Findings;
use crate::source::{Source, attributes, is_for_tests};

/// The most lines of logic of a function.
const FUNCTION: usize = 60;

/// The most lines of logic of a file.
const FILE: usize = 400;

/// The door into core's machine, which only routes, and its most lines of logic.
const DOOR: (&str, usize) = ("connect-core/src/machine/mod.rs", 150);

/// The most fields of a struct.
const FIELDS: usize = 12;

/// The most columns of a line with a comment.
const COLUMNS: usize = 100;

/// Structs that are printed as JSON and may have as many fields as there are things to tell.
const REPORTS: [&str; 3] = ["PeerReport", "ServiceReport", "ServiceStatus"];

/// Checks every file for comments, and those of the product for the rest.
pub(crate) fn check(sources: &[Source], findings: &mut Findings) {
    for source in sources {
        let path = &source.path;
        let wide = (1..).zip(source.text.lines()).filter(|(_, line)| {
            line.trim_start().starts_with("//") && line.chars().count() > COLUMNS
        });
        let wide: Vec<String> = wide.map(|(number, _)| number.to_string()).collect();
        if !wide.is_empty() {
            let finding = format!("comment of over {COLUMNS} columns: {path}");
            findings.insert(finding, format!("lines {}", wide.join(", ")));
        }
        if source.package.is_none() || source.is_test {
            continue;
        }
        let lines = source.logic(1..=usize::MAX);
        let most = if *path == DOOR.0 { DOOR.1 } else { FILE };
        if lines > most {
            let finding = format!("file of over {most} lines: {path}");
            findings.insert(finding, format!("{lines} lines"));
        }
        Sizes { source, findings }.visit_file(&source.syntax);
    }
}

struct Sizes<'a> {
    source: &'a Source,
    findings: &'a mut Findings,
}

impl Sizes<'_> {
    fn function(&mut self, signature: &syn::Signature, end: Span) {
        let start = signature.fn_token.span.start().line;
        let lines = self.source.logic(start..=end.end().line);
        if lines > FUNCTION {
            let finding = format!(
                "function of over {FUNCTION} lines: {} {}",
                self.source.path, signature.ident
            );
            self.findings.insert(finding, format!("{lines} lines"));
        }
    }
}

impl<'ast> Visit<'ast> for Sizes<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, item.block.brace_token.span.close());
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, item.block.brace_token.span.close());
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        let name = item.ident.to_string();
        let fields = item.fields.len();
        let may = name.ends_with("Options") || REPORTS.contains(&name.as_str());
        if fields > FIELDS && !may {
            let finding = format!(
                "struct of over {FIELDS} fields: {} {name}",
                self.source.path
            );
            self.findings.insert(finding, format!("{fields} fields"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: String) -> Vec<String> {
        let source = Source::parse("lib/x/src/y.rs".into(), text).unwrap();
        let mut findings = Findings::new();
        check(&[source], &mut findings);
        findings.into_keys().collect()
    }

    #[test]
    fn what_is_too_long_is_found() {
        let function = |lines| format!("fn long() {{\n{}}}\n", "work();\n".repeat(lines));
        assert!(found(function(FUNCTION - 2)).is_empty());
        assert_eq!(
            found(function(FUNCTION - 1)),
            ["function of over 60 lines: lib/x/src/y.rs long"]
        );
        assert_eq!(
            found("fn short() {}\n".repeat(FILE + 1)),
            ["file of over 400 lines: lib/x/src/y.rs"]
        );
        assert_eq!(
            found(format!("// {}\n", "x".repeat(COLUMNS))),
            ["comment of over 100 columns: lib/x/src/y.rs"]
        );
    }

    #[test]
    fn only_options_and_listed_reports_may_have_many_fields() {
        let with_fields = |name: &str| {
            let fields: String = (0..=FIELDS).map(|at| format!("f{at}: u8,")).collect();
            found(format!("struct {name} {{ {fields} }}"))
        };
        assert_eq!(
            with_fields("Machine"),
            ["struct of over 12 fields: lib/x/src/y.rs Machine"]
        );
        assert_eq!(with_fields("OtherReport").len(), 1);
        assert!(with_fields("PeerReport").is_empty());
        assert!(with_fields("CoreOptions").is_empty());
    }
}
