#!/usr/bin/env python3
"""Prints changes of warnings as they are committed, and keeps the set of open warnings, across restarts.

    open_warnings.py --brokers localhost:9092 --state open.json [--prefix city.] [--once]

Needs confluent-kafka (Debian: python3-confluent-kafka). What matters in it:

* isolation.level=read_committed: records of transactions that were aborted never counted.
* The open set is the table out.warning.state: the last record of each key is its row, a null payload deletes it.
* Offsets and the set are kept together, in one file that is replaced as a whole: after a crash it goes on from there. A change may then
  be printed twice, and none is left out.
* Topics keep deletions for a day (delete.retention.ms). Who was away for longer reads the table from its beginning.
* Fields that it does not know are passed over; so are kinds of changes.
"""

import argparse
import json
import os
import signal
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

TABLE = "out.warning.state"
CHANGES = "out.warning.delta"

# Less than delete.retention.ms.
LONGEST_AWAY = 12 * 3600


class State:
    """What has to last: how far each partition was read, and the warnings that are open."""

    def __init__(self, path):
        self.path = path
        self.offsets = {TABLE: {}, CHANGES: {}}
        self.open = {}
        try:
            with open(path, encoding="utf-8") as file:
                saved = json.load(file)
        except FileNotFoundError:
            return
        self.offsets, self.open = saved["offsets"], saved["open"]
        if time.time() - saved["saved"] > LONGEST_AWAY:
            self.offsets[TABLE], self.open = {}, {}

    def save(self):
        saved = {"saved": time.time(), "offsets": self.offsets, "open": self.open}
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(saved, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + ".new", self.path)

    def take(self, topic, message):
        """Applies a record; what to print, if anything."""
        key, value = message.key().decode(), message.value()
        self.offsets[topic][str(message.partition())] = message.offset() + 1
        if topic == TABLE:
            if value is None:
                self.open.pop(key, None)
            else:
                self.open[key] = json.loads(value)
            return None
        change = json.loads(value)
        return "{epoch} {kind} {rule}/{asset} {from}->{to}".format(**change)


class Trouble:
    """Says once that brokers are away, and once that they are back; the client goes on trying by itself."""

    def __init__(self):
        self.told = False

    def __call__(self, error):
        if not self.told:
            self.told = True
            print(f"brokers do not answer, trying again: {error.str()}", file=sys.stderr, flush=True)

    def over(self):
        if self.told:
            self.told = False
            print("brokers answer again", file=sys.stderr, flush=True)


def partitions(consumer, prefix, state):
    """All partitions of both topics, each from where it was left."""
    found = []
    for topic in (TABLE, CHANGES):
        try:
            metadata = consumer.list_topics(prefix + topic, timeout=10).topics[prefix + topic]
        except KafkaException as exception:
            sys.exit(f"no broker answers: {exception.args[0].str()}; give --brokers HOST:PORT")
        if metadata.error is not None:
            sys.exit(f"{prefix}{topic}: {metadata.error}; `riskflow topics --create` makes it")
        for partition in metadata.partitions:
            offset = state.offsets[topic].get(str(partition), OFFSET_BEGINNING)
            found.append(TopicPartition(prefix + topic, partition, offset))
    return found


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--brokers", default="localhost:9092")
    arguments.add_argument("--prefix", default="", help="topics.prefix of riskflow")
    arguments.add_argument("--state", default="open-warnings.json", help="the file that lasts")
    arguments.add_argument("--once", action="store_true", help="end where the topics end now")
    arguments = arguments.parse_args()
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))

    state, trouble = State(arguments.state), Trouble()
    consumer = Consumer(
        {
            "bootstrap.servers": arguments.brokers,
            # Partitions are assigned by hand, and offsets kept in the file: the group is only a name.
            "group.id": "open-warnings",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            # The client would log each attempt to reach each broker.
            "log_level": 2,
            "error_cb": trouble,
        }
    )
    assigned = partitions(consumer, arguments.prefix, state)
    consumer.assign(assigned)
    at_end = set()
    while not stopped:
        messages = consumer.consume(num_messages=1000, timeout=1.0)
        for message in messages:
            if message.error() is None:
                line = state.take(message.topic()[len(arguments.prefix) :], message)
                if line is not None:
                    print(line, flush=True)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                at_end.add((message.topic(), message.partition()))
            else:
                sys.exit(str(message.error()))
        if messages:
            trouble.over()
            state.save()
        if arguments.once and len(at_end) == len(assigned):
            break
    consumer.close()
    print(f"{len(state.open)} open", flush=True)


if __name__ == "__main__":
    main()
