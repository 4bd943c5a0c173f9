#!/usr/bin/env python3
"""Whether a CycloneDX document, Cargo.lock and the list in a program say the same.

    compare.py validate SBOM            whether it is CycloneDX 1.5, by its schema (cyclonedx-python-lib)
    compare.py lock SBOM LOCK           whether each crate stands in LOCK with that version and hash, and those that matter are there
    compare.py program SBOM AUDIT       whether the crates of a program (AUDIT: its section .dep-v0, as cargo-auditable writes it) stand in SBOM

Exit status: 0 yes; 1 no, with what differs.
"""
import json
import sys
import tomllib
import zlib

# Without these it is no list of riskflow: the dataflow, Kafka, and C libraries under them.
MATTER = ["timely", "differential-dataflow", "rdkafka", "rdkafka-sys", "rustls", "zstd-sys"]


def crates(sbom):
    """Name and version of each crate from the registry, with its hash."""
    found = {}
    for component in sbom["components"]:
        # What is of this workspace says where it lies.
        if "download_url=" in component.get("purl", "download_url="):
            continue
        hashes = {entry["alg"]: entry["content"] for entry in component.get("hashes", [])}
        found[component["name"], component["version"]] = hashes.get("SHA-256")
    return found


def validate(sbom_text):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(sbom_text)
    return str(error).splitlines()[:1] if error else []


def lock(sbom, locked):
    wrong = []
    known = {(package["name"], package["version"]): package.get("checksum") for package in locked["package"]}
    listed = crates(sbom)
    for crate, checksum in listed.items():
        if crate not in known:
            wrong.append(f"{crate} is not in Cargo.lock")
        elif checksum != known[crate]:
            wrong.append(f"{crate} has the hash {checksum}, and in Cargo.lock {known[crate]}")
    names = {name for name, _ in listed}
    wrong += [f"{name} is missing" for name in MATTER if name not in names]
    wrong += [f"{component['name']} has no licence" for component in sbom["components"] if not component.get("licenses")]
    print(f"{len(listed)} crates from the registry")
    return wrong


def program(sbom, audit):
    packages = audit["packages"]
    listed = crates(sbom)
    roots = [package for package in packages if package.get("root")]
    component = sbom["metadata"]["component"]
    wrong = []
    if [(root["name"], root["version"]) for root in roots] != [(component["name"], component["version"])]:
        wrong.append(f"the program is {roots}, and the document of {component['name']} {component['version']}")
    linked = [package for package in packages if package.get("kind", "runtime") == "runtime" and package["source"] == "crates.io"]
    if len(linked) < 50:
        wrong.append(f"the program names {len(linked)} crates only")
    for package in linked:
        if (package["name"], package["version"]) not in listed:
            wrong.append(f"{package['name']} {package['version']} is in the program and not in the document")
    print(f"{len(linked)} crates in the program")
    return wrong


def main():
    match sys.argv[1:]:
        case ["validate", sbom]:
            wrong = validate(open(sbom, encoding="utf-8").read())
        case ["lock", sbom, path]:
            wrong = lock(json.load(open(sbom, encoding="utf-8")), tomllib.load(open(path, "rb")))
        case ["program", sbom, path]:
            wrong = program(json.load(open(sbom, encoding="utf-8")), json.loads(zlib.decompress(open(path, "rb").read())))
        case _:
            sys.exit(__doc__)
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


main()
