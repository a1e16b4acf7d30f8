// SPDX-License-Identifier: GPL-3.0-or-later
//! Standard output as lines, tables or JSON, with colours on a terminal.

pub(crate) mod change_text;
pub(crate) mod event_text;
pub(crate) mod json;
pub(crate) mod knock_text;
pub(crate) mod lookup_text;
pub(crate) mod note_words;
pub(crate) mod overdue_text;
pub(crate) mod paint;
pub(crate) mod peer_text;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod script_report;
pub(crate) mod script_text;
pub(crate) mod status_text;
pub(crate) mod summary;
pub(crate) mod table;
pub(crate) mod text;

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};

use serde::Serialize;

use self::paint::Paint;
use self::table::{Cell, Table};

/// The version of what `--json` prints. It is raised when a field changes its meaning or goes away;
/// new fields do not raise it.
pub(crate) const SCHEMA: u32 = 1;

/// The width of tables if neither the terminal nor the environment gives one.
const WIDTH: usize = 80;

/// Where the result of a command goes. What comes from elsewhere cannot command a terminal: there,
/// whatever is written is cleaned. Into a file or a pipe it goes as it came.
#[derive(Debug)]
pub(crate) struct Output<W: Write = BufWriter<Stdout>> {
    writer: W,
    terminal: bool,
    colour: bool,
    width: usize,
    /// Whether sentences are broken at that width: it is that of the terminal, or was asked for.
    wraps: bool,
    /// How many more lines fit on the screen, if that is limited.
    room: Option<usize>,
}

