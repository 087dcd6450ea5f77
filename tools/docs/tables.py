#!/usr/bin/env python3
"""Holds the tables of the documentation to the program: keys of the app spec (from `colony schema`) and metrics (from
src/observe/metric_names.h), each between two marks in its document; and every reason in docs/errors.md is one that the
source has.

Usage: tables.py COLONY [--write]. COLONY is the binary that is asked. Without --write nothing is changed: every line that
differs is printed, and the exit code is 1.
"""
import difflib
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def code(text):
    return "`" + text.replace("|", "\\|") + "`"


def kind(schema):
    """One schema of a key as words: its type and bounds."""
    if "enum" in schema:
        return " or ".join(code(json.dumps(value).strip('"')) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join("a path" if one.get("type") == "string" else kind(one) for one in schema["anyOf"]
                           if one.get("type") != "null")
    types = schema.get("type", "any value")
    name = " or ".join(t for t in ([types] if isinstance(types, str) else types) if t != "null")
    if name == "object":
        return "mapping"
    if name == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        return f"list of {least or 'at most'}{' to' if least else ''} {most}" if most else "list"
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if low is not None:
        bound = f"above {low:g}, at most {high:g}" if "exclusiveMinimum" in schema else f"{low:g} to {high:,.16g}"
        return f"{name}, {bound}"
    if "pattern" in schema:
        return f"{name} like {code(schema['pattern'])}"
    return name


def rows(schema):
    yield "| key | value | default | what it does |"
    yield "|---|---|---|---|"
    needed = schema.get("required", [])
    for name, key in schema["properties"].items():
        default = "required" if name in needed else code(json.dumps(key["default"])) if "default" in key else "see there"
        if isinstance(key.get("default"), (dict, list)) and key["default"] not in ([], {}, ["cpu"]):
            default = "see its keys"
        yield f"| {code(name)} | {kind(key)} | {default} | {key['description']} |"


def app_spec(binary):
    schema = json.loads(subprocess.run([binary, "schema"], check=True, capture_output=True, text=True).stdout)
    app = schema["properties"]["applications"]["items"]
    deployment = app["properties"]["deployments"]["items"]
    model = next(one for one in deployment["properties"]["model"]["anyOf"] if one.get("type") == "object")
    named = deployment["properties"]["models"]["items"]
    extra = {"name"} | set(model["properties"])
    if set(named["properties"]) != extra:
        sys.exit("tables.py: `models` entries differ from `model` in more than the name: give them a table of their own")
    for title, part in (("An application", app), ("A deployment", deployment), ("`model:`, and an entry of `models:`", named),
                        ("`backend:`", deployment["properties"]["backend"]["anyOf"][0]),
                        ("`ray_actor_options:`", deployment["properties"]["ray_actor_options"])):
        yield from ("", f"### {title}", "")
        yield from rows(part)
    yield ""


def metrics(_binary):
    """Families that some file outside observe/ counts."""
    with open(os.path.join(ROOT, "src/observe/metric_names.h"), encoding="utf-8") as file:
        header = file.read()
    sources = subprocess.run(["git", "-C", ROOT, "grep", "-ohE", "observe::k[A-Z][A-Za-z]+", "--", "src/*.cc", "src/*.h"],
                             capture_output=True, check=True, text=True).stdout.split()
    used = {name.removeprefix("observe::") for name in sources}
    yield from ("", "| family | kind | labels | what it counts | Ray Serve's name |", "|---|---|---|---|---|")
    for name, body in re.findall(r"inline constexpr MetricFamily (k\w+)\{(.*?)\};", header, re.DOTALL):
        if name not in used:
            continue
        field = {k: v for k, v in re.findall(r'\.(\w+) = (\{[^}]*\}|MetricKind::k\w+|(?:"[^"]*"\s*)+|\d+)', body)}
        text = lambda key: "".join(re.findall(r'"([^"]*)"', field.get(key, "")))
        labels = ", ".join(code(x) for x in re.findall(r'"([^"]*)"', field.get("labels", "")))
        what = field.get("kind", "MetricKind::kCounter").removeprefix("MetricKind::k").lower()
        alias = code(text("alias")) if "alias" in field else ""
        yield f"| {code(text('name'))} | {what} | {labels} | {text('help')} | {alias} |"
    yield ""


def reasons_that_do_not_exist():
    with open(os.path.join(ROOT, "docs/errors.md"), encoding="utf-8") as file:
        table = file.read().split("## Reasons")[1]
    for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        for reason in re.findall(r"`(\w+)`", row):
            if subprocess.run(["git", "-C", ROOT, "grep", "-q", f'"{reason}"', "--", "src/*.cc", "src/*.h", ":!*_test.cc"],
                              check=False).returncode:
                yield f"docs/errors.md: nothing in src/ gives the reason {reason}"


TABLES = {"docs/app-spec.md": app_spec, "docs/metrics.md": metrics}


def main():
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    missing = list(reasons_that_do_not_exist())
    print("".join(line + "\n" for line in missing), end="")
    bad = bool(missing)
    for name, make in TABLES.items():
        path = os.path.join(ROOT, name)
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
        begin = next(i for i, line in enumerate(lines) if line.startswith("<!-- table:"))
        end = next(i for i, line in enumerate(lines) if line == "<!-- end of table -->")
        wanted = lines[:begin + 1] + list(make(arguments[0])) + lines[end:]
        if wanted == lines:
            continue
        if "--write" in sys.argv:
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(wanted))
            continue
        bad = True
        print("\n".join(difflib.unified_diff(lines, wanted, name, "what the program says", n=0, lineterm="")))
        print(f"{name}: run tools/docs/tables.py {arguments[0]} --write")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
