// SPDX-License-Identifier: GPL-3.0-or-later
//! The program that a command for the shell begins with, as far as that can be told without being
//! a shell.

/// What a first word may be that is no program: keywords of the shell, its own commands, and those
/// of shells that are often in its place.
const OF_THE_SHELL: [&str; 76] = [
    ".",
    ":",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "case",
    "cd",
    "chdir",
    "command",
    "compgen",
    "complete",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disown",
    "do",
    "done",
    "echo",
    "elif",
    "else",
    "enable",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "fi",
    "for",
    "function",
    "getopts",
    "hash",
    "history",
    "if",
    "in",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "select",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "true",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "until",
    "wait",
    "while",
];

/// The program that `command` begins with; `None` if the shell may make something else of its first
/// word: a command of its own, a function, an assignment, whatever has characters with a meaning.
pub(super) fn program(command: &str) -> Option<&str> {
    let command = command.trim_start();
    let end = command.find(char::is_whitespace).unwrap_or(command.len());
    let (word, rest) = command.split_at(end);
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    let own = OF_THE_SHELL.contains(&word);
    let is_program = !word.is_empty() && word.chars().all(plain) && !own;
    // A bracket makes it the definition of a function.
    (is_program && !rest.trim_start().starts_with('(')).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_first_word_is_a_program() {
        for (command, expected) in [
            ("ssh hub 'tripectl x' | head -1", Some("ssh")),
            ("  ssh\n\thub", Some("ssh")),
            ("/usr/bin/ssh hub", Some("/usr/bin/ssh")),
            ("./connect.sh", Some("./connect.sh")),
            ("g++-12 x", Some("g++-12")),
            ("", None),
            ("exec ssh hub", None),
            ("if true; then ssh hub; fi", None),
            ("while :; do ssh hub; done", None),
            ("[ -e x ] && ssh hub", None),
            ("{ ssh hub; }", None),
            ("! ssh hub", None),
            ("(ssh hub)", None),
            ("ssh;true", None),
            ("ssh|head", None),
            ("ssh>x", None),
            ("HOST=hub ssh", None),
            ("$SSH hub", None),
            ("~/bin/ssh hub", None),
            ("'ssh' hub", None),
            ("ss\\h hub", None),
            ("# comment\nssh hub", None),
            ("f() { ssh hub; }; f", None),
            ("f () { ssh hub; }; f", None),
        ] {
            assert_eq!(program(command), expected, "{command}");
        }
    }
}
