#!/usr/bin/env python3
"""Write shapes.jsonl: what the specification's 200 answers must hold, for the test beside it.

Run by hand when the specification changes:
    shapes.py PATH_TO_MATRIX_SPEC > shapes.jsonl
Keeps types and required fields; texts and examples stay where they are.
"""

import json
import pathlib
import sys

import yaml

DEPTH_MAX = 8
LOADED = {}


def load(path):
    path = path.resolve()
    if path not in LOADED:
        LOADED[path] = yaml.safe_load(path.read_text())
    return LOADED[path]


def pointed(ref, at):
    file, _, pointer = ref.partition("#")
    path = (at.parent / file) if file else at
    found = load(path)
    for step in filter(None, pointer.split("/")):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found, path


def pruned(schema, at, depth=0):
    """Types, required fields and what lies in them."""
    if depth > DEPTH_MAX or not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        target, path = pointed(schema["$ref"], at)
        return pruned(target, path, depth + 1)
    out = {}
    if isinstance(schema.get("type"), (str, list)):
        out["type"] = schema["type"]
    if schema.get("required"):
        out["required"] = list(schema["required"])
    properties = {
        name: shape
        for name, value in (schema.get("properties") or {}).items()
        if (shape := pruned(value, at, depth + 1))
    }
    for part in schema.get("allOf", []):
        part = pruned(part, at, depth + 1)
        properties = part.pop("properties", {}) | properties
        required = part.pop("required", [])
        out = part | out
        if required:
            out["required"] = sorted(set(out.get("required", [])) | set(required))
    if properties:
        out["properties"] = properties
    for name in ("items", "additionalProperties"):
        if shape := pruned(schema.get(name), at, depth + 1):
            out[name] = shape
    return out


def main(spec):
    shapes = {}
    files = [*(spec / "data/api/client-server").glob("*.yaml"), *(spec / "data/api/server-server").glob("*.yaml")]
    for file in sorted(files):
        api = load(file)
        base = api["servers"][0]["variables"]["basePath"]["default"]
        for path, methods in api["paths"].items():
            for method, operation in methods.items():
                answer = (operation.get("responses") or {}).get("200") or {}
                content = (answer.get("content") or {}).get("application/json") or {}
                shape = pruned(content.get("schema"), file)
                key = (base + path.strip(), method.upper())
                shapes.setdefault(key, shape)
    for (path, method), shape in sorted(shapes.items()):
        print(json.dumps({"of": f"{method} {path}", "shape": shape}, sort_keys=True))


main(pathlib.Path(sys.argv[1]))
