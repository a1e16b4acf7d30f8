// SPDX-License-Identifier: GPL-3.0-or-later
//! How `top` looks.

use connect_ipc::control::PeerStatus;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, HighlightSpacing, Paragraph, Row, Table, TableState};
use unicode_width::UnicodeWidthStr as _;

use super::columns::{BAR, Column, GAP, fit};
use super::model::{Model, Pane};
use crate::output::paint::Paint;
use crate::output::text;
use crate::output::{knock_text, peer_text, status_text};

/// The mark of the peer that is chosen. It is seen without colour and without reversed video too.
const MARK: &str = "> ";

/// From this height on there is room for what happens, and for one fault.
const LOW: u16 = 10;

/// From this height on there is room for some faults.
const HIGH: u16 = 16;

/// Below this width the first line says only the most important.
const NARROW: u16 = 60;

/// The keys, as many as there is room for.
const KEYS: [&str; 5] = [
    "↑↓ PgUp PgDn Home End choose  s sort  k kick  i info  q quit",
    "↑↓ choose  s sort  k kick  i info  q quit",
    "i info  k kick  q quit",
    "i info k kick q quit",
    "q quit",
];

/// The steps of the line of recent round trips.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

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
pub(crate) fn draw(model: &mut Model, colour: bool, frame: &mut Frame<'_>) {
    let area = frame.area();
    let mut faults = status_text::faults(&model.service);
    faults.extend(model.summary.missing());
    faults.extend(knock_text::refused(&model.service).map(|(refused, _)| refused));
    let most = match area.height {
        HIGH.. => 3,
        LOW.. => 1,
        _ => 0,
    };
    faults.truncate(most);
    // A low screen shows one thing at a time.
    let is_low = area.height < LOW;
    let lower = match (&model.pane, is_low) {
        (_, false) => Constraint::Length(area.height * 2 / 5),
        (Pane::Log, true) => Constraint::Length(0),
        (Pane::Info(..), true) => Constraint::Fill(1),
    };
    let upper = if is_low && model.pane != Pane::Log {
        Constraint::Length(0)
    } else {
        Constraint::Fill(1)
    };
    let head = u16::from(area.height >= 3) + u16::try_from(faults.len()).unwrap_or(0);
    let foot = u16::from(area.height >= 4 || model.asking.is_some());
    let [head, list, pane, foot] = Layout::vertical([
        Constraint::Length(head),
        upper,
        lower,
        Constraint::Length(foot),
    ])
    .areas(area);
    draw_head(model, &faults, colour, head, frame);
    draw_list(model, colour, list, frame);
    draw_pane(model, colour, pane, frame);
    draw_foot(model, foot, frame);
}

fn draw_head(model: &Model, faults: &[String], colour: bool, area: Rect, frame: &mut Frame<'_>) {
    let headline = if area.width < NARROW {
        brief(model)
    } else {
        status_text::headline(&model.service, &model.summary)
    };
    let headline = text::clean(&headline).into_owned();
    let mut lines = vec![Line::styled(headline, style(Paint::Heading, colour))];
    lines.extend(faults.iter().map(|fault| {
        let fault = format!("! {}", text::clean(fault));
        Line::styled(fault, style(Paint::Bad, colour))
    }));
    frame.render_widget(Paragraph::new(lines), area);
}

/// The most important in a few words.
fn brief(model: &Model) -> String {
    let server = status_text::link(model.service.server);
    let summary = &model.summary;
    format!("{}/{} up; server {server}", summary.up, summary.wanted)
}

