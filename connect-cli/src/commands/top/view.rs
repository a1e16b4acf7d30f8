// SPDX-License-Identifier: GPL-3.0-or-later
//! How `top` looks.

use connect_ipc::control::PeerStatus;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState};
use unicode_width::UnicodeWidthStr as _;

use super::model::{Model, Order, Pane};
use crate::output::paint::Paint;
use crate::output::text;
use crate::output::{peer_text, status_text};

/// How wide the bar of lost pings is.
const BAR: usize = 8;

/// The least width of the column of states: the longest that is one word.
const STATE: u16 = 9;

/// Its greatest width: a state and a failed script.
const MAX_STATE: u16 = 28;

/// The least width of the line of recent round trips.
const RECENT: u16 = 10;

/// The steps of the line of recent round trips.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The columns, each with what it is sorted by.
const COLUMNS: [(&str, Option<Order>, Constraint); 6] = [
    ("PEER", Some(Order::Name), Constraint::Fill(1)),
    ("STATE", Some(Order::State), Constraint::Length(STATE)),
    ("LAST", Some(Order::Last), Constraint::Length(9)),
    ("MEAN", Some(Order::Mean), Constraint::Length(9)),
    ("LOSS", Some(Order::Loss), Constraint::Length(14)),
    ("RECENT", None, Constraint::Fill(2)),
];

fn style(paint: Paint, colour: bool) -> Style {
    let style = Style::new();
    match paint {
        Paint::Heading => style.add_modifier(Modifier::BOLD),
        _ if !colour => style,
        Paint::Plain => style,
        Paint::Good => style.fg(Color::Green),
        Paint::Doubtful => style.fg(Color::Yellow),
        Paint::Bad => style.fg(Color::Red),
    }
}

