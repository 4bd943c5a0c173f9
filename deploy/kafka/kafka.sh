#!/usr/bin/env bash
# One real Apache Kafka node on this machine, without Docker: for tests, the demo and trials. See README.md.
#
# Usage: kafka.sh start  --data DIR [--port PORT] [--set NAME=VALUE]... [--scram CREDENTIAL]... [--join DIR]
#        kafka.sh stop   --data DIR [--kill]
#        kafka.sh status --data DIR
#        kafka.sh run    [--data DIR] [--port PORT] [--set NAME=VALUE]...
#        kafka.sh tool   --data DIR -- CLASS [ARGUMENT]...
#        kafka.sh fetch
#
# start   starts a node in the background, waits until it answers a metadata request and prints
#         brokers=127.0.0.1:PORT. DIR is made and formatted if it is new. Already running: prints the same line.
# stop    ends the node of DIR, and no other: TERM, after 20 s KILL. With --kill: KILL at once, as a crash would.
#         DIR stays; `start` goes on from it, on the same port.
# status  prints brokers=127.0.0.1:PORT (exit status 0), or that it is not running (1).
# run     like start, but in the foreground, until Ctrl-C. Without --data: in a temporary folder, deleted at the end.
# tool    runs one of Kafka's own tools (a class of org.apache.kafka.tools, such as TopicCommand, AclCommand, ConfigCommand,
#         TransactionsCommand) against the node of DIR.
# fetch   only downloads the jars (Maven; 44 MB, once).
#
#   --data DIR        the node's folder: settings, log (kafka.log), process id, records
#   --port PORT       port for clients; default: the one DIR had before, or a free one
#   --set NAME=VALUE  a broker setting, over those of server.properties; only counts at a start
#   --scram CREDENTIAL   a user with a password, 'SCRAM-SHA-512=[name=NAME,password=PASSWORD]'; only counts where DIR is new
#   --join DIR        a second broker for the cluster of the node in DIR, which must run; leaders can then change
#
# Environment:
#   KAFKA_HEAP   heap, default 512m
#   KAFKA_BRIEF  1 for a node that lives for minutes: Java compiles quickly, not well, and collects on one thread, which takes
#                less to start and more under load; default 0. Only counts at a start
#   KAFKA_WAIT   seconds that start waits for the node, default 60
#   JAVA_HOME    a Java 17 or later; default: java on the PATH
#
# Exit status: 0 done; 1 failed or not running; 2 wrong usage; 3 Java or Maven is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
jars=$here/jars
heap=${KAFKA_HEAP:-512m}
# What Java takes longest for in a short life is to compile well, and to keep threads for a heap that is never full.
brief=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC)
patience=${KAFKA_WAIT:-60}

say() { printf 'kafka.sh: %s\n' "$*" >&2; }
wrong() { say "$1"; usage >&2; exit 2; }

# --- Java and the jars ------------------------------------------------------------------------------------------------

need_java() {
    java=${JAVA_HOME:+$JAVA_HOME/bin/}java
    command -v "$java" >/dev/null ||
        fail "java is missing: install Java 17 or later (Debian: deploy/setup.sh test)" 3
    local major
    major=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p;T;q')
    [[ ${major:-0} -ge 17 ]] || fail "Java ${major:-of unknown version} is too old: Kafka 4 needs 17 or later" 3
}

# jars/.complete is a copy of the pom.xml that the jars were fetched for.
have_jars() { cmp -s "$here/pom.xml" "$jars/.complete"; }

fetch() {
    have_jars && return
    command -v mvn >/dev/null ||
        fail "mvn is missing, and the jars are not there yet: install Maven (Debian: deploy/setup.sh test)" 3
    # Two starts at once in a fresh checkout: the second waits, then finds the work done.
    exec 9>"$here/.jars.lock"
    flock 9
    if ! have_jars; then
        say "fetching Apache Kafka from Maven Central"
        rm -rf "$jars"
        mvn --batch-mode --quiet --file "$here/pom.xml" \
            dependency:copy-dependencies "-DoutputDirectory=$jars" >&2 || fail "Maven could not fetch the jars"
        cp "$here/pom.xml" "$jars/.complete"
    fi
    exec 9>&-
}

# --- ports ------------------------------------------------------------------------------------------------------------

