// SPDX-License-Identifier: GPL-3.0-or-later
//! The same history for the product and for the service of the manual, each at a lab server of its
//! own: what both say to the server and to whoever asks must be equal, but for the named
//! differences.
//!
//! ```text
//!   seed --[sites]--> History --[play]--(product)--> Transcript --.
//!                          '----[play]--(manual)---> Transcript --[compare]--> Divergence
//!
//!   Divergence --[differences]--> the difference that explains it
//!
//!   [tolerances] says what [play] does not record and [compare] does not compare
//! ```

pub mod compare;
pub mod differences;
mod figures;
mod held;
pub mod history;
mod manual;
mod play;
mod product;
mod provider;
mod recorder;
pub mod sites;
#[cfg(test)]
mod tests;
pub mod tolerances;
pub mod transcript;

use std::collections::BTreeSet;

use compare::Divergence;
use differences::explanation;
use history::History;
use tolerances::Tolerances;
use transcript::Transcript;

use crate::world::Provider;

/// Both transcripts of a history.
#[derive(Clone, Debug)]
pub struct Twin {
    /// That of the product.
    pub product: Transcript,
    /// That of the service of the manual.
    pub manual: Transcript,
}

impl Twin {
    /// Plays a history twice.
    ///
    /// # Errors
    /// A service and its server talk without end.
    pub fn of(history: &History, tolerances: &Tolerances) -> Result<Twin, String> {
        let product = |now| product::Product::new(history.startup, now);
        let manual = |_| manual::Manual::new(history.startup);
        Ok(Twin {
            product: play::play(history, product, Provider::Product, tolerances)?,
            manual: play::play(history, manual, Provider::Manual, tolerances)?,
        })
    }

    /// In what they differ.
    #[must_use]
    pub fn divergences(&self, history: &History, tolerances: &Tolerances) -> Vec<Divergence> {
        compare::compare(&self.product, &self.manual, history, tolerances)
    }
}

/// What came of comparing the two.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What no named difference explains, each as a sentence.
    pub unnamed: Vec<String>,
    /// The names of the differences that were met.
    pub met: BTreeSet<&'static str>,
    /// The names of the tolerances that were met.
    pub tolerated: BTreeSet<&'static str>,
}

/// Plays a history to both, and judges.
///
/// # Errors
/// A service and its server talk without end.
pub fn judge(history: &History) -> Result<Verdict, String> {
    judge_with(history, &Tolerances::default())
}

/// Plays a history to both, and judges with these tolerances.
///
/// # Errors
/// A service and its server talk without end.
pub fn judge_with(history: &History, tolerances: &Tolerances) -> Result<Verdict, String> {
    let twin = Twin::of(history, tolerances)?;
    let mut verdict = Verdict::default();
    for (name, transcript) in [("product", &twin.product), ("manual", &twin.manual)] {
        let faults = transcript.faults.iter();
        let faults = faults.map(|fault| format!("{name}: {fault}"));
        verdict.unnamed.extend(faults);
    }
    for divergence in twin.divergences(history, tolerances) {
        if let Some(difference) = explanation(&divergence, history) {
            verdict.met.insert(difference.name);
        } else {
            let stimulus = &history.stimuli[divergence.place.stimulus].what;
            verdict.unnamed.push(format!("{stimulus:?}: {divergence}"));
        }
    }
    verdict.tolerated = tolerances.met();
    Ok(verdict)
}

/// The history without the stimuli that are not needed to have something unnamed come of it.
///
/// # Errors
/// A service and its server talk without end.
pub fn shrink(history: &History) -> Result<History, String> {
    let mut smallest = history.clone();
    // From the end, since what comes last is the least likely to matter. The first begins all.
    for place in (1..history.stimuli.len()).rev() {
        let mut smaller = smallest.clone();
        smaller.stimuli.remove(place);
        if !judge(&smaller)?.unnamed.is_empty() {
            smallest = smaller;
        }
    }
    Ok(smallest)
}
