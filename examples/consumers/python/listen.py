#!/usr/bin/env python3
"""Prints changes of warnings as they are committed, over HTTP, and goes on where it stood when the connection ends.

    listen.py --url https://risk.example:9464 --token-file token --ca ca.pem [--within 330902] [--after EPOCH] [--count N]

Needs nothing but Python. What matters in it:

* The token goes into the header Authorization, where reading needs one (`http.reading`): never into a URL, which ends up in logs.
* An event counts once its line is complete; the last event of an epoch has an `id`, and `Last-Event-ID` says where to go on.
* `event: resync`: something was missed. Read /api/v1/warnings, and pass over events up to its `epoch`.
* 401 and 403 do not get better by trying again; 503 and a connection that ends do.
"""

import argparse
import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def events(answer):
    """The events of an answer: identifier, kind, data."""
    event = {}
    for line in answer:
        line = line.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        else:
            yield event.get("id"), event.get("event"), event.get("data")
            event = {}


def connect(arguments, context, last):
    filters = {"within": arguments.within} if arguments.within else {}
    request = urllib.request.Request(f"{arguments.url}/api/v1/events?{urllib.parse.urlencode(filters)}")
    if arguments.token_file:
        with open(arguments.token_file, encoding="utf-8") as file:
            request.add_header("Authorization", "Bearer " + file.read().strip())
    if last:
        request.add_header("Last-Event-ID", last)
    # In quiet an `id` comes every 10 s.
    return urllib.request.urlopen(request, timeout=30, context=context)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--url", default="http://localhost:9464")
    arguments.add_argument("--token-file", help="the file with the token, where reading needs one")
    arguments.add_argument("--ca", help="the certificate to trust, or that of who signed it")
    arguments.add_argument("--within", help="a region code")
    arguments.add_argument("--after", help="an epoch: what came after it")
    arguments.add_argument("--count", type=int, help="end after so many changes")
    arguments = arguments.parse_args()
    context = ssl.create_default_context(cafile=arguments.ca) if arguments.url.startswith("https:") else None
    last, heard = arguments.after, 0
    while True:
        try:
            with connect(arguments, context, last) as answer:
                for number, kind, data in events(answer):
                    if kind == "resync":
                        print("resync: read /api/v1/warnings", flush=True)
                    elif kind is not None:
                        print("{epoch} {kind} {rule}/{asset} {from}->{to}".format(**json.loads(data)), flush=True)
                        heard += 1
                        if heard == arguments.count:
                            return
                    last = number or last
        except urllib.error.HTTPError as error:
            if error.code != 503:
                sys.exit(f"{error.code}: {error.read().decode()}")
        except OSError as error:
            print(f"{error}: trying again", file=sys.stderr)
        # Nothing tells that the job is there again; to ask at once would only be noise.
        time.sleep(3)


if __name__ == "__main__":
    main()
