// SPDX-License-Identifier: GPL-3.0-or-later
//! Which files in a directory of sources are backups: those that editors, package managers and
//! people leave beside the real file. A file that may be a copy or a source is read, but reported.

use super::report::SourceError;

/// Endings of names that mark a backup, or a file that was put aside, whatever other files there
/// are.
const MARKS: [&str; 30] = [
    "bak", "bac", "back", "backup", "bck", "bk", "bkp", "bup", "old", "orig", "original", "prev",
    "previous", "rej", "sav", "save", "saved", "swp", "swo", "tmp", "temp", "part", "rpmsave",
    "rpmnew", "rpmorig", "pacnew", "pacsave", "pacorig", "disabled", "merge",
];

/// Beginnings of endings of package managers: `.dpkg-old`, `.ucf-dist`, `.cfsaved`, `.augsave`.
const PACKAGERS: [&str; 4] = ["dpkg-", "ucf-", "cfsave", "augsave"];

/// Endings that mark a copy only if the original is also there.
const COPIES: [&str; 7] = [
    "copy", "dist", "example", "new", "off", "sample", "template",
];

/// "Copy", in the languages of file managers.
const COPY: [&str; 11] = [
    "copy",
    "copie",
    "kopie",
    "kopia",
    "kopi",
    "kopio",
    "copia",
    "cópia",
    "còpia",
    "копия",
    "másolat",
];

/// What follows that word before the name of the original: "Kopie von 10a".
const OF: [&str; 9] = ["of", "von", "van", "de", "di", "af", "av", "från", "z"];

/// How many digits a date has at least, as in `.241231`. A shorter number may be there to
/// distinguish sources.
const DATE: usize = 6;

