# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Tools that packaging needs beside Debian's, and the place where they and other costly things are
# kept between runs.

# Outside of the repository, so that neither a clean tree nor a fresh clone pays for them again.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tripe-connect

# Fixed versions, since the bytes of the package depend on the first two, and the findings on the
# third.
cargo_deb_version=3.8.0
cargo_auditable_version=0.7.7
cargo_deny_version=0.20.2

# tool NAME VERSION: prints the path of a tool of cargo's, after building it if it is not there in
# that very version.
tool() {
    local root=$cache/$1-$2
    if [ ! -x "$root/bin/$1" ]; then
        # Its own build is not our package's: neither our flags nor our target directory are for it.
        # It runs for a second, so it is not worth being optimised for a minute.
        env -u RUSTFLAGS -u CARGO_TARGET_DIR CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
            CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
            CARGO_PROFILE_RELEASE_DEBUG=0 cargo install --quiet --locked \
            --version "$2" --root "$root" "$1" >&2
    fi
    echo "$root/bin/$1"
}

cargo_deb() { tool cargo-deb $cargo_deb_version; }
cargo_auditable() { tool cargo-auditable $cargo_auditable_version; }
cargo_deny() { tool cargo-deny $cargo_deny_version; }

# Builds programs for the package: cargo_release OPTION... Each contains a list of its libraries, so
# that anybody who has only the program can see whether a fault that was found later concerns it.
cargo_release() {
    local program
    program=$(cargo_auditable)
    # Panics name source files; where libraries were unpacked is not to make a difference.
    RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
        "$program" auditable build --quiet --locked --release --bins "$@"
}