/// The keys and where in the list the choice is, or a question.
fn draw_foot(model: &Model, area: Rect, frame: &mut Frame<'_>) {
    if let Some(peer) = &model.asking {
        let ask = format!("Kick {}? y/n", text::clean(peer));
        let line = Line::styled(ask, Modifier::REVERSED);
        return frame.render_widget(Paragraph::new(line), area);
    }
    let place = model.position().map_or_else(String::new, |at| {
        format!(" {}/{}", at + 1, model.peers.len())
    });
    let width = usize::from(area.width);
    let keys = KEYS.into_iter().find(|keys| keys.width() <= width);
    let keys = keys.unwrap_or_default();
    frame.render_widget(Line::styled(keys, Modifier::DIM), area);
    if keys.width() + place.width() <= width {
        let place = Line::styled(place, Modifier::DIM).right_aligned();
        frame.render_widget(place, area);
    }
}

fn draw_list(model: &mut Model, colour: bool, area: Rect, frame: &mut Frame<'_>) {
    // Of a single row, the chosen peer is more important than the headings.
    let headings = u16::from(area.height > 1);
    // Only the rows in view are made, however many peers there are.
    let room = usize::from(area.height - headings.min(area.height));
    let first = model.scroll(room);
    let mark = MARK.width();
    let columns = fit(usize::from(area.width).saturating_sub(mark), model.widths);
    let titles = columns.iter().map(|(column, _)| {
        let is_order = column.order() == Some(model.order);
        let mark = if is_order { "▾" } else { "" };
        Cell::from(format!("{}{mark}", column.title()))
    });
    let headings = (headings > 0).then(|| Row::new(titles));
    let chosen = model.position();
    let shown = model.peers.iter().enumerate().skip(first).take(room);
    // Reversed colours would be hard to read, so the chosen one has none.
    let rows = shown.map(|(at, peer)| row(peer, model, &columns, colour && chosen != Some(at)));
    let widths = columns
        .iter()
        .map(|(_, width)| Constraint::Length(u16::try_from(*width).unwrap_or(u16::MAX)));
    let mut table = Table::new(rows, widths)
        .column_spacing(u16::try_from(GAP).unwrap_or(1))
        .highlight_symbol(MARK)
        .highlight_spacing(HighlightSpacing::Always)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    if let Some(headings) = headings {
        table = table.header(headings.style(style(Paint::Heading, colour)));
    }
    let chosen = chosen.and_then(|at| at.checked_sub(first));
    let mut state = TableState::new().with_selected(chosen);
    frame.render_stateful_widget(table, area, &mut state);
}

fn row(
    peer: &PeerStatus,
    model: &Model,
    columns: &[(Column, usize)],
    colour: bool,
) -> Row<'static> {
    let cells = columns.iter().map(|(column, width)| match column {
        Column::Peer => Cell::from(text::clean(&peer.name).into_owned()),
        Column::State => {
            let (state, paint) = status_text::state_and_scripts(peer);
            Cell::from(Span::styled(state, style(paint, colour)))
        }
        Column::Address => {
            let address = peer.address.as_deref().map(text::address);
            Cell::from(text::or_nothing(address))
        }
        Column::Last => Cell::from(status_text::last(peer.statistics.last)),
        Column::Mean => Cell::from(text::millis(peer.statistics.mean())),
        Column::Loss => Cell::from(loss(peer, *width > BAR, colour)),
        Column::Next => Cell::from(text::or_nothing(peer.next_ping_ms.map(text::wait))),
        Column::Recent => Cell::from(sparkline(model, &peer.name, *width, colour)),
    });
    Row::new(cells)
}

/// The share of lost pings in figures, with a bar if there is room.
fn loss(peer: &PeerStatus, with_bar: bool, colour: bool) -> Line<'static> {
    let loss = peer.statistics.loss();
    let paint = match loss {
        Some(loss) if loss >= 0.1 => Paint::Bad,
        Some(loss) if loss > 0.0 => Paint::Doubtful,
        _ => Paint::Good,
    };
    let percent = text::percent(loss);
    if !with_bar {
        return Line::from(format!("{percent:>5}"));
    }
    let bar = loss.map_or_else(String::new, bar);
    Line::from(vec![
        Span::styled(bar, style(paint, colour)),
        Span::raw(format!(" {percent:>5}")),
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
