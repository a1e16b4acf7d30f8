// SPDX-License-Identifier: GPL-3.0-or-later
//! Where the transcripts of product and manual differ.

use std::collections::BTreeSet;
use std::fmt;

use super::history::History;
use super::tolerances::{LONGEST_BLOCK, Tolerance, Tolerances};
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

/// Everything in which the two transcripts of a history differ.
#[must_use]
pub fn compare(
    product: &Transcript,
    manual: &Transcript,
    history: &History,
    tolerances: &Tolerances,
) -> Vec<Divergence> {
    let both = Both {
        product,
        manual,
        history,
        tolerances,
    };
    let places: BTreeSet<&Place> = product
        .sequences
        .keys()
        .chain(manual.sequences.keys())
        .collect();
    let mut found = Vec::new();
    for place in places {
        let of = |transcript: &Transcript| normal(transcript.sequences.get(place), tolerances);
        let these = divergences(place, &of(product), &of(manual));
        if !these.is_empty() && both.is_comparable(place) {
            found.extend(these);
        }
    }
    found.extend(both.counts());
    found.extend(both.presence(&found));
    for divergence in &mut found {
        let peer = history.subject(&divergence.place);
        let present = product.present.get(&divergence.place.stimulus);
        divergence.was_there = present.is_some_and(|present| present.contains_key(&peer));
    }
    found
}

/// The normal form of a sequence: what is repeated comes once, children that are ended stand at its
/// end, and it is left out how many attempts it took until a peer that was unreachable replies.
fn normal(items: Option<&Vec<Item>>, tolerances: &Tolerances) -> Vec<Item> {
    let mut was_unreachable = false;
    let mut result: Vec<Item> = Vec::new();
    let items = ended_children(items.map_or(&[][..], Vec::as_slice), tolerances);
    for mut item in items {
        if let Item::Check {
            attempts,
            ended,
            told,
        } = &mut item
        {
            was_unreachable |= *ended == CheckEnd::Unreachable;
            if was_unreachable
                && *ended == CheckEnd::Reply
                && *attempts > 1
                && tolerances.leave_out(Tolerance::Recovery)
            {
                *attempts = 1;
                told.retain(|line| !line.contains(" ping-timeout "));
            }
        }
        result.push(item);
        while let Some(block) = (1..=LONGEST_BLOCK).find(|block| ends_twice(&result, *block))
            && tolerances.leave_out(Tolerance::Repetition)
        {
            result.truncate(result.len() - block);
        }
    }
    result
}

/// The items, of which one that tells of an ended child comes last.
fn ended_children(items: &[Item], tolerances: &Tolerances) -> Vec<Item> {
    let is_end = |item: &&Item| matches!(item, Item::Stopped(_));
    match items.iter().find(is_end) {
        Some(end) if tolerances.leave_out(Tolerance::EndedChildren) => {
            let others = items.iter().filter(|item| !is_end(item));
            others.chain([end]).cloned().collect()
        }
        _ => items.to_vec(),
    }
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

/// What is compared.
struct Both<'a> {
    product: &'a Transcript,
    manual: &'a Transcript,
    history: &'a History,
    tolerances: &'a Tolerances,
}

impl Both<'_> {
    /// Peers that are there on one side alone, or elsewhere, have nothing in common. That they
    /// differ in this was told where it began.
    fn is_comparable(&self, place: &Place) -> bool {
        let present = |transcript: &Transcript| transcript.present.get(&place.stimulus).cloned();
        let (left, right) = (present(self.product), present(self.manual));
        let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
        let all: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        let differ: Vec<&&String> = all
            .iter()
            .filter(|it| left.get(**it) != right.get(**it))
            .collect();
        let subject = self.history.subject(place);
        let command = self.history.command(place.stimulus).first();
        let left_out = if differ.iter().any(|peer| ***peer == subject) {
            Tolerance::OtherPeers
        } else if !differ.is_empty()
            && command.is_some_and(|word| word == "adopted")
            && place.sequence == Sequence::Jobs
        {
            Tolerance::AdoptedPeers
        } else {
            return true;
        };
        !self.tolerances.leave_out(left_out)
    }

    /// Whether counts of a peer can be compared, which differ.
    fn are_countable(&self, place: &Place) -> bool {
        let goes = || self.tolerances.leave_out(Tolerance::CountsOfThoseWhoGo);
        self.is_comparable(place) && (self.is_as_present_after(place) || !goes())
    }

    /// Whether a peer is there or not on both sides when the next stimulus comes.
    fn is_as_present_after(&self, place: &Place) -> bool {
        let left = |transcript: &Transcript| {
            let peers = transcript.left.get(&place.stimulus);
            peers.and_then(|peers| peers.get(&place.peer)).cloned()
        };
        left(self.product) == left(self.manual)
    }

    /// Peers that only one of the two has after a stimulus, or each elsewhere, where nothing else
    /// shows how that came about.
    fn presence(&self, found: &[Divergence]) -> Vec<Divergence> {
        let mut differ = Vec::new();
        for stimulus in 0..self.history.stimuli.len() {
            for record in &self.history.records {
                let place = main(&(record.peer.clone(), stimulus));
                let left = |transcript: &Transcript| {
                    let left = transcript.left.get(&stimulus);
                    left.and_then(|left| left.get(&record.peer)).cloned()
                };
                let (product, manual) = (left(self.product), left(self.manual));
                let is_shown = found.iter().any(|it| {
                    it.place.stimulus == stimulus && self.history.subject(&it.place) == record.peer
                });
                if product != manual && !is_shown && self.is_comparable(&place) {
                    differ.push(Divergence {
                        place,
                        product: product.map(Item::There),
                        manual: manual.map(Item::There),
                        was_there: false,
                    });
                }
            }
        }
        differ
    }

    /// Differences in how often peers were found unreachable, and in how many checks were answered.
    fn counts(&self) -> Vec<Divergence> {
        let (product, manual) = (self.product, self.manual);
        let unreachable = Pairs(&product.unreachable, &manual.unreachable);
        let answered = Pairs(&product.answered, &manual.answered);
        let mut found = Vec::new();
        let mut put = |place: Place, product, manual| {
            found.push(Divergence {
                place,
                product: Some(product),
                manual: Some(manual),
                was_there: false,
            });
        };
        for key in unreachable.keys() {
            let (left, right) = unreachable.of(&key);
            let place = main(&key);
            if left != right && self.are_countable(&place) {
                put(place, Item::Times(left), Item::Times(right));
            }
        }
        for key in answered.keys() {
            let (left, right) = answered.of(&key);
            let place = main(&key);
            if self.tolerances.differ(left, right) && self.are_countable(&place) {
                put(place, Item::Answered(left), Item::Answered(right));
            }
        }
        found
    }
}

/// The counts of both.
struct Pairs<'a>(&'a Counts, &'a Counts);

impl Pairs<'_> {
    fn keys(&self) -> BTreeSet<(String, usize)> {
        self.0.keys().chain(self.1.keys()).cloned().collect()
    }

    fn of(&self, key: &(String, usize)) -> (u32, u32) {
        let count = |counts: &Counts| counts.get(key).copied().unwrap_or(0);
        (count(self.0), count(self.1))
    }
}

/// Where what happened to a peer so often belongs.
fn main((peer, stimulus): &(String, usize)) -> Place {
    Place {
        stimulus: *stimulus,
        peer: peer.clone(),
        sequence: Sequence::Main,
    }
}
