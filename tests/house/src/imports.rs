// SPDX-License-Identifier: GPL-3.0-or-later
//! Which files of a crate use which others: not in a circle, and not against the layers.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::Findings;
use crate::source::{Source, attributes, is_for_tests};

/// The modules of one layer.
type Layer = &'static [&'static str];

/// The layers of a crate, from the top: a module may use those of lower layers, and itself. The
/// root of the crate is above all.
const LAYERS: [(&str, &[Layer]); 2] = [
    (
        "connect-cli",
        &[
            &["cli", "fuzzing", "schema"],
            &["commands"],
            &["completing"],
            &["common", "interrupt"],
            &["error"],
            &["client", "output", "tips"],
        ],
    ),
    (
        "connect-core",
        &[
            &["core_program", "fuzzing", "launcher"],
            &["startup"],
            &["event_loop"],
            &[
                "database_watch",
                "driver",
                "endpoints",
                "helper_process",
                "saved_state",
                "service_manager",
            ],
            &["lock_watch"],
            &["stopping"],
            &["daemonize", "options"],
            &["kept_database", "replay"],
            &[
                "admin_link",
                "readiness",
                "recording",
                "restarts",
                "save_times",
                "signals",
                "state_file",
                "trace",
            ],
            &["machine", "retry", "secrets"],
            &["for_people", "server_run"],
        ],
    ),
];

/// For each file of a crate, those that it uses.
type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Checks every crate of the product.
pub(crate) fn check(sources: &[Source], findings: &mut Findings) {
    let product = || sources.iter().filter(|source| !source.is_test);
    let packages: BTreeSet<&str> = product().filter_map(|s| s.package.as_deref()).collect();
    for package in packages {
        let files: Vec<&Source> = product()
            .filter(|source| source.package.as_deref() == Some(package))
            .collect();
        let graph = graph(package, &files);
        circles(&graph, findings);
        for (name, layers) in LAYERS {
            if name == package {
                check_layers(layers, &files, &graph, findings);
            }
        }
    }
}

/// Finds out which files of a crate use which others.
fn graph<'a>(package: &str, files: &[&'a Source]) -> Graph<'a> {
    let modules: BTreeMap<&[String], &'a str> = files
        .iter()
        .filter_map(|file| Some((file.module.as_deref()?, file.path.as_str())))
        .collect();
    let directory = package.rsplit('/').next().unwrap_or(package);
    let name = directory.replace('-', "_");
    let mut graph = Graph::new();
    for file in files {
        let mut paths = Paths::default();
        paths.visit_file(&file.syntax);
        let here = file.module.as_deref();
        let used = paths
            .0
            .iter()
            .filter_map(|path| resolve(path, here, &name, &modules))
            .filter(|used| *used != file.path);
        graph.insert(&file.path, used.collect());
    }
    graph
}

/// The file that a path in the module `here` leads to; `None` if it leads out of the crate. Only a
/// program's own file has no module; it uses the library by the crate's name.
fn resolve<'a>(
    path: &[String],
    here: Option<&[String]>,
    name: &str,
    modules: &BTreeMap<&[String], &'a str>,
) -> Option<&'a str> {
    let (first, rest) = path.split_first()?;
    let mut whole: Vec<String> = match (first.as_str(), here) {
        ("crate", Some(_)) => Vec::new(),
        (first, None) if first == name => Vec::new(),
        (_, None) => return None,
        ("self" | "super", Some(here)) => here.to_vec(),
        // A module below this one, or something from elsewhere.
        (first, Some(here)) => {
            let below = [here, &[first.to_owned()]].concat();
            modules.contains_key(below.as_slice()).then_some(below)?
        }
    };
    if first == "super" {
        whole.pop();
    }
    for name in rest {
        match name.as_str() {
            "super" => drop(whole.pop()),
            name => whole.push(name.to_owned()),
        }
    }
    // What comes after the last module is something in it.
    (0..=whole.len())
        .rev()
        .find_map(|length| modules.get(&whole[..length]).copied())
}

/// Collects every path that is written in a file, except in tests.
#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl Paths {
    fn tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) if name.ident == "self" => self.0.push(before.to_vec()),
            syn::UseTree::Name(name) => self.0.push(with(&name.ident)),
            syn::UseTree::Rename(name) => self.0.push(with(&name.ident)),
            syn::UseTree::Glob(_) => self.0.push(before.to_vec()),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, before);
                }
            }
        }
    }

    /// The paths in the arguments of a macro: names with two colons between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.0.push(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    self.0.push(std::mem::take(&mut path));
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.0.push(std::mem::take(&mut path));
                }
            }
        }
        self.0.push(path);
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|part| part.ident.to_string());
        self.0.push(names.collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.tokens(called.tokens.clone());
    }

    // A path such as `pub(in crate::a)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

