#!/usr/bin/env bash
# The node of kafka.sh with TLS, passwords and ACLs, for tests and trials: a CA, certificates good and bad, a listener for each.
#
# Usage: secured.sh start --data DIR      makes certificates, starts the node, and prints what it printed below
#        secured.sh certificates --data DIR   only makes the certificates
# Stop it with kafka.sh stop --data DIR; kafka.sh tool --data DIR -- AclCommand … and ConfigCommand … make users and rights.
#
# start prints, each on a line of its own:
#   brokers=127.0.0.1:PORT    without TLS or password, for the administrator (super user), kcat and Kafka's tools
#   secured=127.0.0.1:PORT    SASL_SSL: SCRAM-SHA-512, SCRAM-SHA-256, PLAIN and OAUTHBEARER (unsecured tokens: for trials only)
#   mutual=127.0.0.1:PORT     SSL that asks for a client's certificate: its name is User:CN=…
#   expired=127.0.0.1:PORT    SASL_SSL with a certificate whose time is over
#   misnamed=127.0.0.1:PORT   SASL_SSL with a certificate of another host
#
# Files in DIR/tls (PEM): ca.pem, of the authority; client.pem and client.key, of User:CN=riskflow-client, whose key has the
# password in client.password; stranger.pem, of another authority. Nobody has any right until one is added.
#
# Environment:
#   PLAIN_USERS   users of PLAIN and their passwords, NAME=PASSWORD with blanks between; they stand in server.properties of DIR
#   SCRAM_USERS   the same of both kinds of SCRAM; only counts where DIR is new. kafka.sh tool … ConfigCommand changes passwords
#
# Exit status: 0 done; 1 failed; 2 wrong usage; 3 something is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { printf 'secured.sh: %s\n' "$*" >&2; }
wrong() { say "$1"; usage >&2; exit 2; }

# --- certificates -----------------------------------------------------------------------------------------------------

# authority NAME
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$tls/$1.key" -out "$tls/$1.pem" \
        -days 30 -subj "/CN=$1" 2>/dev/null
}

# signed NAME SUBJECT ALTERNATIVE_NAMES FIRST_DAY LAST_DAY: a key and a certificate by our authority.
signed() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$tls/$1.key" -out "$tls/$1.csr" \
        -subj "$2" 2>/dev/null
    mkdir -p "$tls/issued"
    touch "$tls/issued/index.txt"
    [[ -s $tls/issued/serial ]] || echo 1000 >"$tls/issued/serial"
    # `openssl ca`, for only it can be told when a certificate begins and ends.
    printf '%s\n' '[ca]' 'default_ca=own' '[own]' "database=$tls/issued/index.txt" "serial=$tls/issued/serial" \
        "new_certs_dir=$tls/issued" "certificate=$tls/ca.pem" "private_key=$tls/ca.key" default_md=sha256 policy=any \
        unique_subject=no x509_extensions=more '[any]' commonName=supplied '[more]' "subjectAltName=$3" >"$tls/$1.cnf"
    openssl ca -batch -notext -config "$tls/$1.cnf" -in "$tls/$1.csr" -out "$tls/$1.pem" \
        -startdate "$4" -enddate "$5" 2>"$tls/openssl.log" || fail "openssl could not sign $1; see $tls/openssl.log"
}

# What Kafka reads as a key store of type PEM: key and certificate in one file.
store() { cat <(openssl pkcs8 -topk8 -nocrypt -in "$tls/$1.key") "$tls/$1.pem" >"$tls/$1.store.pem"; }

day() { date -u -d "$1" +%Y%m%d%H%M%SZ; }

certificates() {
    command -v openssl >/dev/null || fail "openssl is missing" 3
    tls=$data/tls
    [[ ! -s $tls/complete ]] || return 0
    mkdir -p "$tls"
    chmod 700 "$tls"
    local first last
    first=$(day '1 day ago') last=$(day '30 days')
    authority ca
    authority stranger
    signed broker /CN=broker 'IP:127.0.0.1,DNS:localhost' "$first" "$last"
    signed expired /CN=expired 'IP:127.0.0.1,DNS:localhost' "$(day '3 days ago')" "$(day '2 days ago')"
    signed misnamed /CN=elsewhere.example 'DNS:elsewhere.example' "$first" "$last"
    signed client /CN=riskflow-client 'DNS:riskflow-client' "$first" "$last"
    for one in broker expired misnamed; do store "$one"; done
    openssl rand -hex 16 >"$tls/client.password"
    openssl pkcs8 -topk8 -in "$tls/client.key" -out "$tls/client.locked" -passout "file:$tls/client.password"
    mv "$tls/client.locked" "$tls/client.key"
    echo yes >"$tls/complete"
}