/// Whether colours are wanted on a terminal: `NO_COLOR` counts when it is set and not empty
/// (no-color.org).
fn wants_colour(no_color: Option<&str>, term: Option<&str>) -> bool {
    no_color.is_none_or(str::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// The width of a table: that of the terminal, else what `COLUMNS` says.
fn width(terminal: Option<u16>, columns: Option<&str>) -> usize {
    terminal
        .map(usize::from)
        .filter(|width| *width > 0)
        .or_else(|| columns?.parse().ok().filter(|width| *width > 0))
        .unwrap_or(WIDTH)
}

impl Output {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        let stdout = io::stdout();
        let variable = |name| std::env::var(name).ok();
        let terminal = rustix::termios::tcgetwinsize(&stdout).ok();
        let columns = variable("COLUMNS");
        let is_terminal = stdout.is_terminal();
        Output {
            wraps: terminal.is_some() || columns.is_some(),
            terminal: is_terminal,
            colour: is_terminal
                && wants_colour(variable("NO_COLOR").as_deref(), variable("TERM").as_deref()),
            width: width(terminal.map(|size| size.ws_col), columns.as_deref()),
            writer: BufWriter::new(stdout),
            room: None,
        }
    }

    /// Clears the screen, if standard output is a terminal. Lines that do not fit on the screen are
    /// left out from then on. Returns whether it is a terminal.
    pub(crate) fn begin_screen(&mut self) -> io::Result<bool> {
        if !self.terminal {
            return Ok(false);
        }
        if let Ok(size) = rustix::termios::tcgetwinsize(self.writer.get_ref()) {
            self.width = width(Some(size.ws_col), None);
            // The last line stays empty, or the screen would scroll.
            self.room = Some(usize::from(size.ws_row).saturating_sub(1)).filter(|room| *room > 0);
        }
        self.writer.write_all(b"\x1b[H\x1b[2J")?;
        Ok(true)
    }
}

#[cfg(fuzzing)]
impl Output<Vec<u8>> {
    /// What a terminal without colours gets, for the fuzz targets.
    pub(crate) fn of_terminal() -> Self {
        Output {
            writer: Vec::new(),
            terminal: true,
            colour: false,
            width: WIDTH,
            wraps: true,
            room: None,
        }
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.writer
    }
}

impl<W: Write> Output<W> {
    pub(crate) const fn is_coloured(&self) -> bool {
        self.colour
    }

    /// What of a text is written.
    fn shown<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.terminal {
            text::clean(text)
        } else {
            Cow::Borrowed(text)
        }
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        let text = self.shown(text);
        self.clean_line(&text)
    }

    /// Writes one line that is clean already, and may be in colour.
    fn clean_line(&mut self, text: &str) -> io::Result<()> {
        match &mut self.room {
            Some(0) => return Ok(()),
            Some(room) => *room -= 1,
            None => {}
        }
        writeln!(self.writer, "{text}")
    }

    /// Writes a sentence, in colour on a terminal, and in lines that fit there; all but the first
    /// begin with `indent` spaces. Elsewhere it is one line, which is easier to search.
    pub(crate) fn sentence(&mut self, paint: Paint, text: &str, indent: usize) -> io::Result<()> {
        if !self.wraps {
            return self.painted(paint, text);
        }
        let indent = " ".repeat(indent);
        let options = textwrap::Options::new(self.width).subsequent_indent(&indent);
        for line in textwrap::wrap(&self.shown(text), options.break_words(false)) {
            self.painted(paint, &line)?;
        }
        Ok(())
    }

    /// Writes one line, in colour on a terminal.
    pub(crate) fn painted(&mut self, paint: Paint, text: &str) -> io::Result<()> {
        let text = self.shown(text);
        if self.colour {
            self.clean_line(&paint.apply(&text))
        } else {
            self.clean_line(&text)
        }
    }

    /// Writes one line and flushes it.
    pub(crate) fn line_flushed(&mut self, text: &str) -> io::Result<()> {
        self.line(text)?;
        self.writer.flush()
    }

    /// Writes one line, in colour on a terminal, and flushes it.
    pub(crate) fn painted_flushed(&mut self, (text, paint): &(String, Paint)) -> io::Result<()> {
        self.painted(*paint, text)?;
        self.writer.flush()
    }

    /// Writes a table; `wide` keeps columns whole that do not fit.
    pub(crate) fn table(
        &mut self,
        table: &Table<impl Iterator<Item = Vec<Cell>> + Clone>,
        wide: bool,
    ) -> io::Result<()> {
        let width = if wide { usize::MAX } else { self.width };
        for line in table.lines(width, self.colour) {
            // Its cells are clean wherever it goes.
            self.clean_line(&line)?;
        }
        Ok(())
    }

    /// Writes a value as indented JSON.
    pub(crate) fn json<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        json::write(&mut self.writer, value, true)?;
        self.line("")
    }

    /// Writes a value as one line of JSON and flushes it.
    pub(crate) fn json_line<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        json::write(&mut self.writer, value, false)?;
        self.line_flushed("")
    }

    /// Writes what is still in the buffer.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// For writers of whole texts, such as completion scripts. No character may be split.
impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.terminal {
            let text = String::from_utf8_lossy(bytes);
            for part in text.split_inclusive(['\n', '\t']) {
                let line = part.trim_end_matches(['\n', '\t']);
                let end = part.get(line.len()..).unwrap_or_default();
                write!(self.writer, "{}{end}", text::clean(line))?;
            }
        } else {
            self.writer.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Prints a message on standard error, after the program's name.
pub(crate) fn to_stderr(text: &str) {
    to_stderr_bare(&format!("connect-cli: {text}"));
}

/// Prints a message on standard error, without the program's name: in lines that fit on the
/// terminal, or in `COLUMNS`.
pub(crate) fn to_stderr_bare(text: &str) {
    // Standard error may be the closed end of a pipe; then nobody reads it.
    let _ = writeln!(io::stderr(), "{}", for_stderr(text));
}

/// A message as it is written to standard error.
pub(crate) fn for_stderr(text: &str) -> String {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    let columns = std::env::var("COLUMNS").ok();
    message(text, size.map(|size| size.ws_col), columns.as_deref())
}

/// The same for a terminal of `terminal` columns.
pub(crate) fn message(text: &str, terminal: Option<u16>, columns: Option<&str>) -> String {
    let text = text::clean(text);
    fitted(&text::without_numbers(&text), terminal, columns)
}

/// A message in lines that fit on a terminal of `terminal` columns, or into as many columns as
/// `COLUMNS` says. If both are `None`, the message is not changed.
fn fitted(text: &str, terminal: Option<u16>, columns: Option<&str>) -> String {
    if terminal.is_none() && columns.is_none() {
        return text.to_owned();
    }
    let options = textwrap::Options::new(width(terminal, columns)).break_words(false);
    textwrap::fill(text, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_broken_on_a_terminal_or_as_columns_says() {
        let text = "one two three\n  four";
        assert_eq!(fitted(text, None, None), text);
        let broken = "one two\nthree\n  four";
        assert_eq!(fitted(text, Some(8), None), broken);
        assert_eq!(fitted(text, Some(8), Some("80")), broken);
        assert_eq!(fitted(text, None, Some("8")), broken);
        assert_eq!(
            fitted(text, Some(0), None),
            text,
            "a terminal that has no size"
        );
    }

    const ODD: &str = "a\x1b[2Jb\u{202e}c\u{9b}\u{7f}";

    /// What is written to a terminal, or to something else.
    fn written(terminal: bool, write: impl FnOnce(&mut Output<Vec<u8>>)) -> String {
        let mut output = Output {
            writer: Vec::new(),
            terminal,
            colour: terminal,
            width: WIDTH,
            wraps: terminal,
            room: None,
        };
        write(&mut output);
        String::from_utf8(output.writer).unwrap()
    }

    #[test]
    fn nothing_from_elsewhere_commands_a_terminal_however_it_is_written() {
        let columns = [table::Column::new("PEER", false, None)];
        let shown = "a\\u{1b}[2Jb\\u{202e}c\\u{9b}\\u{7f}";
        let all = |out: &mut Output<Vec<u8>>| {
            let table = Table::new(columns, [vec![Cell::from(ODD)]].into_iter());
            out.line(ODD).unwrap();
            out.line_flushed(ODD).unwrap();
            out.painted(Paint::Bad, ODD).unwrap();
            out.sentence(Paint::Good, ODD, 2).unwrap();
            out.painted_flushed(&(ODD.to_owned(), Paint::Plain))
                .unwrap();
            writeln!(out, "{ODD}\t{ODD}").unwrap();
            out.table(&table, false).unwrap();
            out.json(&ODD).unwrap();
            out.json_line(&ODD).unwrap();
        };
        let text = written(true, all);
        let ours = text.replace("\x1b[31m", "").replace("\x1b[32m", "");
        let ours = ours.replace("\x1b[1m", "").replace("\x1b[0m", "");
        let hidden = |c: char| !matches!(c, '\n' | '\t') && peerdb::is_invisible(c);
        assert!(!ours.contains(hidden), "{ours:?}");
        assert_eq!(ours.matches(shown).count(), 8, "{ours}");
        // Elsewhere a text goes as it came, a table and JSON are the same.
        let text = written(false, all);
        assert_eq!(text.matches(ODD).count(), 7, "{text:?}");
        assert_eq!(text.matches(shown).count(), 1, "{text:?}");
    }

    #[test]
    fn what_is_cleaned_twice_is_cleaned_once() {
        let once = text::clean(ODD);
        assert_eq!(text::clean(&once), once);
    }

    #[test]
    fn no_color_counts_when_it_is_set_and_not_empty() {
        assert!(wants_colour(None, Some("xterm")));
        assert!(wants_colour(Some(""), None));
        assert!(!wants_colour(Some("1"), Some("xterm")));
        assert!(!wants_colour(None, Some("dumb")));
    }

    #[test]
    fn the_terminal_knows_its_width_best() {
        assert_eq!(width(Some(120), Some("40")), 120);
        assert_eq!(width(Some(0), Some("40")), 40);
        assert_eq!(width(None, Some("40")), 40);
        for nonsense in ["", "0", "-1", "wide"] {
            assert_eq!(width(None, Some(nonsense)), 80, "{nonsense}");
        }
        assert_eq!(width(None, None), 80);
    }
}
