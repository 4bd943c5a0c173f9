"""Takes the commands out of documents: each ```console block becomes a script, whose lines after `$ ` are run, and each has to end well.

    blocks.py VERSION FOLDER DOCUMENT…     writes FOLDER/NAME.sh, and prints "NAME.sh<tab>document: heading<tab>why it is not run"

A block after `<!-- not run: why -->` is not run. VERSION has to be the one that the documents name.
"""

import pathlib
import re
import sys

version, folder, *documents = sys.argv[1:]
for document in map(pathlib.Path, documents):
    heading = why = block = None
    fenced, count = False, 0
    for line in document.read_text().splitlines():
        if block is not None:
            if line == "```":
                name = f"{document.stem}-{count}.sh"
                head = ["set -euo pipefail", "cd /guide", "export HOME=/root PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin RISKFLOW_CONFIG=/etc/riskflow/riskflow.toml DEBIAN_FRONTEND=noninteractive"]
                (pathlib.Path(folder) / name).write_text("\n".join(head + block) + "\n")
                print(name, f"{document.name}: {heading}", why or "", sep="\t")
                block = why = None
                count += 1
            elif line.startswith("$ "):
                block += ["echo " + "'" + line.replace("'", "'\\''") + "'", line[2:]]
            elif block and block[-1].endswith("\\"):
                block.append(line)
        elif line == "```console":
            block = []
        elif line.startswith("```"):
            # What stands in it, such as a configuration, has no headings.
            fenced = not fenced
        elif line.startswith("#") and not fenced:
            heading = line.lstrip("# ")
        elif found := re.fullmatch(r"<!-- not run: (.*) -->", line):
            why = found[1]
    named = set(re.findall(r"riskflow_([0-9.]+)-1_", document.read_text()))
    assert named <= {version}, f"{document.name} names version {named}, and the program is {version}"