# --- the node ---------------------------------------------------------------------------------------------------------

answers_tcp() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# So many different ports on which nobody listens, below those that the kernel hands out to clients.
free_ports() {
    local port
    local -A taken=()
    while ((${#taken[@]} < $1)); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        answers_tcp "$port" || taken[$port]=yes
    done
    echo "${!taken[@]}"
}

start() {
    certificates
    # The same ports at every start: clients come back to them.
    [[ -s $data/ports ]] || free_ports 6 >"$data/ports"
    local plain controller secured mutual expired misnamed both listener user
    read -r plain controller secured mutual expired misnamed <"$data/ports"
    both="PLAINTEXT://127.0.0.1:$plain,SECURED://127.0.0.1:$secured,MUTUAL://127.0.0.1:$mutual"
    both+=",EXPIRED://127.0.0.1:$expired,MISNAMED://127.0.0.1:$misnamed"
    local module=org.apache.kafka.common.security plain_users=''
    for user in ${PLAIN_USERS:-}; do plain_users+=" user_${user%%=*}=\"${user#*=}\""; done
    local settings=(
        "listeners=$both,CONTROLLER://127.0.0.1:$controller"
        "advertised.listeners=$both"
        "controller.quorum.bootstrap.servers=127.0.0.1:$controller"
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL,MUTUAL:SSL,EXPIRED:SASL_SSL,MISNAMED:SASL_SSL"
        authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
        super.users=User:ANONYMOUS
        allow.everyone.if.no.acl.found=false
        auto.create.topics.enable=false
        listener.name.mutual.ssl.client.auth=required
    )
    for listener in secured mutual expired misnamed; do
        local keys=$listener
        case $listener in secured | mutual) keys=broker ;; esac
        settings+=(
            "listener.name.$listener.ssl.keystore.type=PEM"
            "listener.name.$listener.ssl.keystore.location=$data/tls/$keys.store.pem"
            "listener.name.$listener.ssl.truststore.type=PEM"
            "listener.name.$listener.ssl.truststore.location=$data/tls/ca.pem"
        )
        [[ $listener != mutual ]] || continue
        settings+=(
            "listener.name.$listener.sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER"
            "listener.name.$listener.scram-sha-512.sasl.jaas.config=$module.scram.ScramLoginModule required;"
            "listener.name.$listener.scram-sha-256.sasl.jaas.config=$module.scram.ScramLoginModule required;"
            "listener.name.$listener.plain.sasl.jaas.config=$module.plain.PlainLoginModule required$plain_users;"
            "listener.name.$listener.oauthbearer.sasl.jaas.config=$module.oauthbearer.OAuthBearerLoginModule required;"
            # A client must show again who it is, so soon after: a password that is changed counts.
            "listener.name.$listener.connections.max.reauth.ms=5000"
        )
    done
    local sets=() set
    for set in "${settings[@]}"; do sets+=(--set "$set"); done
    for user in ${SCRAM_USERS:-}; do
        for set in SCRAM-SHA-512 SCRAM-SHA-256; do
            sets+=(--scram "$set=[name=${user%%=*},password=${user#*=}]")
        done
    done
    "$here/kafka.sh" start --data "$data" --port "$plain" "${sets[@]}"
    chmod 600 "$data/server.properties"
    printf '%s=127.0.0.1:%s\n' secured "$secured" mutual "$mutual" expired "$expired" misnamed "$misnamed"
}

# --- command line -----------------------------------------------------------------------------------------------------

command=${1:-}
(($# == 0)) || shift
data=''
while (($# > 0)); do
    case $1 in
        --data) data=${2:-}; shift 2 || wrong "--data needs a value" ;;
        -h | --help) usage; exit ;;
        *) wrong "unknown option \`$1\`" ;;
    esac
done
case $command in
    start | certificates)
        [[ -n $data ]] || wrong "$command needs --data DIR"
        mkdir -p "$data"
        data=$(cd "$data" && pwd)
        "$command"
        ;;
    help | -h | --help) usage ;;
    '') wrong "give a command" ;;
    *) wrong "unknown command \`$command\`" ;;
esac
