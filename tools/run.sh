#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ./dev run: a router for two phones on this machine, with everything it keeps in one folder.
# Needs nothing but bash, coreutils, findutils, grep and openssl. Asks nothing. Ctrl-C ends it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'END'
./dev run [OPTION...]     a router for two phones on this machine
  --lan             listens on this machine's address instead of 127.0.0.1
  --address A       listens on the address A
  --port N          SIP over UDP and TCP on port N (5060), over TLS on the next one,
                    for browsers on N + 6 (WS) and N + 7 (WSS)
  --http-port N     HTTP on port N (8080), on 127.0.0.1 always
  --folder DIR      keeps users, registrations and passwords in DIR (run)
END
}

address=127.0.0.1 port=5060 http_port=8080 folder=run lan=
while (($#)); do
    case $1 in
    --lan) lan=yes ;;
    --address | --port | --http-port | --folder)
        name=${1#--}
        [[ $# -ge 2 ]] || { usage >&2 && exit 2; }
        printf -v "${name/-/_}" %s "$2"
        shift
        ;;
    -h | --help) usage && exit 0 ;;
    *)
        echo "./dev run does not know $1" >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
done

if [[ $lan ]]; then
    read -r -a own < <(hostname -I) || true
    address=
    for candidate in "${own[@]}"; do
        [[ $candidate == *.*.*.* ]] && address=$candidate && break
    done
    if [[ ! $address ]]; then
        echo "This machine has no IPv4 address; name one with --address" >&2
        exit 1
    fi
fi

mkdir -p "$folder"
chmod 700 "$folder"
folder=$(cd "$folder" && pwd)
config=$folder/strowger.yaml passwords=$folder/passwords log=$folder/strowger.log
control=$folder/control.sock
# A Unix socket's path has room for 107 bytes.
((${#control} <= 100)) || control=${XDG_RUNTIME_DIR:-/tmp}/strowger-$EUID-$port.sock
shown_folder=${folder#"$PWD/"}
cli="build/strowger"
with="-c $shown_folder/strowger.yaml"

# --- Ports ---------------------------------------------------------------------------------------

# holder PROTO ADDRESS PORT: prints "NAME (pid N)" of the process that has the port, if one has.
holder() {
    local file state inode hex a b c d link pid
    IFS=. read -r a b c d <<<"$2"
    printf -v hex '%02X%02X%02X%02X:%04X' "$d" "$c" "$b" "$a" "$3"
    for file in "/proc/net/$1" "/proc/net/${1}6"; do
        [[ -r $file ]] || continue
        # grep, since there may be ten thousands of connections.
        while read -r _ _ _ state _ _ _ _ _ inode _; do
            [[ $1 == udp || $state == 0A ]] || continue # 0A: listening
            link=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" -print -quit 2>/dev/null || true)
            pid=${link#/proc/}
            pid=${pid%%/*}
            if [[ $pid ]]; then
                echo "$(<"/proc/$pid/comm") (pid $pid)"
            else
                echo "a process of another user"
            fi
            return
        done < <(grep -E "^ *[0-9]+: ($hex|0+:${hex#*:}) " "$file")
    done
}

taken=
refuse_taken() {
    local who
    who=$(holder "$1" "$2" "$3")
    [[ $who ]] || return 0
    echo "Port $3/$1 on $2 is held by $who." >&2
    echo "  End that, or take another port: ./dev run $4 $(($3 + 2))" >&2
    taken=yes
}
# refuse_taken_by PORT WHAT: those that follow from the one that --port names.
refuse_taken_by() {
    local who
    who=$(holder tcp "$address" "$1")
    [[ $who ]] || return 0
    echo "Port $1/tcp on $address, for $2, is held by $who." >&2
    echo "  End that, or take another port: ./dev run --port $((port + 2))" >&2
    taken=yes
}
refuse_taken udp "$address" "$port" --port
[[ $taken ]] || refuse_taken tcp "$address" "$port" --port
tls_port=$((port + 1)) ws_port=$((port + 6)) wss_port=$((port + 7))
[[ $taken ]] || refuse_taken_by "$tls_port" TLS
[[ $taken ]] || refuse_taken_by "$ws_port" WebSocket
[[ $taken ]] || refuse_taken_by "$wss_port" "WebSocket over TLS"
refuse_taken tcp 127.0.0.1 "$http_port" --http-port
[[ ! $taken ]] || exit 1

# --- Certificate ---------------------------------------------------------------------------------

# Signed by itself, for this address; the same at every run, so that a phone needs to be told once.
certificate=$folder/certificate.pem key=$folder/certificate.key
good_certificate() {
    [[ -f $certificate && -f $key ]] &&
        openssl x509 -in "$certificate" -noout -checkend 86400 >/dev/null &&
        [[ $(openssl x509 -in "$certificate" -noout -checkip "$address") == *"does match"* ]]
}
if ! good_certificate; then
    (
        umask 077
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
            -subj "/CN=Strowger" -addext "subjectAltName=IP:$address,DNS:localhost" \
            -keyout "$key" -out "$certificate" 2>/dev/null
    ) || { echo "openssl could not make a certificate in $folder" >&2 && exit 1; }
fi

# --- Configuration -------------------------------------------------------------------------------

# Written anew each time, so that the options count; the store beside it stays.
cat >"$config" <<END
# Written by ./dev run. docs/configuration.md has every setting.
domains: [localhost]
listen:
  - udp:$address:$port
  - tcp:$address:$port
  - tls:$address:$tls_port
  - ws:$address:$ws_port
  - wss:$address:$wss_port
tls: {certificate: certificate.pem, key: certificate.key}
http: {listen: "127.0.0.1:$http_port"}
control: "unix:$control"
store: sqlite:strowger.db
END

# phone NAME: a folder for `baresip -f`, with NAME's account and whatever sound there is.
phone() {
    local dir=$folder/phones/$1 password=$2 sound
    if compgen -G "/dev/snd/pcm*" >/dev/null; then
        sound="module alsa.so"$'\n'"audio_player alsa,default"$'\n'"audio_source alsa,default"
    else # no sound card: a tone is sent, nothing is played
        sound="module ausine.so"$'\n'"module aubridge.so"$'\n'
        sound+="audio_player aubridge,nil"$'\n'"audio_source ausine,440"
    fi
    mkdir -p "$dir"
    local modules
    modules=$(compgen -G '/usr/lib*/baresip/modules' || compgen -G '/usr/lib/*/baresip/modules' ||
        echo /usr/lib/baresip/modules)
    cat >"$dir/config" <<END
sip_listen $address:0
module_path ${modules%%$'\n'*}
module stdio.so
module g711.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
$sound
audio_alert aubridge,nil
call_max_calls 4
END
    (
        umask 077
        echo "<sip:$1@$address:$port;transport=udp>;auth_pass=$password;regint=600" >"$dir/accounts"
    )
}

# --- What to do with it --------------------------------------------------------------------------

# Applies the two users and keeps the passwords that the router made.
apply_users() {
    local result
    if ! result=$($cli apply -c "$config" --json examples/first-call.yaml 2>&1); then
        echo "$result" >&2
        return 1
    fi
    (
        umask 077
        made_passwords <<<"$result" >>"$passwords"
    )
}

# Reads the JSON of `apply`: prints "NAME PASSWORD" for each password in it.
made_passwords() {
    tr -d '\n' | sed 's/}/}\n/g' |
        sed -n 's/.*"name": *"\([^"]*\)".*"password": *"\([^"]*\)".*/\1 \2/p'
}

password_of() {
    local name password found=
    [[ -f $passwords ]] && while read -r name password; do
        [[ $name != "$1" ]] || found=$password # the last one counts
    done <"$passwords"
    echo "$found"
}

tell() {
    local alice bob domain=$address
    ((port == 5060)) || domain=$address:$port
    alice=$(password_of alice)
    bob=$(password_of bob)
    if [[ -z $alice || -z $bob ]]; then
        echo "The users were made earlier; their passwords are not in $shown_folder/passwords."
        echo "To start over: end this, remove $shown_folder, run again."
    fi
    phone alice "$alice"
    phone bob "$bob"
    cat <<END

  The router takes calls on $address, port $port, over UDP and TCP.

    user    extension   password
    alice   101         $alice
    bob     102         $bob

  In a phone:  user name alice, password as above, domain (or server, registrar) $domain
  Over TLS:    port $tls_port; the certificate is signed by itself, so the phone must be told
               to trust $shown_folder/certificate.pem, or not to look
  In a page:   ws://$address:$ws_port, or wss://$address:$wss_port once its certificate is accepted
               (open https://$address:$wss_port)

  A call with baresip (apt-get install baresip), in two more terminals:

    baresip -f $shown_folder/phones/bob
    baresip -f $shown_folder/phones/alice -e "/dial sip:102@$address:$port"

  The first rings: a accepts, b hangs up, q quits. bob may be dialled as 102 or as bob.

  Where to look:

    who is registered    $cli registrations $with
    its health           $cli status $with
    the users            $cli get users $with
    counters             http://127.0.0.1:$http_port/metrics
    its log              below, and in $shown_folder/strowger.log

END
    if [[ $address == 127.* ]]; then
        echo "  Only this machine can reach it; ./dev run --lan listens on the network."
    else
        echo "  It listens on $address: EVERYONE ON YOUR NETWORK CAN REACH IT. Phones need"
        echo "  a password; HTTP stays on 127.0.0.1. Without --lan only this machine can."
    fi
    echo "  Ctrl-C ends it. Another ./dev run keeps users, passwords and registrations."
    echo
}

# --- Serve ---------------------------------------------------------------------------------------

server=
stop() {
    trap '' INT TERM
    [[ -z $server ]] || kill -TERM "$server" 2>/dev/null || true
}
trap stop INT TERM

: >"$log"
exec {said}< <(exec "$cli" serve -c "$config" 2>&1)
server=$!
ready=
while IFS= read -r line <&"$said"; do
    printf '%s\n' "$line"
    printf '%s\n' "$line" >>"$log"
    if [[ ! $ready && $line == ready* ]]; then
        ready=yes
        apply_users || { stop && exit 1; }
        tell
    fi
done
status=0
wait "$server" || status=$?
[[ $ready ]] || { echo "The router did not start; see above." >&2 && exit 1; }
exit "$status"