/// Finds the files that lead back to themselves.
fn circles(graph: &Graph<'_>, findings: &mut Findings) {
    let reached: BTreeMap<&str, BTreeSet<&str>> = graph
        .keys()
        .map(|file| (*file, reachable(file, graph)))
        .collect();
    for (file, reaches) in &reached {
        if reaches.contains(file) {
            let others = reaches
                .iter()
                .filter(|other| *other != file && reached[*other].contains(file));
            let others: Vec<&str> = others.copied().collect();
            let finding = format!("circle of imports: {file}");
            findings.insert(finding, format!("with {}", others.join(", ")));
        }
    }
}

/// The files that a file leads to, by one step or many.
fn reachable<'a>(file: &str, graph: &Graph<'a>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&str> = vec![file];
    while let Some(file) = left.pop() {
        for next in graph.get(file).into_iter().flatten() {
            if reached.insert(*next) {
                left.push(next);
            }
        }
    }
    reached
}

/// Finds the imports that lead up, or to a module beside.
fn check_layers(layers: &[Layer], files: &[&Source], graph: &Graph<'_>, findings: &mut Findings) {
    let top = |path: &str| {
        let file = files.iter().find(|file| file.path == path)?;
        file.module.as_ref()?.first().map(String::as_str)
    };
    let layer = |module: &str| layers.iter().position(|layer| layer.contains(&module));
    for (file, used) in graph {
        // The root is above all, and programs are above the root.
        let Some(module) = top(file) else { continue };
        let Some(height) = layer(module) else {
            let finding = format!("module without a layer: {file}");
            findings.insert(
                finding,
                "add it to its layer in LAYERS, in tests/house/src/imports.rs".to_owned(),
            );
            continue;
        };
        for other in used {
            let below = top(other).is_some_and(|other| {
                other == module || layer(other).is_some_and(|other| other > height)
            });
            if !below {
                let finding = format!("import against the layers: {file} of {other}");
                findings.insert(
                    finding,
                    "a module uses only lower layers: see LAYERS in tests/house/src/imports.rs"
                        .to_owned(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Vec<Source> {
        let parse = |(path, text): &(&str, &str)| {
            Source::parse(format!("connect-cli/src/{path}"), (*text).to_owned()).unwrap()
        };
        files.iter().map(parse).collect()
    }

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let mut findings = Findings::new();
        check(&sources(files), &mut findings);
        findings.into_keys().collect()
    }

    #[test]
    fn every_way_of_writing_a_path_is_followed() {
        for text in [
            "use crate::client::Client;",
            "use super::{client::{self, Client}};",
            "use crate::client::*;",
            "fn f() { crate::client::ask(); }",
            "fn f() { println!(\"{}\", crate::client::ask(1)); }",
            "type T = Option<super::client::Client>;",
        ] {
            let sources = sources(&[("lib.rs", ""), ("client.rs", ""), ("common.rs", text)]);
            let files: Vec<&Source> = sources.iter().collect();
            let graph = graph("connect-cli", &files);
            let used: Vec<&str> = graph["connect-cli/src/common.rs"].iter().copied().collect();
            assert_eq!(used, ["connect-cli/src/client.rs"], "{text}");
        }
    }

    #[test]
    fn circles_are_found_and_tests_make_none() {
        let files = [
            ("lib.rs", "mod output; mod client;"),
            ("output/mod.rs", "mod a; mod b; use a::A;"),
            ("output/a.rs", "use super::b::B;"),
        ];
        let with = |b| found(&[&files[..], &[("output/b.rs", b)]].concat());
        assert!(with("#[cfg(test)] mod tests { use super::super::X; }").is_empty());
        assert_eq!(
            with("use crate::output::X;"),
            ["a.rs", "b.rs", "mod.rs"]
                .map(|file| format!("circle of imports: connect-cli/src/output/{file}"))
        );
    }

    #[test]
    fn layers_lead_down() {
        assert!(found(&[("cli.rs", "use crate::client::X;"), ("client.rs", "")]).is_empty());
        assert_eq!(
            found(&[
                ("lib.rs", ""),
                ("client.rs", "use crate::output::Y;"),
                ("error.rs", "use crate::cli::X;"),
                ("cli.rs", ""),
                ("output.rs", "use crate::X;"),
                ("new.rs", ""),
            ]),
            [
                "import against the layers: connect-cli/src/client.rs of connect-cli/src/output.rs",
                "import against the layers: connect-cli/src/error.rs of connect-cli/src/cli.rs",
                "import against the layers: connect-cli/src/output.rs of connect-cli/src/lib.rs",
                "module without a layer: connect-cli/src/new.rs",
            ]
        );
    }
}
