"""Readings of one datastream, one a second: the hours before now at once, then those of now until it is ended.

    feed.py BROKERS SECONDS     so many seconds of the past, with the times at which they would have come (Kafka's CreateTime), then goes on
    feed.py BROKERS 0           goes on only
    feed.py BROKERS bad NUMBER  so many records that are no JSON
"""

import json
import sys
import time

from confluent_kafka import Producer

brokers, what, *number = sys.argv[1:]
producer = Producer({"bootstrap.servers": brokers, "acks": "all"})


def send(value, at):
    producer.produce("in.observation", key="weir-3-rain", value=value, timestamp=int(at * 1000))
    producer.poll(0)


def reading(at):
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    send(json.dumps({"datastream": "weir-3-rain", "phenomenon_time": moment, "result": 0.1}), at)


if what == "bad":
    for _ in range(int(number[0])):
        send("no JSON", time.time())
    assert producer.flush(30) == 0, "the broker takes none"
else:
    second = int(time.time())
    for past in range(int(what), 0, -1):
        reading(second - past)
    assert producer.flush(60) == 0, "the broker takes none"
    while True:
        second += 1
        # Its own rhythm is what this is for.
        time.sleep(max(0.0, second - time.time()))
        reading(second)
