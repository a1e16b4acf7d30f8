// SPDX-License-Identifier: GPL-3.0-or-later
//! Which assignments are visible from a section: its own, and those of its parents.

use super::parse::{Assignment, Sections};
use super::report::{Report, SourceError};
use crate::misspelling;
use crate::side_by_side::side_by_side;

/// The section that all sections without parents of their own inherit from.
pub(super) const GLOBAL: &str = "@GLOBAL";

/// The assignments that give one key its value: one, or several that have to agree.
#[derive(Clone, Debug)]
pub(crate) struct Supply<'s> {
    pub(crate) first: &'s Assignment,
    /// Those of further parents; usually there are none.
    pub(crate) others: Vec<&'s Assignment>,
}

impl<'s> Supply<'s> {
    fn all(&self) -> impl Iterator<Item = &'s Assignment> + '_ {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }

    fn add(&mut self, more: &Supply<'s>) {
        for assignment in more.all() {
            if !self.all().any(|known| std::ptr::eq(known, assignment)) {
                self.others.push(assignment);
            }
        }
    }
}

/// Everything visible from one section, sorted by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visible<'s>(pub(crate) Vec<(&'s str, Supply<'s>)>);

impl<'s> Visible<'s> {
    /// The index of `key`.
    pub(crate) fn find(&self, key: &str) -> Option<usize> {
        self.0.binary_search_by(|(name, _)| (*name).cmp(key)).ok()
    }

    /// What is visible here or in `more`, with `resolve` for a key that is visible in both.
    fn merge(
        self,
        more: impl IntoIterator<Item = (&'s str, Supply<'s>)>,
        mut resolve: impl FnMut(&mut Supply<'s>, Supply<'s>),
    ) -> Self {
        let pairs = side_by_side(self.0, more, |(a, _), (b, _)| a.cmp(b));
        let merged = pairs.filter_map(|pair| match pair {
            (Some((key, mut supply)), Some((_, other))) => {
                resolve(&mut supply, other);
                Some((key, supply))
            }
            (mine, more) => mine.or(more),
        });
        Visible(merged.collect())
    }
}

/// What is visible from each section. `None` for a section whose parents are missing or form a
/// circle, which is reported, and for those that inherit from it.
pub(crate) fn visible<'s>(sections: &'s Sections, report: &mut Report) -> Vec<Option<Visible<'s>>> {
    let graph = Graph::new(sections, report);
    let mut all: Vec<Option<Visible<'s>>> = vec![None; sections.list.len()];
    for index in graph.parents_first {
        let Some(parents) = &graph.parents[index] else {
            continue;
        };
        let mut given = parents.iter().map(|parent| all[*parent].as_ref());
        let first = given
            .next()
            .map_or_else(|| Some(Visible::default()), Option::<&Visible>::cloned);
        let inherited = given.fold(first, |inherited, parent| {
            let more = parent?.0.iter().cloned();
            Some(inherited?.merge(more, |supply, more| supply.add(&more)))
        });
        let own = sections.list[index].keys.iter().map(|(key, assignment)| {
            let supply = Supply {
                first: assignment,
                others: Vec::new(),
            };
            (key.as_str(), supply)
        });
        all[index] = inherited.map(|inherited| inherited.merge(own, |supply, own| *supply = own));
    }
    all
}

/// Who inherits from whom.
struct Graph {
    /// The parents of each section; `None` where they cannot be used.
    parents: Vec<Option<Vec<usize>>>,
    /// All sections, each after its parents.
    parents_first: Vec<usize>,
}

impl Graph {
    fn new(sections: &Sections, report: &mut Report) -> Self {
        let global = sections.find(GLOBAL);
        let parents = sections
            .list
            .iter()
            .map(|section| {
                let Some(named) = &section.parents else {
                    let inherited = global.filter(|_| section.name != GLOBAL);
                    return Some(Vec::from_iter(inherited));
                };
                let mut found = Some(Vec::with_capacity(named.names.len()));
                for name in &named.names {
                    match (sections.find(name), &mut found) {
                        (Some(index), Some(found)) => found.push(index),
                        (Some(_), None) => {}
                        (None, _) => {
                            let names = sections.list.iter().map(|section| section.name.as_str());
                            let error = SourceError::NoParent {
                                parent: name.as_str().into(),
                                nearest: misspelling::nearest(name, names).map(Into::into),
                            };
                            report.push(named.place, Some(&section.name), error);
                            found = None;
                        }
                    }
                }
                found
            })
            .collect();
        let mut graph = Graph {
            parents,
            parents_first: Vec::with_capacity(sections.list.len()),
        };
        graph.sort(sections, report);
        graph
    }

