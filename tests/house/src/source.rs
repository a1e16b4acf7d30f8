// SPDX-License-Identifier: GPL-3.0-or-later
//! The source files: which crate and module each is, and which of its lines are logic.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The directories that have sources.
const DIRECTORIES: [&str; 7] = [
    "connect-cli",
    "connect-core",
    "connect-ifscripts",
    "connect-pinger",
    "fuzz",
    "lib",
    "tests",
];

/// One source file.
pub(crate) struct Source {
    /// Its path from the root of the workspace.
    pub(crate) path: String,
    /// The directory of its crate, if the crate is part of the product.
    pub(crate) package: Option<String>,
    /// Its module's path in the crate; `None` for a program's own file.
    pub(crate) module: Option<Vec<String>>,
    /// Whether it is only compiled for tests.
    pub(crate) is_test: bool,
    pub(crate) text: String,
    pub(crate) syntax: syn::File,
    /// The lines of logic: not blank, no comment, no test. Counted from 1.
    logic: BTreeSet<usize>,
}

/// Whether something is only compiled for tests.
pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// The attributes of an item of any kind that can be for tests.
pub(crate) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Collects the lines of tests.
#[derive(Default)]
struct TestLines(Vec<RangeInclusive<usize>>);

impl TestLines {
    fn add(&mut self, spanned: &impl Spanned) {
        let span = spanned.span();
        self.0.push(span.start().line..=span.end().line);
    }
}

impl<'ast> Visit<'ast> for TestLines {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_for_tests(attributes(item)) {
            self.add(item);
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if is_for_tests(&item.attrs) {
            self.add(item);
        }
    }
}

impl Source {
    /// Reads every source file of the workspace.
    pub(crate) fn read_all(root: &Path) -> anyhow::Result<Vec<Source>> {
        let mut paths = Vec::new();
        for directory in DIRECTORIES {
            find(&root.join(directory), &mut paths)?;
        }
        paths.sort();
        let mut sources = paths
            .iter()
            .map(|path| Source::read(root, path))
            .collect::<anyhow::Result<Vec<_>>>()?;
        mark_tests(&mut sources);
        Ok(sources)
    }

    fn read(root: &Path, path: &Path) -> anyhow::Result<Source> {
        let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        let path = path.strip_prefix(root)?.display().to_string();
        Source::parse(path, text)
    }

    /// Takes a file apart.
    pub(crate) fn parse(path: String, text: String) -> anyhow::Result<Source> {
        let syntax = syn::parse_file(&text).with_context(|| format!("cannot parse {path}"))?;
        let mut tests = TestLines::default();
        tests.visit_file(&syntax);
        let logic = (1..)
            .zip(text.lines().map(str::trim))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
            .map(|(number, _)| number)
            .filter(|number| !tests.0.iter().any(|range| range.contains(number)))
            .collect();
        let inside = path.split_once("/src/");
        let (package, module) = match inside {
            Some((package, file))
                if package.starts_with("connect-") || path.starts_with("lib/") =>
            {
                (Some(package.to_owned()), module_of(file))
            }
            _ => (None, None),
        };
        Ok(Source {
            path,
            package,
            module,
            is_test: false,
            text,
            syntax,
            logic,
        })
    }

    /// How many lines of logic there are in a range of lines, or in the whole file.
    pub(crate) fn logic(&self, lines: RangeInclusive<usize>) -> usize {
        self.logic.range(lines).count()
    }
}

/// The module that a file under `src` is; `None` for that of a program.
fn module_of(file: &str) -> Option<Vec<String>> {
    if file == "main.rs" || file.starts_with("bin/") {
        return None;
    }
    let name = file.trim_end_matches(".rs");
    let name = name.strip_suffix("/mod").unwrap_or(name);
    if name == "lib" {
        return Some(Vec::new());
    }
    Some(name.split('/').map(str::to_owned).collect())
}

fn find(directory: &Path, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("{}", directory.display()))? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                find(&path, paths)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// Marks the files of modules that are declared for tests only, and those below them.
fn mark_tests(sources: &mut [Source]) {
    let mut tests = Vec::new();
    for source in sources.iter() {
        for item in &source.syntax.items {
            if let syn::Item::Mod(declared) = item
                && declared.content.is_none()
                && is_for_tests(&declared.attrs)
                && let Some(module) = &source.module
            {
                let module = [&module[..], &[declared.ident.to_string()]].concat();
                tests.push((source.package.clone(), module));
            }
        }
    }
    for source in sources {
        source.is_test = source.module.as_ref().is_some_and(|module| {
            let below = |test: &[String]| module.starts_with(test);
            tests
                .iter()
                .any(|(package, test)| *package == source.package && below(test))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_comments_and_tests_are_no_logic() {
        let text = "\
            // comment\n\
            \n\
            fn one() {\n\
            \x20   // why\n\
            \x20   two();\n\
            }\n\
            #[cfg(test)]\n\
            mod tests {\n\
            \x20   fn three() {}\n\
            }\n";
        let source = Source::parse("lib/x/src/y.rs".into(), text.into()).unwrap();
        assert_eq!(source.logic(1..=usize::MAX), 3);
        assert_eq!(source.package.as_deref(), Some("lib/x"));
    }

    #[test]
    fn files_are_modules() {
        let module = |file| module_of(file).map(|module| module.join("::"));
        assert_eq!(module("lib.rs").unwrap(), "");
        assert_eq!(module("a/mod.rs").unwrap(), "a");
        assert_eq!(module("a/b.rs").unwrap(), "a::b");
        assert_eq!(module("bin/x.rs"), None);
    }
}
