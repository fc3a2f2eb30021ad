#!/bin/sh
# Runs one Apache Kafka broker (KRaft, broker and controller in one process) in the foreground.
#
#   run.sh DATA_DIR PORT [CONTROLLER_PORT]
#   run.sh --resolve    only fetch the jars, where they are missing or older than pom.xml
#
# DATA_DIR         created and formatted when empty; kept over restarts, kill -9 included
# PORT             clients, on 127.0.0.1
# CONTROLLER_PORT  the controller's own listener, on 127.0.0.1; PORT + 1 unless given
#
# Environment: KAFKA_ADVERTISED (what clients are told to connect to, HOST:PORT; default 127.0.0.1:PORT),
# KAFKA_HEAP_OPTS (default -Xms256m -Xmx512m), KAFKA_JVM_OPTS (nothing).
# Needs Java 17 or later, and Maven the first time.
# Exit: the broker's own; 2 for wrong usage; 3 when Maven is needed and missing.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

# resolve leaves its mark last: a Maven that was killed half-way is run again, and jars of an older
# pom.xml never stay on the class path beside the new ones.
resolve() {
	mark=$here/target/resolved
	if [ -f "$mark" ] && [ ! "$here/pom.xml" -nt "$mark" ]; then
		return
	fi
	if ! command -v mvn >/dev/null; then
		echo "Apache Kafka is not resolved yet and Maven (mvn) is not on PATH" >&2
		exit 3
	fi
	echo "resolving Apache Kafka with Maven (once)" >&2
	rm -rf "$here/target/lib" "$mark"
	mvn -q -B -f "$here/pom.xml" package
	touch "$mark"
}

if [ "${1:-}" = --resolve ] && [ $# -eq 1 ]; then
	resolve
	exit 0
fi
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
	echo "usage: $0 DATA_DIR PORT [CONTROLLER_PORT]" >&2
	exit 2
fi
resolve
mkdir -p "$1"
data=$(CDPATH='' cd -- "$1" && pwd)
port=$2
controller=${3:-$((port + 1))}

# The replication factors are 1 because there is one broker. The session timeout's lower bound is
# below Kafka's 6 s so that kill tests need not wait that long. A broker that was killed is let in again
# only when the session of its predecessor has ended: 3 s instead of 9 s. The cleaner's buffer is
# 128 MiB by default, a quarter of this heap, for topics we do not have (nothing of ours is compacted).
cat >"$data/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://${KAFKA_ADVERTISED:-127.0.0.1:$port}
log.dirs=$data/log
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.cleaner.dedupe.buffer.size=4194304
EOF

java_with_kafka() {
	# shellcheck disable=SC2086 # the two options are lists of words
	exec java ${KAFKA_HEAP_OPTS:--Xms256m -Xmx512m} ${KAFKA_JVM_OPTS:-} \
		-Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$here/target/lib/*" "$@"
}

if [ ! -f "$data/log/meta.properties" ]; then
	# A cluster id is 16 bytes in URL-safe base64; one that starts with '-' would read as an option.
	id=K$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)
	(java_with_kafka kafka.tools.StorageTool format --cluster-id "$id" --config "$data/server.properties" >"$data/format.log" 2>&1) ||
		{ cat "$data/format.log" >&2; exit 1; }
fi

java_with_kafka kafka.Kafka "$data/server.properties"
