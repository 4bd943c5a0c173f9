"""Does for the pods of a StatefulSet what the kubelet would: fills in their variables, and says how each process is started.

    kustomize build FOLDER | pods.py check PROGRAM     `riskflow check` with the variables and configuration of each pod
    kustomize build FOLDER | pods.py list              one JSON object a pod: name, args, env, configuration

Needs PyYAML. Exit status: 0 done; 1 a configuration was refused, or a variable is not filled in.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml


def expand(text, known):
    """$(NAME) where NAME is known, as in k8s.io/kubernetes/third_party/forked/golang/expansion."""
    return re.sub(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)", lambda found: known.get(found[1], found[0]), text)


def pods(documents):
    maps = {one["metadata"]["name"]: one["data"] for one in documents if one["kind"] == "ConfigMap"}
    for one in documents:
        if one["kind"] != "StatefulSet":
            continue
        for index in range(one["spec"]["replicas"]):
            spec = one["spec"]["template"]["spec"]
            name = f"{one['metadata']['name']}-{index}"
            fields = {"metadata.namespace": one["metadata"].get("namespace", "default")}
            config = next(volume["configMap"]["name"] for volume in spec["volumes"] if volume["name"] == "config")
            for container in spec.get("initContainers", []) + spec["containers"]:
                # What the container's runtime sets: the name of the host is that of the pod.
                env = {"HOSTNAME": name}
                for variable in container["env"]:
                    if "value" in variable:
                        # Only what stands before it.
                        env[variable["name"]] = expand(variable["value"], env)
                    else:
                        env[variable["name"]] = fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
                args = [expand(argument, env) for argument in container["args"]]
                for text in [*args, *env.values()]:
                    assert "$(" not in text, f"{name}: not filled in: {text}"
                yield {
                    "pod": name,
                    "container": container["name"],
                    "subdomain": one["spec"]["serviceName"],
                    "namespace": fields["metadata.namespace"],
                    "args": args,
                    "env": env,
                    "config": maps[config]["riskflow.toml"],
                }


def check(program, pod):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        # The secrets that it names are somebody else's.
        config = re.sub(r'"/run/secrets/riskflow/([^"]+)"', rf'"{folder}/\1"', pod["config"])
        for name in re.findall(r"/run/secrets/riskflow/([^\"]+)", pod["config"]):
            (folder / name).write_text("0123456789abcdef0123456789abcdef")
        (folder / "riskflow.toml").write_text(config)
        # The settings of the pod are in its variables; only the place of the file is another here.
        command = [program, "check", f"--config={folder / 'riskflow.toml'}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**pod["env"], "RISKFLOW_LOG_FORMAT": "text"})
        print(f"{pod['pod']} ({pod['container']}): {done.returncode}", done.stderr if done.returncode else "")
        return done.returncode == 0


def main():
    documents = [one for one in yaml.safe_load_all(sys.stdin) if one]
    match sys.argv[1:]:
        case ["list"]:
            for pod in pods(documents):
                print(json.dumps(pod))
        case ["check", program]:
            results = [check(program, pod) for pod in pods(documents)]
            assert results, "no StatefulSet"
            sys.exit(0 if all(results) else 1)
        case _:
            sys.exit(__doc__)


main()
