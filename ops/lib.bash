# Shared by the scripts of ops/ and tests/: where things are kept, how processes are recorded.
# shellcheck shell=bash disable=SC2034
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/drawbridge
KAFKA_VERSION=4.1.1
KAFKA_JARS=$CACHE/kafka-$KAFKA_VERSION
TOXIPROXY_VERSION=2.5.0
TOXIPROXY=$CACHE/toxiproxy-$TOXIPROXY_VERSION

# Debian's own interpreter before whatever else is in PATH.
python3_path()
{
    if [ -x /usr/bin/python3 ]; then echo /usr/bin/python3; else command -v python3; fi
}

# One virtual environment per list of requirements, shared by all checkouts.
venv_dir()
{
    local sum
    sum=$(sha256sum "$ROOT/tests/requirements.txt")
    echo "$CACHE/venv-${sum:0:12}"
}

# The packages of tests/oidc, likewise.
oidc_dir()
{
    local sum
    sum=$(sha256sum "$ROOT/tests/oidc/package-lock.json")
    echo "$CACHE/oidc-${sum:0:12}"
}

die()
{
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# ---- processes, recorded as "pid starttime" so that a reused pid is never taken for ours.

# Start time of a process in clock ticks since boot; fails for one that is gone or a zombie.
process_start()
{
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    stat=${stat##*) }
    case $stat in Z* | X*) return 1 ;; esac
    # shellcheck disable=SC2086 # fields are to be split
    set -- $stat
    echo "${20}"
}

# record FILE PID
record()
{
    local start
    start=$(process_start "$2") || return 1
    mkdir -p "$(dirname "$1")"
    printf '%s %s\n' "$2" "$start" > "$1.new"
    mv "$1.new" "$1"
}

# Prints the pid when the recorded process still runs.
recorded()
{
    local pid start now
    { read -r pid start < "$1"; } 2>/dev/null || return 1
    now=$(process_start "$pid") || return 1
    [ "$now" = "$start" ] && echo "$pid"
}

# finish FILE SIGNAL SECONDS: signal, wait, then SIGKILL. Nothing when it is gone already.
finish()
{
    local pid i
    if pid=$(recorded "$1"); then
        kill -s "$2" "$pid" 2>/dev/null || true
        for ((i = 0; i < $3 * 20; i++)); do
            recorded "$1" >/dev/null || break
            sleep 0.05
        done
        if recorded "$1" >/dev/null; then
            kill -s KILL "$pid" 2>/dev/null || true
            for ((i = 0; i < 100; i++)); do
                recorded "$1" >/dev/null || break
                sleep 0.05
            done
        fi
    fi
    rm -f "$1"
}

# free_ports tcp|udp N: N different ports nobody listens on, by binding port 0.
free_ports()
{
    perl -MIO::Socket::INET -e '
        my ($proto, $n) = @ARGV;
        my @held = map { IO::Socket::INET->new(Proto => $proto, LocalAddr => "127.0.0.1",
            LocalPort => 0, $proto eq "tcp" ? (Listen => 1) : ()) or die "no port: $!" } 1 .. $n;
        print join(" ", map { $_->sockport } @held), "\n";' "$1" "$2"
}

# port_free tcp|udp PORT
port_free()
{
    perl -MIO::Socket::INET -e '
        my ($proto, $port) = @ARGV;
        exit(IO::Socket::INET->new(Proto => $proto, LocalAddr => "127.0.0.1", LocalPort => $port,
            $proto eq "tcp" ? (Listen => 1, ReuseAddr => 1) : ()) ? 0 : 1);' "$1" "$2"
}

random_hex8() { od -An -N4 -tx4 /dev/urandom | tr -d ' '; }

# 8 hex digits that stand for a text.
hex8()
{
    local sum
    sum=$(printf '%s' "$1" | sha256sum)
    echo "${sum:0:8}"
}
