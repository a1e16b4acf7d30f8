// SPDX-License-Identifier: GPL-3.0-or-later
//! The product beside the service of the manual: fixed histories, and the page of differences.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use simulation::twin::differences::{Shown, Written, all, page};
use simulation::twin::history::SECOND;
use simulation::twin::sites::{WIDER_FROM, history};
use simulation::twin::tolerances::{ALL, Kind, Tolerance, Tolerances};
use simulation::twin::{Twin, judge, judge_with, shrink};

/// The histories that are played each time. All differences are met in them, and each tolerance is
/// needed for one of them.
const FIXED: std::ops::Range<u64> = 0..40;

/// Those of the histories with more kinds of records that are played each time.
const WIDER: std::ops::Range<u64> = WIDER_FROM..WIDER_FROM + 40;

/// More of them, for what the others do not show.
const RARE: [u64; 9] = [48, 342, 912, 1613, 1700, 1792, 2690, 2882, 6512];

fn fixed() -> impl Iterator<Item = u64> {
    RARE.into_iter().chain(FIXED).chain(WIDER)
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(path: &str) -> String {
    // A file that is missing has nothing of what is looked for.
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

#[test]
fn product_and_manual_differ_only_in_what_is_named() {
    let mut unnamed = Vec::new();
    let mut met = BTreeSet::new();
    for seed in fixed() {
        let verdict = judge(&history(seed)).unwrap();
        met.extend(verdict.met);
        let found = verdict.unnamed.into_iter();
        unnamed.extend(found.map(|found| format!("history {seed}: {found}")));
    }
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
    let shown = all().iter().filter(|it| matches!(it.shown, Shown::Twin(_)));
    let stale: Vec<&str> = shown
        .map(|difference| difference.name)
        .filter(|name| !met.contains(name))
        .collect();
    assert!(stale.is_empty(), "no history shows {stale:?} any more");
}

#[test]
fn each_tolerance_is_needed() {
    let asked = ALL.iter().filter(|entry| entry.kind == Kind::Asked);
    let useless: Vec<&str> = asked
        .filter(|entry| {
            let is_needed = |seed| {
                let tolerances = Tolerances::without(entry.tolerance);
                let verdict = judge_with(&history(seed), &tolerances).unwrap();
                !verdict.unnamed.is_empty()
            };
            !fixed().any(is_needed)
        })
        .map(|entry| entry.name)
        .collect();
    assert!(
        useless.is_empty(),
        "nothing comes of leaving out {useless:?}"
    );
}

#[test]
fn the_list_of_tolerances_has_their_order() {
    for entry in ALL {
        assert_eq!(entry.tolerance.entry().name, entry.name);
    }
}

#[test]
fn each_tolerance_has_a_place_in_the_sources() {
    let directory = root().join("tests/simulation/src/twin");
    let files = fs::read_dir(directory).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file() && !path.ends_with("tolerances.rs"));
    let sources: String = files
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let list = read("tests/simulation/src/twin/tolerances.rs");
    let (_, after_list) = list.split_once("impl Tolerances {").unwrap();
    for entry in ALL {
        let name = format!("Tolerance::{:?}", entry.tolerance);
        let is_whole = |text: &str, end: usize| !text[end..].starts_with(char::is_alphanumeric);
        let is_named = [sources.as_str(), after_list].iter().any(|text| {
            let mut places = text.match_indices(&name);
            places.any(|(at, _)| is_whole(text, at + name.len()))
        });
        assert!(is_named, "nothing is done with {name}");
    }
}

#[test]
fn the_same_history_is_the_same_transcript() {
    let played = history(5);
    let [first, second] = [0, 1].map(|_| Twin::of(&played, &Tolerances::default()).unwrap());
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

#[test]
fn the_page_of_differences_is_the_list() {
    if std::env::var_os("UPDATE_PAGES").is_some() {
        fs::write(root().join("docs/reference/differences.md"), page()).unwrap();
    }
    let (found, made) = (read("docs/reference/differences.md"), page());
    let lines = found.lines().map(Some).chain(std::iter::repeat(None));
    let other = made.lines().map(Some).chain([None]).zip(lines).zip(1..);
    let other = other
        .filter(|((made, found), _)| made != found)
        .map(|((made, found), number)| {
            format!(
                "line {number} of the page is {:?}, and the text has {:?}",
                found.unwrap_or(""),
                made.unwrap_or("")
            )
        })
        .next();
    assert!(
        found == made,
        "docs/reference/differences.md is not what tests/simulation/differences and list.rs make: \
         {}; change the text there, and then make the page with UPDATE_PAGES=1 and this test",
        other.unwrap_or_default()
    );
}

#[test]
fn the_list_of_differences_names_each_text() {
    let list = read("tests/simulation/src/twin/differences/list.rs");
    let texts = fs::read_dir(root().join("tests/simulation/differences")).unwrap();
    let names = texts.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let unnamed: Vec<String> = names
        .filter(|name| {
            let name = name.trim_end_matches(".md");
            name != "introduction" && !list.contains(&format!("\"{name}\""))
        })
        .collect();
    assert!(unnamed.is_empty(), "not in list.rs: {unnamed:?}");
}

#[test]
fn the_rows_that_differences_name_are_there() {
    let table = read("docs/reference/conformance.md");
    for difference in all() {
        if let Written::Table { subject, statement } = difference.written {
            let row = format!("| {subject} | {statement} |");
            assert!(table.contains(&row), "conformance.md has no row {row}");
        }
    }
}

#[test]
fn the_tests_that_differences_name_are_there() {
    for difference in all() {
        let (file, test) = match difference.shown {
            Shown::Twin(_) => continue,
            Shown::Scenario(name) => match name.split_once("::").unwrap() {
                ("foundation", test) => ("tests/scenarios/tests/foundation.rs".to_owned(), test),
                (module, test) => (format!("tests/scenarios/tests/manual/{module}.rs"), test),
            },
            Shown::Machine(file, test) => {
                (format!("connect-core/src/machine/tests/{file}.rs"), test)
            }
        };
        let found = read(&file).contains(&format!("fn {test}("));
        assert!(
            found,
            "{file} has no test {test}, which {} names",
            difference.name
        );
    }
}

/// Not run with the others: `SEEDS=0..1000 cargo test -p simulation --test twins -- --ignored`.
/// `WITHOUT=NAME` switches a tolerance off.
#[test]
#[ignore = "a search, for as many histories as SEEDS names"]
fn a_search_through_many_histories_finds_nothing_unnamed() {
    let seeds = std::env::var("SEEDS").unwrap_or_default();
    let without = std::env::var("WITHOUT").ok();
    let without = without.map(|name| Tolerance::named(&name).expect("it is on the list"));
    let (from, to) = seeds.split_once("..").expect("SEEDS is FROM..TO");
    let mut counts: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut failed = false;
    for seed in from.parse().unwrap()..to.parse::<u64>().unwrap() {
        let played = history(seed);
        let tolerances = without.map(Tolerances::without).unwrap_or_default();
        let verdict = judge_with(&played, &tolerances).unwrap();
        for name in verdict.met {
            counts.entry(name).or_default().push(seed);
        }
        if !verdict.unnamed.is_empty() {
            failed = true;
            println!("history {seed}");
            let smallest = shrink(&played).unwrap();
            for found in judge(&smallest).unwrap().unnamed {
                println!("  {found}");
            }
            for stimulus in &smallest.stimuli {
                println!("    {} s: {:?}", stimulus.at / SECOND, stimulus.what);
            }
        }
    }
    for (name, seeds) in counts {
        println!("{name}: {} histories, such as {}", seeds.len(), seeds[0]);
    }
    assert!(!failed);
}
