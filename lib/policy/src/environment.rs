// SPDX-License-Identifier: GPL-3.0-or-later
//! The environment of `ifup` and `ifdown`: database keys and algorithms as variables.

use peerdb::Record;

/// What the variables for keys of the record start with.
pub(crate) const RECORD: char = 'P';

/// What the variables for the algorithms that the server names start with.
const ALGORITHM: char = 'A';

/// The name of the variable for `key`, after the manual, "Configuring interfaces": letters in upper
/// case, every run of other characters than letters and digits one underscore, and a prefix.
pub(crate) fn variable(prefix: char, key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 2);
    name.push(prefix);
    name.push('_');
    let mut in_run = false;
    for c in key.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_uppercase());
            in_run = false;
        } else if !in_run {
            name.push('_');
            in_run = true;
        }
    }
    name
}

/// All variables for a peer. A value with a NUL cannot be in an environment and is left out.
#[must_use]
pub fn environment(record: &Record, algorithms: &[(String, String)]) -> Vec<(String, String)> {
    let from_record = record
        .iter()
        .map(|(key, value)| (variable(RECORD, key), value.to_owned()));
    let from_server = algorithms
        .iter()
        .map(|(key, value)| (variable(ALGORITHM, key), value.clone()));
    from_record
        .chain(from_server)
        .filter(|(_, value)| !value.contains('\0'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_rule_and_examples_of_the_manual() {
        assert_eq!(variable('P', "ifname"), "P_IFNAME");
        assert_eq!(variable('A', "cipher-blksz"), "A_CIPHER_BLKSZ");
        assert_eq!(variable('P', "cipher-blksz"), "P_CIPHER_BLKSZ");
        assert_eq!(variable('P', "a - b"), "P_A_B");
        assert_eq!(variable('P', "\u{e9}"), "P__");
        assert_eq!(variable('P', "a--b__c"), "P_A_B_C");
        assert_eq!(variable('P', "-x-"), "P__X_");
        assert_eq!(variable('P', "\u{e4}ty1"), "P__TY1");
    }

    #[test]
    fn record_and_algorithms_go_in_and_unfit_values_stay_out() {
        let record = Record::new("p", [("ifname", "vpn-p"), ("bad", "a\0b")]);
        let variables = environment(&record, &[("cipher-blksz".into(), "16".into())]);
        assert_eq!(
            variables,
            [
                ("P_IFNAME".into(), "vpn-p".into()),
                ("A_CIPHER_BLKSZ".into(), "16".into())
            ]
        );
    }

    proptest! {
        #[test]
        fn every_name_is_fit_for_an_environment(key in "\\PC{0,20}") {
            let name = variable('P', &key);
            prop_assert!(name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
            prop_assert!(!name[2..].contains("__"));
        }
    }
}
