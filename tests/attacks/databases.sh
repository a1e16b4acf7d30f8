#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Sources with mistakes that are hard to see, in db/. Wanted: `connect-cli db check' reports each,
# and an empty source does not replace a database that has peers.
. "$(dirname "$0")/common.sh"

sources=$(dirname "$0")/db
bad=0

# reports FILE PATTERN: what db check says of a source matches this.
reports() {
    local said
    said=$(timeout 10 connect-cli db check "$sources/$1" 2>&1)
    if [ $? -ge 124 ] || ! grep -qiE "$2" <<< "$said"; then
        echo "$1: nothing like \"$2\" in:"
        printf '    %s\n' "$said"
        bad=1
    fi
}

reports ipv6.in 'v6b:.*bracket|v6b:.*\[2001:db8::2\]'
reports ipv6.in 'v6d:.*(write|use) INET6'
reports ipv6.in 'v6e:'
reports ipv6.in 'badport:'
reports ipv6.in 'ver:.*300\.1\.2\.3'
reports lookalike.in ':3:.*(look|invisible|not ASCII|letter)'
reports lookalike.in ':4:.*(quot|look)'
reports lookalike.in ':5:.*(look|invisible)'
reports nbsp.in 'no-break|invisible|NBSP'
reports nonutf8.in ':3:.*UTF-8'
reports nonutf8.in ':5:.*UTF-8'
reports nul.in 'not a text file'
reports unbalanced.in ':3:.*quot'
reports unbalanced.in ':4:.*quot'
reports utf16.in 'not a text file'

database << 'END'
[a]
peer = INET 198.18.0.11 4070
END
before=$(cksum < "$directory/peers.cdb")
connect-cli db compile -o "$directory/peers.cdb" "$sources/empty.in" > /dev/null 2>&1
if [ "$before" != "$(cksum < "$directory/peers.cdb")" ]; then
    echo 'empty.in: it has replaced a database that has peers'
    bad=1
fi
verdict $bad 'every mistake is reported, and an empty source replaces no peers'
