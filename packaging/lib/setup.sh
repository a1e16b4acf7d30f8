# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What programs that prove the package begin with: their options, a directory for this run,
# packages, and the end of it all.

quick=() chroot=no kept='' from=''
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=(--quick) ;;
    --chroot) chroot=yes ;;
    --from)
        from=${2:?}
        shift
        ;;
    --packages)
        kept=$(realpath -m "${2:?}")
        shift
        ;;
    *)
        echo "unknown option $1; see the head of $0" >&2
        exit 2
        ;;
    esac
    shift
done
if [ -n "$from" ]; then
    [ $chroot = no ] || {
        echo '--from needs a machine with systemd: leave out --chroot' >&2
        exit 2
    }
    git rev-parse --quiet --verify "$from^{commit}" > /dev/null || {
        echo "no commit: $from" >&2
        exit 2
    }
fi

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
next_version=${version%.*}.$((${version##*.} + 1))
work=$(mktemp -d)
built=${kept:-$work/built}

. packaging/lib/report.sh
. packaging/lib/machine.sh
. packaging/lib/other_version.sh
. packaging/lib/site.sh

clean_up() {
    stop_machines
    if declare -F leave > /dev/null; then
        leave
    fi
    # Copies of whole systems: should something outside still be mounted in one, it is spared.
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# The package of this commit, and the lab server.
build_now() {
    packaging/build "${quick[@]}" "$built/now"
    local profile=debug
    if [ ${#quick[@]} -eq 0 ]; then
        profile=release
        cargo_release -p tripe-lab
    else
        cargo build --quiet --locked --workspace --bin tripe-lab
    fi
    cp "${CARGO_TARGET_DIR:-target}/$profile/"{tripe-lab,connect-cli} "$built/"
}

# The same, a package of a later version, and one of the original.
build_packages() {
    [ ! -e "$built/original.deb" ] || return 0
    build_now
    build_version "$next_version" "$built/next" "${quick[@]}"
    make_original "$built/original.deb"
}
