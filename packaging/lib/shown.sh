# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Compares what a command prints with what a page shows.

# Text as it is compared: numbers and times as N, one space for any white space; the directory in
# `site', if it is set, as /etc/tripe.
plain() {
    sed -E -e "s,${site:-/nowhere},/etc/tripe,g" -e 's/\<[0-9a-f]{12,64}\>/N/g' -e 's/[0-9][0-9.:]*(ms|s|m|h|d|%)?/N/g' -e 's/(N )*N+/N/g' |
        tr -s ' \n' ' '
}

# Whether the parts of what is shown, a file, are in the output, another file, in order. A line of
# three dots stands for anything. If not, `missing' is the part that is not there.
shows() {
    local rest part
    rest=$(plain < "$2")
    while IFS= read -r part || [ -n "$part" ]; do
        part=${part# } part=${part% }
        [ -n "$part" ] || continue
        [[ $rest == *"$part"* ]] || { missing=$part; return 1; }
        rest=${rest#*"$part"}
    done < <(awk '/^\.\.\.$/ { printf "\n\001\n"; next } { print }' "$1" | plain | tr '\001' '\n')
}