answers_tcp() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port on which nobody listens, below those that the kernel hands out to clients.
free_port() {
    local port
    while true; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        answers_tcp "$port" || break
    done
    echo "$port"
}

# Asks for metadata (version 1, of no topics): only a node that has joined its own cluster names a broker.
# Bytes: length 16, request 3, version 1, correlation 7, no client id, 0 topics; in the answer: length, correlation,
# number of brokers (two where one has joined another).
answers_metadata() {
    local answer
    answer=$(
        exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$1" || exit
        printf '\0\0\0\016\0\003\0\001\0\0\0\007\377\377\0\0\0\0' >&3
        timeout 2 head -c 12 <&3 | od -An -v -tu1 | tr -s ' \n' ' '
    ) || return
    [[ $answer == *" 0 0 0 7 0 0 0 "[12]* ]]
}

# --- one node ---------------------------------------------------------------------------------------------------------

# The process id of the node of $data, if it runs. An id that another program has since been given is not taken for it.
running_pid() {
    local pid
    pid=$(cat "$data/pid" 2>/dev/null) || return
    [[ $pid =~ ^[0-9]+$ ]] || return
    tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -- "$data/server.properties" || return
    echo "$pid"
}

# Whether a process still holds anything: its first thread may be a zombie while others of it, and its ports, are still there.
is_alive() {
    local state threads
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) && [[ -n $state && $state != X ]] || return 1
    threads=("/proc/$1/task"/*)
    [[ $state != Z ]] || ((${#threads[@]} > 1))
}

write_settings() {
    local controller listeners=PLAINTEXT://127.0.0.1:$port
    if [[ -n $join ]]; then
        controller=$(cat "$join/controller-port")
    else
        [[ -s $data/controller-port ]] || free_port >"$data/controller-port"
        controller=$(cat "$data/controller-port")
        listeners+=,CONTROLLER://127.0.0.1:$controller
    fi
    echo "$port" >"$data/port"
    {
        cat "$here/server.properties"
        echo
        [[ -z $join ]] || printf '%s\n' process.roles=broker node.id=2
        echo "listeners=$listeners"
        echo "advertised.listeners=PLAINTEXT://127.0.0.1:$port"
        echo "controller.quorum.bootstrap.servers=127.0.0.1:$controller"
        echo "log.dirs=$data/records"
        ((${#settings[@]} == 0)) || printf '%s\n' "${settings[@]}"
    } >"$data/server.properties"
}

in_java() {
    "$java" "-Xmx$heap" -cp "$jars/*" "-Dlog4j2.configurationFile=$here/log4j2.properties" "$@"
}

format() {
    [[ -e $data/records/meta.properties ]] && return
    local cluster alone=--standalone
    cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '=')
    if [[ -n $join ]]; then
        cluster=$(sed -n 's/^cluster.id=//p' "$join/records/meta.properties")
        alone=
    fi
    local users=() user
    for user in "${scrams[@]}"; do users+=(--add-scram "$user"); done
    # shellcheck disable=SC2086 # one word or none
    in_java "${brief[@]}" kafka.tools.StorageTool format $alone -t "$cluster" "${users[@]}" \
        -c "$data/server.properties" >>"$data/kafka.log" 2>&1 ||
        fail "could not format $data; see $data/kafka.log"
}

launch() {
    local how=(-XX:+UseG1GC -XX:MaxGCPauseMillis=20)
    [[ ${KAFKA_BRIEF:-0} != 1 ]] || how=("${brief[@]}")
    # Its own session: a Ctrl-C at the terminal is for us, not for the node. No descriptor of ours stays open in it.
    setsid "$java" "-Xmx$heap" "-Xms$heap" "${how[@]}" -XX:+ExitOnOutOfMemoryError \
        -Djava.awt.headless=true -cp "$jars/*" "-Dlog4j2.configurationFile=$here/log4j2.properties" \
        kafka.Kafka "$data/server.properties" </dev/null >>"$data/kafka.log" 2>&1 &
    echo $! >"$data/pid"
}

start() {
    need_java
    fetch
    mkdir -p "$data"
    data=$(cd "$data" && pwd)
    if running_pid >/dev/null; then
        say "already running in $data"
        announce
        return
    fi
    if [[ -z $port ]]; then
        port=$(cat "$data/port" 2>/dev/null) || port=$(free_port)
    fi
    if answers_tcp "$port"; then
        fail "port $port is taken; give another with --port"
    fi
    write_settings
    format
    launch
    await
    announce
}

await() {
    local until=$((SECONDS + patience))
    until answers_metadata "$port"; do
        if ! kill -0 "$(cat "$data/pid")" 2>/dev/null; then
            tail -n 15 "$data/kafka.log" >&2
            fail "the node ended while starting; see $data/kafka.log"
        fi
        if ((SECONDS >= until)); then
            tail -n 15 "$data/kafka.log" >&2
            stop KILL
            fail "the node did not answer within $patience s; see $data/kafka.log"
        fi
        sleep 0.1
    done
}

announce() { echo "brokers=127.0.0.1:$(cat "$data/port")"; }

# stop TERM|KILL
stop() {
    local pid until
    if ! pid=$(running_pid); then
        say "not running in $data"
        rm -f "$data/pid"
        return
    fi
    kill "-$1" "$pid" 2>/dev/null || true
    until=$((SECONDS + 20))
    # A dying process loses its command line first, its port and its locks later: only then can it be started again.
    while is_alive "$pid"; do
        if ((SECONDS >= until)); then
            say "still there after 20 s: KILL"
            kill -KILL "$pid" 2>/dev/null || true
            until=$((SECONDS + 20))
        fi
        sleep 0.05
    done
    rm -f "$data/pid"
}

status() {
    if running_pid >/dev/null; then
        announce
    else
        echo "not running in $data"
        return 1
    fi
}

run() {
    local temporary=
    if [[ -z $data ]]; then
        data=$(mktemp -d "${TMPDIR:-/tmp}/riskflow-kafka.XXXXXX")
        temporary=$data
    fi
    # shellcheck disable=SC2064 # the folder as it is now
    trap "stop TERM; rm -rf '$temporary'" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    start
    # Wakes up for a signal at once, which `wait` does and a foreground `sleep` would not.
    while running_pid >/dev/null; do
        sleep 1 &
        wait $! || true
    done
    fail "the node ended; see $data/kafka.log"
}

# tool CLASS [ARGUMENT]...
tool() {
    (($# > 0)) || wrong "tool needs a class"
    running_pid >/dev/null || fail "not running in $data"
    need_java
    local class=org.apache.kafka.tools.$1
    shift
    exec "$java" -Xmx128m "${brief[@]}" -cp "$jars/*" -Dlog4j2.level=ERROR "$class" \
        --bootstrap-server "127.0.0.1:$(cat "$data/port")" "$@"
}

# --- command line -----------------------------------------------------------------------------------------------------

command=${1:-}
(($# == 0)) || shift
data='' port='' join='' signal=TERM
settings=() scrams=() rest=()
while (($# > 0)); do
    case $1 in
        --data | --port | --set | --scram | --join)
            [[ -n ${2:-} ]] || wrong "$1 needs a value"
            case $1 in
                --data) data=$2 ;;
                --port) port=$2 ;;
                --set) settings+=("$2") ;;
                --scram) scrams+=("$2") ;;
                --join) join=$2 ;;
            esac
            shift 2
            ;;
        --kill) signal=KILL; shift ;;
        --) shift; rest=("$@"); break ;;
        -h | --help) usage; exit ;;
        *) wrong "unknown option \`$1\`" ;;
    esac
done
[[ $command == tool ]] || ((${#rest[@]} == 0)) || wrong "$command takes no \`${rest[0]}\`"
[[ -z $port || ($port =~ ^[0-9]+$ && $port -ge 1 && $port -le 65535) ]] || wrong "--port is \`$port\`; give 1 to 65535"

need_data() {
    [[ -n $data ]] || wrong "$command needs --data DIR"
    [[ ! -d $data ]] || data=$(cd "$data" && pwd)
}

case $command in
    start) need_data; start ;;
    stop) need_data; stop "$signal" ;;
    status) need_data; status ;;
    run) run ;;
    tool) need_data; tool "${rest[@]}" ;;
    fetch) need_java; fetch ;;
    help | -h | --help) usage ;;
    '') wrong "give a command" ;;
    *) wrong "unknown command \`$command\`" ;;
esac