/// Whether a file's name marks it as a backup; `exists` says whether there is a file of a name.
pub(super) fn of(name: &str, exists: impl Fn(&str) -> bool) -> Option<SourceError> {
    let found = |mark: &str, original: &str| {
        Some(SourceError::Backup {
            mark: mark.into(),
            has_original: exists(original),
        })
    };
    if let Some(rest) = name.strip_prefix('#') {
        return found("#", rest.strip_suffix('#').unwrap_or(rest));
    }
    if let Some(rest) = name.strip_suffix('~') {
        // Numbered ones end with .~1~.
        let (stem, _) = rest.split_once(".~").unwrap_or((rest, ""));
        return found("~", stem);
    }
    if let Some(rest) = name.strip_suffix(",v") {
        return found(",v", rest);
    }
    // File managers name copies like this, in several languages. A browser adds a number to a file
    // that it downloads again, and that may be the real one.
    if let Some((original, rest)) = name.split_once(" (")
        && let Some(word) = rest.strip_suffix(')')
        && !is_number(word)
        && exists(original)
    {
        return found(name.get(original.len() + 1..).unwrap_or_default(), original);
    }
    // A mark may have a number or a date with it: .bak2, .orig.1, .bak-20241231, -old.
    let mut stem = name;
    while let Some((rest, ending)) = stem.rsplit_once(['.', '-', '_']) {
        let word = ending.to_lowercase();
        let word = word.trim_matches(|c: char| c.is_ascii_digit());
        let tail = name.get(rest.len()..).unwrap_or_default();
        let dotted = tail.starts_with('.');
        let packager = name
            .get(rest.len() + 1..)
            .unwrap_or_default()
            .to_lowercase();
        if dotted && PACKAGERS.iter().any(|start| packager.starts_with(start)) {
            return found(tail, rest);
        }
        if MARKS.contains(&word) && (dotted || exists(rest)) {
            return found(tail, rest);
        }
        let digits = tail.bytes().filter(u8::is_ascii_digit).count();
        let is_date = tail
            .bytes()
            .all(|byte| b"0123456789-_.:tTzZ@".contains(&byte));
        if (COPIES.contains(&word) || is_date && digits >= DATE) && exists(rest) {
            return found(tail, rest);
        }
        // Only numbers and package managers' words may come after the mark.
        if !is_date && !["old", "new", "dist", "bak", "tmp"].contains(&word) {
            return None;
        }
        stem = rest;
    }
    None
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a file's name looks like that of a copy made by a file manager or a browser, with or
/// without the file's ending: `10a copy`, `10a - Copy (2)`, `Kopie von 10a`, `10a (1)`.
pub(super) fn is_like_a_copy(name: &str) -> bool {
    let stem = name.rsplit_once('.').map(|(stem, _)| stem);
    std::iter::once(name).chain(stem).any(|name| {
        let numbered = name
            .rsplit_once(" (")
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        if numbered.is_some_and(is_number) {
            return true;
        }
        let name = name.to_lowercase();
        let words: Vec<&str> = name
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let last = words.iter().rposition(|word| !is_number(word));
        match (words.as_slice(), last) {
            ([first, of, _, ..], _) if COPY.contains(first) && OF.contains(of) => true,
            (words, Some(last)) => last > 0 && COPY.contains(&words[last]),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mark of a name beside `20local`, and whether it is a backup of that.
    fn mark(name: &str) -> Option<(String, bool)> {
        match of(name, |original| original == "20local")? {
            SourceError::Backup { mark, has_original } => Some((mark.to_string(), has_original)),
            _ => None,
        }
    }

    #[test]
    fn backups_are_told_by_their_names() {
        for name in [
            "~",
            ".~1~",
            ".bak",
            ".BAK",
            ".bak1",
            ".bak.1",
            ".bak-20241231",
            ".bak_2024-12-31",
            ".backup",
            ".old",
            ".old.2",
            ".orig",
            ".rej",
            ".save",
            ".swp",
            ".tmp",
            ".dpkg-old",
            ".dpkg-dist",
            ".dpkg-new",
            ".dpkg-bak",
            ".dpkg-tmp",
            ".ucf-dist",
            ".ucf-old",
            ".rpmsave",
            ".rpmnew",
            ".rpmorig",
            ".pacnew",
            ".disabled",
            ",v",
            ".20241231",
            ".2024-12-31",
            ".2024-12-31T10:00:00",
            "-20241231",
            ".copy",
            ".new",
            ".dist",
            " (copy)",
            " (Kopie 2)",
            "_old",
            "-bak",
        ] {
            let found = mark(&format!("20local{name}"));
            assert!(
                found.as_ref().is_some_and(|(_, original)| *original),
                "{name}: {found:?}"
            );
        }
        assert_eq!(mark("#20local#"), Some(("#".into(), true)));
        assert_eq!(mark("20local.dpkg-old"), Some((".dpkg-old".into(), true)));
    }

    #[test]
    fn a_backup_of_nothing_is_told_apart() {
        for name in [
            "site.bak",
            "site.old",
            "site.dpkg-old",
            "site~",
            "#site#",
            "site.orig.1",
        ] {
            assert!(mark(name).is_some_and(|(_, original)| !original), "{name}");
        }
    }

    #[test]
    fn what_looks_like_a_copy_is_told() {
        for name in [
            "20local copy",
            "20local copy 2",
            "20local copy.in",
            "20local - Copy",
            "20local - Kopie (2)",
            "20local-copy",
            "20local_Copy",
            "20local.copy",
            "20local (another copy)",
            "20local (3rd copy)",
            "20local (1)",
            "20local (12).in",
            "20local(copy)",
            "Copy of 20local",
            "Copy of 20local.in",
            "Kopie von 20local",
            "Copie de 20local",
            "Kopia z 20local",
        ] {
            assert!(is_like_a_copy(name), "{name}");
            assert!(of(name, |_| false).is_none(), "{name}");
        }
        for name in [
            "20local",
            "copy",
            "Copy",
            "copy-shop",
            "20photocopy",
            "20copyright",
            "20local (south)",
            "20local-1",
            "(1)",
            "kopie",
            "10copies",
        ] {
            assert!(!is_like_a_copy(name), "{name}");
        }
    }

    #[test]
    fn sources_are_none() {
        for name in [
            "20local",
            "20local.in",
            "20local.conf",
            "20local.1",
            "20local.2",
            "20local-more",
            "10base.new",
            "10base.20241231",
            "10base (south)",
            "site-old",
            "bak",
            "old",
            "threshold",
            "20local.bakery",
            "20.newcastle",
            "30-new-york",
            "a,b",
        ] {
            assert_eq!(mark(name), None, "{name}");
        }
    }
}
