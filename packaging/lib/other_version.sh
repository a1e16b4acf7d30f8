# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A package of another version, to upgrade to: the same tree with another number.

# build_version VERSION DIRECTORY [--quick]: puts the package into DIRECTORY.
build_version() {
    local new=$1 directory=$2 tree=${work:?}/tree-$1 old=${version:?}
    shift 2
    mkdir -p "$tree"
    git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$tree"
    sed -i "s/^version = \"$old\"$/version = \"$new\"/" "$tree/Cargo.toml"
    # In the lock file our own packages are the ones without a source.
    awk -v old="version = \"$old\"" -v new="version = \"$new\"" '
        BEGIN { RS = ""; ORS = "\n\n" }
        !/\nsource = / { sub(old, new) }
        { print }' Cargo.lock > "$tree/Cargo.lock"
    {
        printf 'tripe-connect (%s-1) unstable; urgency=medium\n\n  * Change nothing.\n\n' "$new"
        printf ' -- Nobody <nobody@tripe-connect.example>  Thu, 01 Jan 2026 00:00:00 +0000\n\n'
        cat packaging/debian/changelog
    } > "$tree/packaging/debian/changelog"
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) \
        CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} "$tree/packaging/build" "$@" "$directory"
}
