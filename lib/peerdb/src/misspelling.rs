// SPDX-License-Identifier: GPL-3.0-or-later
//! What a misspelt word was most likely meant to be.

/// The candidate that `name` is most likely a misspelling of: of those that few enough errors of
/// typing make `name` of, the first of the nearest. `None` if `name` is itself a candidate.
///
/// An error of typing is a letter too many, one missing, one wrong, or two neighbours exchanged.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // In a short word one changed letter already makes another word of it (`host`, `hosts`), two
    // nearly always do.
    let length = name.chars().count();
    let limit = match length {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    // The same word with other capitals or dashes is as near as can be.
    let fold = |word: &str| word.to_ascii_lowercase().replace('_', "-");
    let folded = fold(name);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate == name {
            return None;
        }
        if candidate.chars().count().abs_diff(length) > limit {
            continue;
        }
        let distance = strsim::osa_distance(&folded, &fold(candidate));
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_within_the_limit_is_found_whatever_its_capitals_and_dashes() {
        let known = ["every", "ifup-timeout", "retries", "@ACTIVE"];
        for (word, meant) in [
            ("evrey", Some("every")),
            ("IFUP_timeout", Some("ifup-timeout")),
            ("retires", Some("retries")),
            ("@ACTVE", Some("@ACTIVE")),
            ("every", None),
            ("ev", None),
            ("domain", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }

    #[test]
    fn each_error_of_typing_counts_once() {
        for (a, b, errors) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "ab", 1),
            ("abc", "xbcd", 2),
            ("ca", "abc", 3),
        ] {
            assert_eq!(strsim::osa_distance(a, b), errors, "{a} {b}");
            assert_eq!(strsim::osa_distance(b, a), errors, "{b} {a}");
        }
    }
}