/// Draws everything.
pub(crate) fn draw(model: &Model, colour: bool, frame: &mut Frame<'_>) {
    let mut faults = status_text::faults(&model.service);
    faults.extend(status_text::missing(&model.peers));
    let faults_shown = u16::try_from(faults.len()).unwrap_or(u16::MAX).min(3);
    let lower = frame.area().height * 2 / 5;
    let [head, list, pane, foot] = Layout::vertical([
        Constraint::Length(1 + faults_shown),
        Constraint::Fill(1),
        Constraint::Length(lower),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let headline = text::clean(&status_text::headline(&model.service, &model.peers)).into_owned();
    let mut lines = vec![Line::styled(headline, style(Paint::Heading, colour))];
    lines.extend(faults.iter().map(|fault| {
        let fault = format!("! {}", text::clean(fault));
        Line::styled(fault, style(Paint::Bad, colour))
    }));
    frame.render_widget(Paragraph::new(lines), head);
    draw_list(model, colour, list, frame);
    draw_pane(model, colour, pane, frame);
    let keys = "↑↓ choose  s sort  k kick  i info  q quit".to_owned();
    let (line, modifier) = match &model.asking {
        None => (keys, Modifier::DIM),
        Some(peer) => {
            let ask = format!("Kick {}? y/n", text::clean(peer));
            (ask, Modifier::REVERSED)
        }
    };
    let line = Line::styled(line, Style::new().add_modifier(modifier));
    frame.render_widget(Paragraph::new(line), foot);
}

fn draw_list(model: &Model, colour: bool, area: Rect, frame: &mut Frame<'_>) {
    let titles = COLUMNS.map(|(title, order, _)| {
        let is_order = order == Some(model.order);
        let mark = if is_order { "▾" } else { "" };
        Cell::from(format!("{title}{mark}"))
    });
    // Only the rows in view are made, however many peers there are.
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    let at = model.position().unwrap_or_default();
    let first = (at / height) * height;
    let shown = || model.peers.iter().skip(first).take(height);
    let state = state_width(shown());
    let widths = COLUMNS.map(|(_, order, width)| match order {
        Some(Order::State) => Constraint::Length(state),
        _ => width,
    });
    // What the fixed columns and the gaps leave is divided one to two.
    let fixed = state + 9 + 9 + 14 + 5;
    let recent = (area.width.saturating_sub(fixed) * 2 / 3).max(RECENT);
    let rows = shown().map(|peer| row(peer, model, usize::from(recent), colour));
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(style(Paint::Heading, colour)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let chosen = model.position().map(|at| at - first);
    let mut state = TableState::new().with_selected(chosen);
    frame.render_stateful_widget(table, area, &mut state);
}

/// How wide the column of states is, for these peers.
fn state_width<'a>(peers: impl Iterator<Item = &'a PeerStatus>) -> u16 {
    let widths = peers.map(|peer| status_text::state_and_scripts(peer).0.width());
    let widest = widths.max().unwrap_or_default();
    u16::try_from(widest)
        .unwrap_or(u16::MAX)
        .clamp(STATE, MAX_STATE)
}

fn row(peer: &PeerStatus, model: &Model, recent: usize, colour: bool) -> Row<'static> {
    let (state, paint) = status_text::state_and_scripts(peer);
    let loss = peer.statistics.loss();
    let bar = loss.map_or_else(String::new, bar);
    let bar_paint = match loss {
        Some(loss) if loss >= 0.1 => Paint::Bad,
        Some(loss) if loss > 0.0 => Paint::Doubtful,
        _ => Paint::Good,
    };
    let percent = text::percent(loss);
    Row::new([
        Cell::from(text::clean(&peer.name).into_owned()),
        Cell::from(Span::styled(state, style(paint, colour))),
        Cell::from(status_text::last(peer.statistics.last)),
        Cell::from(text::millis(peer.statistics.mean())),
        Cell::from(Line::from(vec![
            Span::styled(bar, style(bar_paint, colour)),
            Span::raw(format!(" {percent:>5}")),
        ])),
        Cell::from(sparkline(model, &peer.name, recent, colour)),
    ])
}

/// A bar for a share of 1; any loss at all shows.
fn bar(share: f64) -> String {
    let filled = (1..=BAR)
        .filter(|at| {
            let part = f64::from(u32::try_from(at - 1).unwrap_or(u32::MAX));
            share * 8.0 > part
        })
        .count();
    "█".repeat(filled) + &"░".repeat(BAR - filled)
}

/// The recent round trips of a peer, each in proportion to the longest of them.
fn sparkline(model: &Model, peer: &str, width: usize, colour: bool) -> Line<'static> {
    let mut pings: Vec<Option<f64>> = model.history(peer).rev().take(width).collect();
    pings.reverse();
    let longest = pings.iter().flatten().copied().fold(0.0, f64::max);
    let spans = pings.iter().map(|ping| match ping {
        None => Span::styled("×", style(Paint::Bad, colour)),
        Some(millis) => {
            // The first step that is not below the round trip.
            let share = millis / longest * 8.0;
            let step = STEPS
                .iter()
                .zip(1_u8..)
                .find(|(_, top)| share <= f64::from(*top));
            let step = step.map_or(STEPS[7], |(step, _)| *step);
            Span::raw(step.to_string())
        }
    });
    Line::from_iter(spans)
}

fn draw_pane(model: &Model, colour: bool, area: Rect, frame: &mut Frame<'_>) {
    let (title, lines) = match &model.pane {
        Pane::Log => {
            // The newest at the bottom, as in a terminal.
            let room = usize::from(area.height.saturating_sub(1));
            let first = model.log.len().saturating_sub(room);
            let lines = model.log.iter().skip(first).cloned().collect();
            (" events ".to_owned(), lines)
        }
        Pane::Info(peer, None) => (format!(" {} ", text::clean(peer)), Vec::new()),
        Pane::Info(peer, Some(detail)) => {
            // The title says whose it is.
            let lines = peer_text::lines(peer, detail).split_off(1);
            (format!(" {} ", text::clean(peer)), lines)
        }
    };
    let block = Block::new().borders(Borders::TOP).title(title);
    let lines: Vec<Line<'_>> = lines
        .into_iter()
        .map(|(text, paint)| Line::styled(text, style(paint, colour)))
        .collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
