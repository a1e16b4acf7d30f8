// SPDX-License-Identifier: GPL-3.0-or-later
//! The compiler of peers.in(5): from source files to the records of a peer database.
//!
//! # The language
//!
//! A source is lines. A line that starts with `#` or `;` is a comment. `[NAME]` begins a section,
//! or goes on with one that began earlier, also in another file. `KEY = VALUE` or `KEY: VALUE`
//! assigns; a later assignment of the same key in the same section takes the place of an earlier
//! one, and keys are folded to lower case. A line that starts with white space continues the value
//! before it, on a new line of that value.
//!
//! A section whose name starts with `@` is abstract: it only gives to others. One whose name starts
//! with `$` becomes a local record. Every other is a peer.
//!
//! `@inherit = PARENT, ...` (or `@inherits`) names the sections that supply the keys which a
//! section lacks; if several supply one, they must agree on its value. A section without it
//! inherits from `@GLOBAL`, if there is such a section; an empty one inherits from none.
//!
//! In a value, `$(KEY)` stands for the value of `KEY` as seen from the section that is being
//! compiled, and `$[HOST]` for the address of a host: `$4[HOST]` for an IPv4 and `$6[HOST]` for an
//! IPv6 address, `$*[HOST]` for all addresses, separated by spaces. Without a flag an IPv4 address
//! is preferred; of several the lowest is taken, so that compiling twice gives the same. What is
//! substituted is not looked at again, so a `$(` that is meant for a shell can be written with the
//! help of a key of its own: `dollar = $` and then `$(dollar)(hostname)`.
//!
//! `name` is the section's name unless it is assigned. `user = USER` makes the user record that
//! `passive` looks for, and `auto = true` puts the peer on the list of those to be added at
//! start-up.
//!
//! # Use
//!
//! ```no_run
//! use peerdb::source::{Source, SystemResolver};
//!
//! let source = Source::read(["/etc/tripe/peers.d"], |key| key == "peer");
//! let compilation = source.compile(&SystemResolver::default());
//! for finding in compilation.findings() {
//!     eprintln!("{finding}");
//! }
//! if !compilation.has_errors() {
//!     compilation.writer().write("/etc/tripe/peers.cdb")?;
//! }
//! # Ok::<(), peerdb::WriteError>(())
//! ```

mod backup;
mod compile;
mod files;
mod inherit;
mod parse;
mod report;
mod resolve;
mod substitute;
mod template;

pub use compile::Compilation;
pub use parse::KnownKey;
pub use resolve::{ResolveError, Resolver, SystemResolver};
pub use template::Families;

use std::path::Path;

use inherit::GLOBAL;
use parse::Sections;
use report::Report;

/// Source files, read and parsed.
#[derive(Debug)]
pub struct Source {
    sections: Sections,
    report: Report,
}

impl Source {
    /// Reads and parses files and directories, in the order given. Of a directory all plain files
    /// are read, sorted by name, but for hidden ones and for backups, which are reported, as is
    /// whatever else is there; directories in it are not looked into.
    ///
    /// Nothing fails here: what is wrong comes out as the findings of the compilation.
    #[must_use]
    pub fn read<I>(paths: I, known_key: KnownKey) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<Path>,
    {
        let mut report = Report::default();
        let mut sections = Sections::default();
        for path in paths {
            files::each(path.as_ref(), &mut report, |file, text, report| {
                parse::file(file, text, known_key, &mut sections, report);
            });
        }
        Source { sections, report }
    }

    /// Parses texts as if they were files of the given names, in the order given.
    #[must_use]
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
        known_key: KnownKey,
    ) -> Self {
        let mut report = Report::default();
        let mut sections = Sections::default();
        for (name, text) in texts {
            let file = report.add_file(Path::new(name));
            parse::file(file, text.as_bytes(), known_key, &mut sections, &mut report);
        }
        Source { sections, report }
    }

    /// As [`Source::read`], from the bytes of a file of this name.
    #[cfg(fuzzing)]
    #[must_use]
    pub fn of_bytes(name: &str, bytes: &[u8], known_key: KnownKey) -> Self {
        let mut report = Report::default();
        let mut sections = Sections::default();
        let file = report.add_file(Path::new(name));
        files::content(bytes, file, &mut report, |file, text, report| {
            parse::file(file, text, known_key, &mut sections, report);
        });
        Source { sections, report }
    }

    /// Assigns `value` to `key` in the section `@GLOBAL`, as a file would that is read after all
    /// others; what is wrong with it is told as of a file named `from`. Neither may have a line
    /// end.
    pub fn define(&mut self, from: &str, key: &str, value: &str, known_key: KnownKey) {
        let file = self.report.add_file(Path::new(from));
        let text = format!("[{GLOBAL}]\n{key} = {value}\n");
        let (sections, report) = (&mut self.sections, &mut self.report);
        parse::file(file, text.as_bytes(), known_key, sections, report);
    }

    /// Compiles every section, asking `resolver` for the addresses of hosts.
    ///
    /// All faults are collected; a section that has one gives no record.
    #[must_use]
    pub fn compile(self, resolver: &dyn Resolver) -> Compilation {
        compile::compile(&self.sections, self.report, resolver)
    }
}