    /// Puts the sections in order, and removes the parents of those that form a circle.
    ///
    /// The walk keeps its own stack: a chain of ten thousand sections must not exhaust the
    /// thread's.
    fn sort(&mut self, sections: &Sections, report: &mut Report) {
        #[derive(Clone, Copy, Eq, PartialEq)]
        enum Visit {
            New,
            Open,
            Done,
        }
        let mut visits = vec![Visit::New; self.parents.len()];
        let mut circular = Vec::new();
        for root in 0..self.parents.len() {
            let mut path: Vec<(usize, usize)> = Vec::new();
            if visits[root] == Visit::New {
                visits[root] = Visit::Open;
                path.push((root, 0));
            }
            while let Some((section, next)) = path.last_mut() {
                let parents = self.parents[*section].as_deref().unwrap_or_default();
                let Some(parent) = parents.get(*next).copied() else {
                    visits[*section] = Visit::Done;
                    self.parents_first.push(*section);
                    path.pop();
                    continue;
                };
                *next += 1;
                match visits[parent] {
                    Visit::New => {
                        visits[parent] = Visit::Open;
                        path.push((parent, 0));
                    }
                    Visit::Open => {
                        let start = path.iter().position(|(section, _)| *section == parent);
                        let circle = &path[start.unwrap_or_default()..];
                        circular.extend(circle.iter().map(|(section, _)| *section));
                        let mut names: Vec<String> = circle
                            .iter()
                            .map(|(section, _)| sections.list[*section].name.clone())
                            .collect();
                        names.push(sections.list[parent].name.clone());
                        let section = &sections.list[parent];
                        let place = section
                            .parents
                            .as_ref()
                            .map_or(section.place, |parents| parents.place);
                        let error = SourceError::InheritanceCycle { path: names };
                        report.push(place, Some(&section.name), error);
                    }
                    Visit::Done => {}
                }
            }
        }
        for section in circular {
            self.parents[section] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::parse;
    use std::fmt::Write;
    use std::path::Path;

    /// The keys visible from each section with the lines that supply them, and the messages.
    fn look(text: &str) -> (Vec<String>, Vec<String>) {
        let mut sections = Sections::default();
        let mut report = Report::default();
        let file = report.add_file(Path::new("f"));
        parse::file(file, text.as_bytes(), |_| false, &mut sections, &mut report);
        let lines = sections
            .list
            .iter()
            .zip(visible(&sections, &mut report))
            .map(|(section, visible)| {
                let mut line = section.name.clone();
                for (key, supply) in visible.map(|visible| visible.0).into_iter().flatten() {
                    let places: Vec<String> =
                        supply.all().map(|a| a.place.line.to_string()).collect();
                    write!(line, " {key}:{}", places.join("+")).unwrap();
                }
                line
            })
            .collect();
        let findings = report.take_findings();
        (lines, findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn own_keys_come_before_the_parents_and_global_is_the_last_resort() {
        let (lines, messages) = look(
            "[@GLOBAL]\na = 1\nb = 1\n[@P]\nb = 2\nc = 2\n[peer]\n@inherit = @P\nc = 3\nd = 3\n\
             [alone]\n@inherit =\ne = 4\n[plain]\n",
        );
        assert_eq!(
            lines,
            [
                "@GLOBAL a:2 b:3",
                "@P a:2 b:5 c:6",
                "peer a:2 b:5 c:9 d:10",
                "alone e:13",
                "plain a:2 b:3",
            ]
        );
        assert!(messages.is_empty());
    }

    #[test]
    fn several_parents_supply_together_and_a_common_ancestor_once() {
        let (lines, _) = look(
            "[@G]\na = 1\n[@P]\n@inherit = @G\nb = 2\n[@Q]\n@inherit = @G\nb = 3\nc = 3\n\
             [peer]\n@inherit = @P, @Q\n[own]\n@inherit = @P, @Q\nb = 4\n",
        );
        assert_eq!(lines[3], "peer a:2 b:5+8 c:9");
        assert_eq!(lines[4], "own a:2 b:14 c:9");
    }

    #[test]
    fn the_order_of_the_source_does_not_matter() {
        let (lines, messages) = look("[peer]\n@inherit = @P\n[@P]\n@inherit = @Q\n[@Q]\na = 1\n");
        assert_eq!(lines, ["peer a:6", "@P a:6", "@Q a:6"]);
        assert!(messages.is_empty());
    }

    #[test]
    fn missing_parents_are_named_and_children_are_spared() {
        let (lines, messages) =
            look("[@ACTIVE]\na = 1\n[peer]\n@inherit = @ACTVE, @B\n[child]\n@inherit = peer\n");
        assert_eq!(lines, ["@ACTIVE a:2", "peer", "child"]);
        assert_eq!(
            messages,
            [
                "f:4: error: section [peer]: there is no section [@ACTVE] to inherit from (was \
                 @ACTIVE meant?): define it, or correct the name",
                "f:4: error: section [peer]: there is no section [@B] to inherit from: define it, \
                 or correct the name",
            ]
        );
    }

    #[test]
    fn circles_are_errors_once() {
        let (lines, messages) = look(
            "[a]\n@inherit = b\n[b]\n@inherit = c\n[c]\n@inherit = a\n[d]\n@inherit = b\n[e]\n\
             @inherit = e\n[f]\nx = 1\n",
        );
        assert_eq!(lines, ["a", "b", "c", "d", "e", "f x:12"]);
        assert_eq!(messages.len(), 2);
        assert!(
            messages[0].contains("in a circle (a from b from c from a)"),
            "{messages:?}"
        );
        assert!(
            messages[1].contains("in a circle (e from e)"),
            "{messages:?}"
        );
    }

    #[test]
    fn global_may_not_inherit_from_its_heirs() {
        let (lines, messages) = look("[@GLOBAL]\n@inherit = @P\n[@P]\na = 1\n");
        assert_eq!(lines, ["@GLOBAL", "@P"]);
        assert!(messages[0].contains("in a circle"), "{messages:?}");
    }

    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let mut text = String::from("[s0]\nx = 1\n");
        for n in 1..20_000 {
            write!(text, "[s{n}]\n@inherit = s{}\n", n - 1).unwrap();
        }
        let (lines, messages) = look(&text);
        assert_eq!(lines[19_999], "s19999 x:2");
        assert!(messages.is_empty());
    }
}
