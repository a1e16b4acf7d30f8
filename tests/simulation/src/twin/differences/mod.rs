// SPDX-License-Identifier: GPL-3.0-or-later
//! The named differences between product and manual. Their texts make the page of differences.

mod claims;
mod list;
mod page;

use super::compare::Divergence;
use super::history::History;

pub use list::all;
pub use page::page;

/// One thing in which the product differs from the manual on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// A short name.
    pub name: &'static str,
    /// Where it is written down.
    pub written: Written,
    /// What shows it.
    pub shown: Shown,
}

/// Where a difference is written down.
#[derive(Clone, Copy, Debug)]
pub enum Written {
    /// On the page of differences, as this paragraph of this section.
    Page {
        /// The section.
        section: &'static str,
        /// The paragraph.
        text: &'static str,
    },
    /// In the table of conformance.md, since the manual is silent or another manual says it: in the
    /// row with this subject and this statement.
    Table {
        /// The subject.
        subject: &'static str,
        /// The statement.
        statement: &'static str,
    },
}

/// What shows a difference.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    /// A twin: whether it explains this divergence in this history.
    Twin(fn(&Divergence, &History) -> bool),
    /// This scenario test, named as in conformance.md.
    Scenario(&'static str),
    /// This test of core's machine, by its file and name: no scenario has what it needs.
    Machine(&'static str, &'static str),
}

/// The difference that explains a divergence. The first of the list counts, since some explain
/// everything that follows from them.
#[must_use]
pub fn explanation(divergence: &Divergence, history: &History) -> Option<&'static Difference> {
    all().iter().find(|difference| match difference.shown {
        Shown::Twin(explains) => explains(divergence, history),
        Shown::Scenario(_) | Shown::Machine(..) => false,
    })
}
