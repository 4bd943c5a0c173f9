"""Reads records of Kafka as CloudEvents, with the CloudEvents SDK, and says what it found in each.

In: a JSON object a line, as kcat prints it: `key`, `payload` (null in a tombstone), `headers` (names and values in turn).
Out: a JSON object a line: the attributes of the event, its extensions among them, and `data`.

A record that is no CloudEvent ends it with the SDK's error. Needs cloudevents (deploy/tools.sh install cloudevents).
"""

import datetime
import json
import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent


def plain(value):
    return int(value.timestamp() * 1000 + 0.5) if isinstance(value, datetime.datetime) else value


for line in sys.stdin:
    record = json.loads(line)
    headers = record["headers"]
    message = KafkaMessage(
        headers={name: value.encode() for name, value in zip(headers[::2], headers[1::2], strict=True)},
        key=record["key"],
        value=(record["payload"] or "").encode(),
    )
    event = from_binary(message, JSONFormat(), CloudEvent)
    attributes = {name: plain(value) for name, value in event.get_attributes().items()}
    print(json.dumps({"attributes": attributes, "data": event.get_data()}))
