// SPDX-License-Identifier: GPL-3.0-or-later
//! `completions`: what a shell needs to complete our command lines. It is short, since the shell
//! asks this program each time (see [`crate::completing`]).

use std::io::Write as _;

use clap::{Args, ValueEnum};
use clap_complete::env::{Elvish, EnvCompleter, Fish, Powershell, Zsh};
use connect_runtime::exit::Exit;

use crate::common::Common;
use crate::completing::VARIABLE;
use crate::error::Error;

/// The program that shells ask.
const PROGRAM: &str = "connect-cli";

/// Print the completions for a shell
#[derive(Args, Debug)]
#[command(after_help = "\
    The shell asks this program what can come next. So it also completes names of peers and \
    users, and kinds of events, of the service that the command line names. The package installs \
    the completions for bash, zsh and fish.\n\n\
    Examples:\n\
    \x20 source <(connect-cli completions bash)\n\
    \x20 source <(connect-cli completions zsh)\n\
    \x20 connect-cli completions fish | source")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// For bash, which cuts words at `=`, and puts candidates into the command line as they are: words
/// are put together again, and candidates quoted.
const BASH: &str = r#"_connect_cli() {
    local word previous index=-1 IFS=$' \t\n'
    local -a words=() candidates=()
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ $index -ge 1 && $word == "=" && ${words[index]} == --?* ]] ||
            [[ $index -ge 1 && ${words[index]} == --?*= && $previous == "=" ]]; then
            words[index]+=$word
        else
            words[++index]=$word
        fi
        previous=$word
    done
    mapfile -t candidates < <(
        _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$index VARIABLE=bash PROGRAM -- "${words[@]}" 2> /dev/null
    )
    COMPREPLY=()
    for word in "${candidates[@]}"; do
        [[ ${words[index]} == --?*=* ]] && word=${word#*=}
        COMPREPLY+=("$(printf %q "$word")")
    done
}
if [[ ${BASH_VERSINFO[0]} -gt 4 || ${BASH_VERSINFO[0]} -eq 4 && ${BASH_VERSINFO[1]} -ge 4 ]]; then
    complete -o bashdefault -o nosort -F _connect_cli PROGRAM
else
    complete -o bashdefault -F _connect_cli PROGRAM
fi
"#;

/// For zsh, which runs a file of its function path as the function, also on the first call.
const ZSH_AUTOLOADED: &str = "\
if [[ ${funcstack[1]} == _connect-cli ]]; then\n\
    \x20   _clap_dynamic_completer_connect_cli \"$@\"\n\
fi\n";

impl Completions {
    pub(crate) fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let out = &mut common.out;
        let mut generated = |shell: &dyn EnvCompleter| {
            let mut script = Vec::new();
            shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
            out.write_all(script.trim_ascii_start())
        };
        match self.shell {
            Shell::Bash => {
                let script = BASH.replace("VARIABLE", VARIABLE);
                out.write_all(script.replace("PROGRAM", PROGRAM).as_bytes())?;
            }
            Shell::Zsh => {
                generated(&Zsh)?;
                out.write_all(ZSH_AUTOLOADED.as_bytes())?;
            }
            Shell::Fish => generated(&Fish)?,
            Shell::Elvish => generated(&Elvish)?,
            Shell::Powershell => generated(&Powershell)?,
        }
        Ok(Exit::Success)
    }
}
