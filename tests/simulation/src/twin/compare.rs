// SPDX-License-Identifier: GPL-3.0-or-later
//! Where the transcripts of product and manual differ.

use std::collections::BTreeSet;
use std::fmt;

use super::history::History;
use super::transcript::{CheckEnd, Counts, Item, Place, Sequence, Transcript};

/// One difference between the transcripts.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// Where it is.
    pub place: Place,
    /// What the product has there.
    pub product: Option<Item>,
    /// What the manual has there.
    pub manual: Option<Item>,
    /// Whether the peer that it is about was there when the stimulus came.
    pub was_there: bool,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            stimulus,
            peer,
            sequence,
        } = &self.place;
        let nothing = || "nothing".to_owned();
        let [product, manual] = [&self.product, &self.manual]
            .map(|it| it.as_ref().map_or_else(nothing, Item::to_string));
        write!(
            f,
            "after stimulus {stimulus}, peer `{peer}', {sequence:?}:\n    product: {product}\n    \
             manual:  {manual}"
        )
    }
}

/// The longest block of items whose repetition counts as one.
const LONGEST_BLOCK: usize = 6;

/// Everything in which the two transcripts of a history differ.
#[must_use]
pub fn compare(product: &Transcript, manual: &Transcript, history: &History) -> Vec<Divergence> {
    let places: BTreeSet<&Place> = product
        .sequences
        .keys()
        .chain(manual.sequences.keys())
        .collect();
    let mut found = Vec::new();
    for place in places {
        if !is_comparable(place, product, manual, history) {
            continue;
        }
        let of = |transcript: &Transcript| normal(transcript.sequences.get(place));
        found.extend(divergences(place, &of(product), &of(manual)));
    }
    found.extend(counts(product, manual, history));
    for divergence in &mut found {
        let peer = history.subject(&divergence.place);
        let present = product.present.get(&divergence.place.stimulus);
        divergence.was_there = present.is_some_and(|present| present.contains_key(&peer));
    }
    found
}

/// Peers that are there on one side alone, or elsewhere, have nothing in common. That they differ
/// in this was told where it began.
fn is_comparable(
    place: &Place,
    product: &Transcript,
    manual: &Transcript,
    history: &History,
) -> bool {
    let present = |transcript: &Transcript| transcript.present.get(&place.stimulus).cloned();
    let (left, right) = (present(product), present(manual));
    let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
    let all: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differ: Vec<&&String> = all
        .iter()
        .filter(|it| left.get(**it) != right.get(**it))
        .collect();
    let command = history.command(place.stimulus).first();
    let about_all = command.is_some_and(|word| word == "adopted");
    let subject = history.subject(place);
    let address = history
        .record(&subject)
        .map(|record| record.words().join(" "));
    !differ.iter().any(|peer| {
        // Nobody can be added at an address that another peer has.
        let addresses = [left.get(**peer), right.get(**peer)];
        let is_taken = |it: &String| address.as_ref().is_some_and(|own| it.starts_with(own));
        let takes = addresses.into_iter().flatten().any(is_taken);
        ***peer == subject || takes || about_all && place.sequence == Sequence::Jobs
    })
}

/// The normal form of a sequence: what is repeated comes once, scripts that are ended stand at its
/// end, and how many attempts it took until a peer that was unreachable replies is left out, since
/// it depends on the phase.
fn normal(items: Option<&Vec<Item>>) -> Vec<Item> {
    let mut was_unreachable = false;
    let mut result: Vec<Item> = Vec::new();
    let is_stop = |item: &&Item| matches!(item, Item::Stopped(_));
    let items = items.map_or(&[][..], Vec::as_slice);
    let stop = items.iter().find(is_stop);
    for item in items.iter().filter(|item| !is_stop(item)).chain(stop) {
        let mut item = item.clone();
        if let Item::Check {
            attempts,
            ended,
            told,
        } = &mut item
        {
            was_unreachable |= *ended == CheckEnd::Unreachable;
            if was_unreachable && *ended == CheckEnd::Reply {
                *attempts = 1;
                told.retain(|line| !line.contains(" ping-timeout "));
            }
        }
        result.push(item);
        while let Some(block) = (1..=LONGEST_BLOCK).find(|block| ends_twice(&result, *block)) {
            result.truncate(result.len() - block);
        }
    }
    result
}

/// Whether the last so many items are those before them.
fn ends_twice(items: &[Item], block: usize) -> bool {
    let Some(start) = items.len().checked_sub(2 * block) else {
        return false;
    };
    let (first, second) = items[start..].split_at(block);
    first == second
}

