// SPDX-License-Identifier: GPL-3.0-or-later
//! Which columns the list of `top` has, and how wide each is, for the width of a terminal.

use super::model::{Order, Widths};

/// A column of the list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Column {
    Peer,
    State,
    Address,
    Last,
    Mean,
    Loss,
    Next,
    Recent,
}

/// Every column, in the order in which they are shown.
const ALL: [Column; 8] = [
    Column::Peer,
    Column::State,
    Column::Address,
    Column::Last,
    Column::Mean,
    Column::Loss,
    Column::Next,
    Column::Recent,
];

/// The least width of a name.
const LEAST_NAME: usize = 6;

/// The longest name that is shown completely before other columns get room.
const USUAL_NAME: usize = 16;

/// The greatest width of a name.
const MAX_NAME: usize = 48;

/// The least width of a state: the longest that is one word.
const LEAST_STATE: usize = 9;

/// Its greatest width: a state and two failed scripts.
const MAX_STATE: usize = 48;

/// The width of a round trip.
const TIME: usize = 9;

/// The width of a loss in figures.
const PERCENT: usize = 5;

/// How wide the bar of lost pings is, with the space after it.
pub(crate) const BAR: usize = 8;

/// The width of the time until the next ping.
const NEXT: usize = 6;

/// The least width of the line of recent round trips. Less important columns get room only when it
/// has this width.
const LEAST_RECENT: usize = 10;
const USUAL_RECENT: usize = 24;

/// The space between two columns.
pub(crate) const GAP: usize = 1;

impl Column {
    /// The heading.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Column::Peer => "PEER",
            Column::State => "STATE",
            Column::Address => "ADDRESS",
            Column::Last => "LAST",
            Column::Mean => "MEAN",
            Column::Loss => "LOSS",
            Column::Next => "NEXT",
            Column::Recent => "RECENT",
        }
    }

    /// What the column is sorted by.
    pub(crate) const fn order(self) -> Option<Order> {
        match self {
            Column::Peer => Some(Order::Name),
            Column::State => Some(Order::State),
            Column::Last => Some(Order::Last),
            Column::Mean => Some(Order::Mean),
            Column::Loss => Some(Order::Loss),
            Column::Address | Column::Next | Column::Recent => None,
        }
    }
}

/// The columns as they are chosen.
#[derive(Debug)]
struct Choice {
    /// The width of each of [`ALL`]; 0 for one that is not shown.
    widths: [usize; ALL.len()],
    left: usize,
}

impl Choice {
    fn width(&mut self, column: Column) -> &mut usize {
        &mut self.widths[column as usize]
    }

    /// Widens a column to `width`, or adds it, if at least `least` fits and `spare` is left then.
    fn widen(&mut self, column: Column, least: usize, width: usize, spare: usize) {
        let now = *self.width(column);
        let gap = if now == 0 { GAP } else { 0 };
        let room = (now + self.left).saturating_sub(gap + spare);
        let width = width.min(room);
        if room >= least && width > now {
            self.left -= width - now + gap;
            *self.width(column) = width;
        }
    }
}

/// The columns that fit into `width`, each with its own width.
pub(crate) fn fit(width: usize, texts: Widths) -> Vec<(Column, usize)> {
    let name = texts.name.clamp(LEAST_NAME, MAX_NAME);
    let state = texts.state.clamp(LEAST_STATE, MAX_STATE);
    let mut choice = Choice {
        widths: [0; ALL.len()],
        // The first column has no gap before it.
        left: width + GAP,
    };
    choice.widen(Column::Peer, 1, LEAST_NAME, 0);
    for (column, least, width, spare) in [
        (Column::State, LEAST_STATE, LEAST_STATE, 0),
        (Column::Peer, 1, name.min(USUAL_NAME), 0),
        (Column::Loss, PERCENT, PERCENT, 0),
        (Column::Last, TIME, TIME, 0),
        (Column::State, LEAST_STATE, state, 0),
        (Column::Mean, TIME, TIME, 0),
        (Column::Recent, LEAST_RECENT, LEAST_RECENT, 0),
        (Column::Loss, PERCENT + BAR + 1, PERCENT + BAR + 1, 0),
        (Column::Recent, LEAST_RECENT, USUAL_RECENT, 0),
        (Column::Address, texts.address.max(1), texts.address, 0),
        (Column::Peer, 1, name, 0),
        (Column::Next, NEXT, NEXT, 0),
    ] {
        choice.widen(column, least, width, spare);
    }
    if *choice.width(Column::Peer) == 0 {
        return Vec::new();
    }
    let rest = choice.left;
    let last = if *choice.width(Column::Recent) > 0 {
        Column::Recent
    } else {
        Column::Peer
    };
    *choice.width(last) += rest;
    let widths = ALL.into_iter().zip(choice.widths);
    widths.filter(|(_, width)| *width > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: Widths = Widths {
        name: 7,
        state: 19,
        address: 14,
    };

    fn shown(width: usize) -> Vec<Column> {
        fit(width, TEXTS)
            .iter()
            .map(|(column, _)| *column)
            .collect()
    }

    #[test]
    fn columns_fill_the_width_and_never_more() {
        for width in 0..300 {
            let columns = fit(width, TEXTS);
            let sum: usize = columns.iter().map(|(_, width)| width + GAP).sum();
            let expected = if width == 0 { 0 } else { width + GAP };
            assert_eq!(sum, expected, "{width}: {columns:?}");
        }
    }

    #[test]
    fn a_narrow_screen_has_names_and_states_and_a_wide_one_everything() {
        assert_eq!(shown(4), [Column::Peer]);
        assert_eq!(shown(18), [Column::Peer, Column::State]);
        let usual = [
            Column::Peer,
            Column::State,
            Column::Last,
            Column::Mean,
            Column::Loss,
            Column::Recent,
        ];
        assert_eq!(shown(78), usual);
        assert_eq!(shown(160), ALL);
    }
}
