# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A package of another version, to upgrade to or from: a tree with another number.

# build_version VERSION DIRECTORY [--quick]: the same tree with another number. Puts the package
# into DIRECTORY.
build_version() {
    local tree=${work:?}/tree-$1
    mkdir -p "$tree"
    git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$tree"
    build_tree "$tree" "$(git log -1 --format=%ct)" "$@"
}

# build_commit COMMIT VERSION DIRECTORY [--quick]: the tree of a commit with another number.
build_commit() {
    local commit=$1 tree=${work:?}/tree-$2
    shift
    mkdir -p "$tree"
    git archive "$commit" | tar --extract --directory "$tree"
    build_tree "$tree" "$(git log -1 --format=%ct "$commit")" "$@"
}

# build_tree TREE TIME VERSION DIRECTORY [--quick]: gives a tree another number and builds it.
build_tree() {
    local tree=$1 time=$2 new=$3 directory=$4 old
    shift 4
    old=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$tree/Cargo.toml")
    sed -i "s/^version = \"$old\"$/version = \"$new\"/" "$tree/Cargo.toml"
    # In the lock file our own packages are the ones without a source.
    awk -v old="version = \"$old\"" -v new="version = \"$new\"" '
        BEGIN { RS = ""; ORS = "\n\n" }
        !/\nsource = / { sub(old, new) }
        { print }' "$tree/Cargo.lock" > "$tree/Cargo.lock.new"
    mv "$tree/Cargo.lock.new" "$tree/Cargo.lock"
    {
        printf 'tripe-connect (%s-1) unstable; urgency=medium\n\n  * Change nothing.\n\n' "$new"
        printf ' -- Nobody <nobody@tripe-connect.example>  Thu, 01 Jan 2026 00:00:00 +0000\n\n'
        cat packaging/debian/changelog
    } > "$tree/packaging/debian/changelog"
    SOURCE_DATE_EPOCH=$time \
        CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} "$tree/packaging/build" "$@" "$directory"
}