/// The differences between two sequences, by a longest common subsequence.
fn divergences(place: &Place, product: &[Item], manual: &[Item]) -> Vec<Divergence> {
    let mut lengths = vec![vec![0; manual.len() + 1]; product.len() + 1];
    for left in (0..product.len()).rev() {
        for right in (0..manual.len()).rev() {
            lengths[left][right] = if product[left] == manual[right] {
                lengths[left + 1][right + 1] + 1
            } else {
                usize::max(lengths[left + 1][right], lengths[left][right + 1])
            };
        }
    }
    let (mut left, mut right) = (0, 0);
    let (mut only_product, mut only_manual) = (Vec::new(), Vec::new());
    while left < product.len() || right < manual.len() {
        if left < product.len() && right < manual.len() && product[left] == manual[right] {
            (left, right) = (left + 1, right + 1);
        } else if right == manual.len()
            || left < product.len() && lengths[left + 1][right] >= lengths[left][right + 1]
        {
            only_product.push(product[left].clone());
            left += 1;
        } else {
            only_manual.push(manual[right].clone());
            right += 1;
        }
    }
    paired(place, only_product, only_manual)
}

/// Items of both sides that are about the same thing make one difference: first those that are
/// equal, and stand elsewhere, then those that are alike.
fn paired(place: &Place, product: Vec<Item>, mut manual: Vec<Item>) -> Vec<Divergence> {
    let mut found = Vec::new();
    for item in product {
        let equal = manual.iter().position(|other| *other == item);
        let alike = manual.iter().position(|other| are_alike(other, &item));
        let manual = equal.or(alike).map(|at| manual.remove(at));
        found.push(Divergence {
            place: place.clone(),
            product: Some(item),
            manual,
            was_there: false,
        });
    }
    found.extend(manual.into_iter().map(|item| Divergence {
        place: place.clone(),
        product: None,
        manual: Some(item),
        was_there: false,
    }));
    found
}

fn are_alike(left: &Item, right: &Item) -> bool {
    match (left, right) {
        (Item::Answer { command, .. }, Item::Answer { command: other, .. }) => command == other,
        (Item::Command(left), Item::Command(right)) => {
            left.split(' ').next() == right.split(' ').next()
        }
        (Item::Told(left), Item::Told(right)) => {
            let head = |line: &str| {
                line.split(' ')
                    .take(6)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            head(left) == head(right)
        }
        (Item::Script { kind, .. }, Item::Script { kind: other, .. }) => kind == other,
        (Item::Check { .. }, Item::Check { .. }) => true,
        _ => false,
    }
}

fn count(counts: &Counts, key: &(String, usize)) -> u32 {
    counts.get(key).copied().unwrap_or(0)
}

/// Differences in how often peers were found unreachable, and in how many checks were answered.
fn counts(product: &Transcript, manual: &Transcript, history: &History) -> Vec<Divergence> {
    let mut found = Vec::new();
    let mut put = |key: &(String, usize), product, manual| {
        let place = Place {
            stimulus: key.1,
            peer: key.0.clone(),
            sequence: Sequence::Main,
        };
        found.push(Divergence {
            place,
            product: Some(product),
            manual: Some(manual),
            was_there: false,
        });
    };
    let keys = |left: &Counts, right: &Counts| {
        let keys = left.keys().chain(right.keys()).cloned();
        keys.collect::<BTreeSet<(String, usize)>>()
    };
    let comparable = |key: &(String, usize)| {
        let place = Place {
            stimulus: key.1,
            peer: key.0.clone(),
            sequence: Sequence::Main,
        };
        is_comparable(&place, product, manual, history)
            && same_presence_after(&place, product, manual)
    };
    for key in keys(&product.unreachable, &manual.unreachable) {
        let (left, right) = (
            count(&product.unreachable, &key),
            count(&manual.unreachable, &key),
        );
        if left != right && comparable(&key) {
            put(&key, Item::Times(left), Item::Times(right));
        }
    }
    for key in keys(&product.answered, &manual.answered) {
        let was_down = count(&product.unreachable, &key) + count(&manual.unreachable, &key) > 0;
        let (left, right) = (
            count(&product.answered, &key),
            count(&manual.answered, &key),
        );
        let most = left.max(right);
        if !was_down && left.abs_diff(right) > 1 + most / 50 && comparable(&key) {
            put(&key, Item::Answered(left), Item::Answered(right));
        }
    }
    found
}

/// Whether a peer is there or not on both sides when the next stimulus comes.
fn same_presence_after(place: &Place, product: &Transcript, manual: &Transcript) -> bool {
    let present = |transcript: &Transcript| {
        let peers = transcript.present.get(&(place.stimulus + 1));
        peers.and_then(|peers| peers.get(&place.peer)).cloned()
    };
    present(product) == present(manual)
}
