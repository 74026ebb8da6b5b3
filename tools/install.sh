# SPDX-License-Identifier: Apache-2.0
# Sourced by ./dev: installs, through apt, what a command needs and this machine lacks.
#
# Each line of a list is: a check, then the Debian package that satisfies it. Checks are
#   cmd:NAME   a program in PATH            lib:NAME   a library that pkg-config knows
#   file:GLOB  a file that exists           deb:NAME   an installed package

BUILD_NEEDS="
cmd:gcc             gcc
file:/usr/include/stdio.h libc6-dev
cmd:cmake           cmake
cmd:ninja           ninja-build
cmd:pkg-config      pkg-config
lib:libssl          libssl-dev
lib:libmicrohttpd   libmicrohttpd-dev
lib:jansson         libjansson-dev
lib:libfyaml        libfyaml-dev
lib:sqlite3         libsqlite3-dev
lib:libxxhash       libxxhash-dev
lib:libsystemd      libsystemd-dev
lib:libcurl         libcurl4-openssl-dev
lib:libcares        libc-ares-dev
file:/usr/include/wslay/wslay.h libwslay-dev
file:/usr/include/http_parser.h libhttp-parser-dev
"
RUN_NEEDS="
cmd:openssl         openssl
"
TEST_NEEDS="
cmd:python3         python3
cmd:clang           clang
file:/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a  libclang-rt-14-dev
lib:cmocka          libcmocka-dev
cmd:sipp            sip-tester
cmd:baresip         baresip-core
cmd:linphonec       linphone-cli
cmd:sipsak          sipsak
cmd:nsd             nsd
cmd:ip              iproute2
cmd:nft             nftables
cmd:sysctl          procps
cmd:systemd-analyze systemd
cmd:patch           patch
file:/usr/share/zoneinfo/UTC tzdata
cmd:openssl         openssl
cmd:chromium        chromium
cmd:npm             npm
cmd:ip              iproute2
"
LINT_NEEDS="
cmd:python3         python3
cmd:clang-format    clang-format
cmd:clang-tidy      clang-tidy
cmd:cppcheck        cppcheck
"
BENCH_NEEDS="
cmd:python3         python3
cmd:valgrind        valgrind
cmd:ip              iproute2
cmd:kamailio        kamailio
file:/usr/lib/*/kamailio/modules/tls.so kamailio-tls-modules
cmd:openssl         openssl
"
PACKAGE_NEEDS="
cmd:dpkg-shlibdeps  dpkg-dev
cmd:file            file
"
COVERAGE_NEEDS="
cmd:gcovr           gcovr
"

# Of these packages the programs are wanted, not the services that come with them.
SERVICES=" nsd kamailio "
POLICY=/usr/sbin/policy-rc.d

# Runs "$@", an installation, while Debian starts no service: it asks $POLICY, and 101 means no. One
# that is there already is the machine's own and stays. Uses `as_root` of the caller.
without_starting() {
    if [[ -e $POLICY ]]; then
        "$@"
        return
    fi
    (
        trap '"${as_root[@]}" rm -f "$POLICY"' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$POLICY"
        "$@"
    )
}

# Services of the packages $@, just installed, shall not start with the machine either.
disable_services() {
    local package
    for package in "$@"; do
        [[ $SERVICES == *" $package "* ]] || continue
        if command -v systemctl >/dev/null; then
            "${as_root[@]}" systemctl disable "$package"
        elif command -v update-rc.d >/dev/null; then
            "${as_root[@]}" update-rc.d "$package" disable
        fi || echo "the service $package could not be disabled"
    done
}

# True when the check $1 is satisfied.
have() {
    local kind=${1%%:*} name=${1#*:}
    case $kind in
    cmd) command -v "$name" >/dev/null ;;
    lib) command -v pkg-config >/dev/null && pkg-config --exists "$name" ;;
    file) compgen -G "$name" >/dev/null ;;
    deb) dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q '^install ok installed' ;;
    esac
}

# need LIST...: makes sure that all of the lists is there. Sets INSTALL_SECONDS to what it took.
INSTALL_SECONDS=0
need() {
    local list check package missing=() begin=$SECONDS
    for list in "$@"; do
        while read -r check package; do
            [[ -z $check ]] || have "$check" || missing+=("$package")
        done <<<"$list"
    done
    ((${#missing[@]})) || return 0

    local as_root=()
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            echo "Missing packages, and neither root nor sudo to install them. As root, run:" >&2
            echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
            exit 1
        fi
        as_root=(sudo)
    fi

    mkdir -p build
    local log=build/install.log package run=()
    for package in "${missing[@]}"; do
        [[ $SERVICES == *" $package "* ]] && run=(without_starting)
    done
    local install=("${run[@]}" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y
        -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}")
    echo "Installing: ${missing[*]}  (log: $log)"
    if ! "${install[@]}" >"$log" 2>&1 </dev/null; then
        echo "Refreshing the package lists"
        if ! { "${as_root[@]}" apt-get -q update && "${install[@]}"; } >>"$log" 2>&1 </dev/null
        then
            tail -n 15 "$log" >&2
            echo "The installation failed. The line that was tried:" >&2
            echo "  ${as_root[*]} apt-get install --no-install-recommends ${missing[*]}" >&2
            exit 1
        fi
    fi
    disable_services "${missing[@]}" >>"$log" 2>&1 </dev/null
    INSTALL_SECONDS=$((INSTALL_SECONDS + SECONDS - begin))
    echo "Installed in $((SECONDS - begin)) s"

    for list in "$@"; do
        while read -r check package; do
            if [[ -n $check ]] && ! have "$check"; then
                echo "$package is installed, but $check is still not there" >&2
                exit 1
            fi
        done <<<"$list"
    done
}
