// SPDX-License-Identifier: GPL-3.0-or-later
//! Plain tables: aligned columns, cut or continued on the next line where a terminal is too narrow.
//! The rows are made twice, once for the widths and once to be shown, so that a long table need not
//! be kept.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::paint::Paint;
use super::text::clean;

/// The number of spaces between two columns.
const GAP: usize = 2;

/// What happens to a cell that is wider than its column.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Narrowed {
    /// It loses its end.
    Cut,
    /// It loses its middle: what follows the last colon, such as a port, stays.
    CutBeforePort,
    /// Its next words stand below.
    Continued,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
    least: Option<usize>,
    narrowed: Narrowed,
}

impl Column {
    /// A column. `right`: whether its cells are aligned to the right, as numbers should be.
    /// `least`: how narrow it may become when the table is too wide. Columns that are continued
    /// become narrower first, then those on the right.
    pub(crate) const fn new(title: &'static str, right: bool, least: Option<usize>) -> Self {
        Column {
            title,
            right,
            least,
            narrowed: Narrowed::Cut,
        }
    }

    /// The column, with another way to show what is too wide.
    pub(crate) const fn narrowed(self, narrowed: Narrowed) -> Self {
        Column { narrowed, ..self }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// A cell in colour, with its text [cleaned](clean).
    pub(crate) fn painted(paint: Paint, text: impl Into<String>) -> Self {
        let text = text.into();
        let text = match clean(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(clean) => clean,
        };
        Cell { text, paint }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::painted(Paint::Plain, text)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Table<R> {
    columns: Vec<Column>,
    rows: R,
}

/// The lines of a cell.
fn cell_lines(text: &str, width: usize, narrowed: Narrowed) -> Vec<String> {
    match narrowed {
        Narrowed::Cut => vec![cut(text, width)],
        Narrowed::CutBeforePort => {
            let port = text.rfind(':').and_then(|at| text.get(at..));
            let port = port.filter(|port| text.width() > width && port.width() < width);
            let port = port.unwrap_or_default();
            let rest = text.get(..text.len() - port.len()).unwrap_or_default();
            vec![cut(rest, width.saturating_sub(port.width())) + port]
        }
        Narrowed::Continued => {
            let options = textwrap::Options::new(width).break_words(false);
            let lines = textwrap::wrap(text, options).into_iter();
            lines.map(|line| cut(&line, width)).collect()
        }
    }
}

/// The text, cut to `width` columns with a mark at the end if it is longer.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let kept: String = text
        .chars()
        .take_while(|c| {
            let fits = c.width().unwrap_or(0) <= left;
            left = left.saturating_sub(c.width().unwrap_or(0));
            fits
        })
        .collect();
    kept + "…"
}

impl<R: Iterator<Item = Vec<Cell>> + Clone> Table<R> {
    /// A table of these rows, which have as many cells as there are columns.
    pub(crate) fn new(columns: impl Into<Vec<Column>>, rows: R) -> Self {
        Table {
            columns: columns.into(),
            rows,
        }
    }

    /// The widths of the columns that are shown. Together they are at most `width`, unless the
    /// first column alone cannot be cut so far. Columns on the right are left out if there is no
    /// room for all.
    fn widths(&self, width: usize) -> Vec<usize> {
        let titles = self.columns.iter().map(|column| column.title.width());
        let mut widths: Vec<usize> = titles.collect();
        for row in self.rows.clone() {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.text.width().max(*width);
            }
        }
        let least = widths
            .iter()
            .zip(&self.columns)
            .map(|(width, column)| column.least.map_or(*width, |least| least.min(*width)) + GAP);
        let ends = least.scan(0, |end, least| {
            *end += least;
            Some(*end - GAP)
        });
        let shown = ends.take_while(|end| *end <= width).count();
        widths.truncate(shown.max(1));
        let total: usize = widths.iter().map(|width| width + GAP).sum();
        let mut excess = total.saturating_sub(GAP).saturating_sub(width);
        for continued in [true, false] {
            for (width, column) in widths.iter_mut().zip(&self.columns).rev() {
                let is_next = (column.narrowed == Narrowed::Continued) == continued;
                if let Some(least) = column.least.filter(|_| is_next) {
                    let given = width.saturating_sub(least).min(excess);
                    *width -= given;
                    excess -= given;
                }
            }
        }
        widths
    }

    /// The lines of the table, the headings first, at most `width` columns wide.
    pub(crate) fn lines(&self, width: usize, colour: bool) -> impl Iterator<Item = String> {
        let widths = self.widths(width);
        let shown = widths.len();
        let headings: Vec<Cell> = self
            .columns
            .iter()
            .map(|column| Cell::painted(Paint::Heading, column.title))
            .collect();
        std::iter::once(headings)
            .chain(self.rows.clone())
            .map(move |mut cells| {
                cells.truncate(shown);
                cells
            })
            .flat_map(move |cells| self.row(&cells, &widths, colour))
    }

    /// The lines of a row.
    fn row(&self, cells: &[Cell], widths: &[usize], colour: bool) -> Vec<String> {
        let columns = self.columns.iter().zip(widths);
        let texts: Vec<Vec<String>> = cells
            .iter()
            .zip(columns)
            .map(|(cell, (column, width))| cell_lines(&cell.text, *width, column.narrowed))
            .collect();
        let height = texts.iter().map(Vec::len).max().unwrap_or(1);
        let lines = (0..height).map(|at| {
            let texts = texts
                .iter()
                .map(|lines| lines.get(at).map_or("", String::as_str));
            let paints = cells.iter().map(|cell| cell.paint);
            self.line(texts.zip(paints), widths, colour)
        });
        lines.collect()
    }

    fn line<'a>(
        &self,
        parts: impl Iterator<Item = (&'a str, Paint)>,
        widths: &[usize],
        colour: bool,
    ) -> String {
        let mut line = String::new();
        // Spaces before the next cell, written only once there is one: no line ends with blanks.
        let mut pending = 0;
        for (((text, paint), column), width) in parts.zip(&self.columns).zip(widths) {
            let blanks = width.saturating_sub(text.width());
            let (before, after) = if column.right {
                (blanks, 0)
            } else {
                (0, blanks)
            };
            if !text.is_empty() {
                line.push_str(&" ".repeat(pending + before));
                if colour {
                    line.push_str(&paint.apply(text));
                } else {
                    line.push_str(text);
                }
                pending = after + GAP;
            } else {
                pending += width + GAP;
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<std::vec::IntoIter<Vec<Cell>>> {
        let column = Column::new;
        let columns = [
            column("PEER", false, Some(4)),
            column("ADDRESS", false, Some(7)),
            column("LAST", true, None),
        ];
        let rows = vec![
            vec![Cell::from("alice"), "192.0.2.1:4070".into(), "1.5ms".into()],
            vec![
                Cell::painted(Paint::Bad, "blåbær"),
                Cell::default(),
                "-".into(),
            ],
            vec![Cell::from("東京"), "x".into(), Cell::default()],
        ];
        Table::new(columns, rows.into_iter())
    }

    #[test]
    fn columns_are_aligned_by_what_is_seen_and_no_line_ends_with_blanks() {
        let lines: Vec<String> = table().lines(80, false).collect();
        assert_eq!(
            lines,
            [
                "PEER    ADDRESS          LAST",
                "alice   192.0.2.1:4070  1.5ms",
                "blåbær                      -",
                "東京    x",
            ]
        );
    }

    #[test]
    fn columns_give_way_from_the_right_but_not_without_end() {
        let lines: Vec<String> = table().lines(24, false).collect();
        assert_eq!(lines[1], "alice   192.0.2.…  1.5ms");
        assert_eq!(lines[2].width(), 24);
        let lines: Vec<String> = table().lines(20, false).collect();
        assert_eq!(lines[1], "ali…  192.0.…  1.5ms");
        assert_eq!(lines[3], "東京  x");
    }

    #[test]
    fn columns_for_which_there_is_no_room_are_left_out() {
        let lines: Vec<String> = table().lines(19, false).collect();
        assert_eq!(lines[0], "PEER    ADDRESS");
        assert_eq!(lines[1], "alice   192.0.2.1:…");
        assert_eq!(lines[3], "東京    x");
        let lines: Vec<String> = table().lines(1, false).collect();
        assert_eq!(lines[1], "ali…");
    }

    #[test]
    fn a_port_is_kept_and_long_words_go_on_below() {
        let columns = [
            Column::new("PEER", false, Some(4)),
            Column::new("STATE", false, Some(9)).narrowed(Narrowed::Continued),
            Column::new("ADDRESS", false, Some(10)).narrowed(Narrowed::CutBeforePort),
            Column::new("LAST", true, None),
        ];
        let row = |peer: &str, state: &str, address: &str| -> Vec<Cell> {
            vec![peer.into(), state.into(), address.into(), "1.5ms".into()]
        };
        let rows = vec![
            row("alice", "up, on-up killed (S15)", "192.0.2.1:4070"),
            row("bob", "up", "[2001:db8::1:2:3:4:5]:4070"),
            row("carol", "up", "192.0.2.1"),
        ];
        let table = Table::new(columns, rows.into_iter());
        // What can go on below does so before anything is cut.
        let lines: Vec<String> = table.lines(51, false).collect();
        assert_eq!(
            lines,
            [
                "PEER   STATE      ADDRESS                      LAST",
                "alice  up, on-up  192.0.2.1:4070              1.5ms",
                "       killed",
                "       (S15)",
                "bob    up         [2001:db8::1:2:3:4:5]:4070  1.5ms",
                "carol  up         192.0.2.1                   1.5ms",
            ]
        );
        let lines: Vec<String> = table.lines(35, false).collect();
        assert_eq!(lines[1], "alice  up, on-up  192.…:4070  1.5ms");
        assert_eq!(lines[4], "bob    up         [200…:4070  1.5ms");
        let lines: Vec<String> = table.lines(usize::MAX, false).collect();
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let lines: Vec<String> = table().lines(80, true).collect();
        assert_eq!(lines[2], "\x1b[31mblåbær\x1b[0m                      -");
        assert!(lines[0].starts_with("\x1b[1mPEER\x1b[0m    \x1b[1mADDRESS"));
    }

    #[test]
    fn a_wide_character_is_not_cut_in_half() {
        assert_eq!(cut("東京都", 4), "東…");
        assert_eq!(cut("東京", 4), "東京");
        assert_eq!(cut("ab", 0), "…");
    }
}
