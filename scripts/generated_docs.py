"""Write the parts of the docs that are generated: settings, routes, the interface as JSON, client, command.

python scripts/generated_docs.py          # write them
python scripts/generated_docs.py --check  # exit 1 where one is not as it would be written
"""

import argparse
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import handful
from handful.api.app import create_app
from handful.cli import app
from handful.encoders.catalogue import CATALOGUE
from handful.report.encoders import Dot, drawn
from handful.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_VERBS = ("get", "post", "put", "patch", "delete")
_OF_LIBRARY = "encoder_", "image_", "cache_"  # settings that the library reads, too


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; say what is stale")
    check = parser.parse_args().check
    stale = [path for path, text in pages() if not path.exists() or path.read_text("utf-8") != text]
    if check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale; run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    written = dict(pages())
    for path in stale:
        path.write_text(written[path], "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def pages() -> Iterator[tuple[Path, str]]:
    """Each file with generated parts, as it should be."""
    yield DOCS / "encoders.svg", drawing()
    interface = create_app(Settings(_env_file=None)).openapi()
    yield DOCS / "openapi.json", f"{json.dumps(interface, indent=1, ensure_ascii=False)}\n"
    for name, parts in {
        "http.md": {
            "routes": routes(interface),
            "reference": reference(interface),
            "members": members(interface),
        },
        "operations.md": {"settings": settings()},
        "client.md": {"client": client()},
        "command.md": {"command": "\n".join(commands())},
        "decisions/index.md": {"decisions": decisions()},
        "encoders.md": {"catalogue": catalogue()},
    }.items():
        text = (DOCS / name).read_text("utf-8")
        for part, inside in parts.items():
            text = filled(text, part, inside)
        yield DOCS / name, text


def filled(page: str, part: str, inside: str) -> str:
    """The page with what is between the part's two markers exchanged."""
    begin, end = f"<!-- generated: {part} -->\n", f"<!-- end: {part} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"a page of docs/ lacks the markers of its part {part!r}: {begin.strip()} … {end}")
    return f"{before}{begin}\n{inside.strip()}\n\n{end}{after}"


def decisions() -> str:
    """A list of the pages about decisions."""
    lines = []
    for path in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        number, _, title = path.read_text("utf-8").partition("\n")[0].removeprefix("# ").partition(". ")
        lines.append(f"{number}. [{title}]({path.name})")
    return "\n".join(lines)


# ---- encoders


def catalogue() -> str:
    """A table of the catalogue by family; sources and what licences forbid below it."""
    lines = [
        "| name | model | columns | pixels | parameters | MB in fp32 | ImageNet | files | licence |",
        "|---|---|---:|---:|---:|---:|---:|---|---|",
    ]
    sources: list[str] = []
    forbids: dict[str, list[str]] = {}
    for entry in CATALOGUE.values():
        towers = [entry.image_parameters, entry.text_parameters]
        parameters = " + ".join(f"{count / 1e6:.0f}" for count in towers if count is not None)
        size, source = entry.about_bytes(), entry.imagenet_source
        if source is not None and source not in sources:
            sources.append(source)
        if entry.warning is not None:
            forbids.setdefault(entry.warning, []).append(f"`{entry.name}`")
        found = "in the package" if entry.layout == "package" else "export"
        cells = [
            f"`{entry.name}`",
            entry.title,
            str(entry.dimension),
            str(entry.image_side),
            f"{parameters} M" if parameters else "",
            "" if size is None else f"{size / 1e6:.0f}",
            "" if source is None else f"{entry.imagenet_top1:.1f}% [{sources.index(source) + 1}]",
            f"`{entry.repository}`" if entry.repository else found,
            entry.licence if entry.warning is None else f"{entry.licence} **!**",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Parameters are of the image and of the text tower. Sources of accuracy:", ""]
    lines += [f"- [{number}] {source}" for number, source in enumerate(sources, 1)]
    lines += ["", "**!** The licence limits use:", ""]
    lines += [f"- {', '.join(names)}: {warning}" for warning, names in forbids.items()]
    return "\n".join(lines)


def drawing() -> str:
    """The catalogue's accuracy against the size of its files."""
    dots = [
        Dot(
            name=entry.name,
            across=size,
            accuracy=entry.imagenet_top1,
            zero_shot=entry.zero_shot,
            size=entry.image_parameters or 0,
        )
        for entry in CATALOGUE.values()
        if (size := entry.about_bytes()) is not None and entry.imagenet_top1 is not None
    ]
    return drawn(dots, across="MB of both towers in fp32; larger circles: larger image towers", unit=1e6)


# ---- settings


def settings() -> str:
    """A table of all settings, in the order of settings.py."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `HANDFUL_{name.upper()}` | {default(name, field)} | {field.description} |")
    return "\n".join(lines)


def default(name: str, field: FieldInfo) -> str:
    """What holds where the variable is not set."""
    value = field.default
    if value is PydanticUndefined:
        return "the user's cache folder" if "cache" in name else "the user's data folder"
    if value is None or value == ():
        return ""
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if hasattr(value, "human_readable"):
        return f"`{value.human_readable().replace('.0', '')}`"
    return f"`{value}`"


# ---- the interface


def operations(interface: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each path with a verb and what the interface says of it."""
    for path, item in interface["paths"].items():
        for verb in _VERBS:
            if verb in item:
                yield path, verb.upper(), item[verb]


def routes(interface: Mapping[str, Any]) -> str:
    """A table of all routes, by tag."""
    lines = []
    tag = None
    for path, verb, operation in operations(interface):
        own = operation.get("tags", ["service"])[0]
        if own != tag:
            tag = own
            lines += [
                "",
                f"**{tag.capitalize()}**",
                "",
                "| route | what it does | answers |",
                "|---|---|---|",
            ]
        name = f"[`{verb} {path}`](#{operation['operationId']})"
        good = ", ".join(code for code in operation["responses"] if code.startswith("2"))
        lines.append(f"| {name} | {first_sentence(operation)} | {good} |")
    return "\n".join(lines)


def first_sentence(operation: Mapping[str, Any]) -> str:
    """What an operation does, shortly."""
    said = plain(operation.get("description") or operation.get("summary", ""))
    return said if ". " not in said else said.partition(". ")[0] + "."


def reference(interface: Mapping[str, Any]) -> str:
    """All that the interface says of each route."""
    schemas = interface["components"]["schemas"]
    parts = []
    for path, verb, operation in operations(interface):
        parts += [f"### {verb} {path} {{ #{operation['operationId']} }}", ""]
        parts += [operation.get("description") or f"{operation.get('summary', '')}.", ""]
        parts += parameters(operation)
        parts += bodies(operation, schemas)
        parts += answers(operation)
    return "\n".join(parts)


def members(interface: Mapping[str, Any]) -> str:
    """The members of each object that is sent or answered."""
    parts = []
    for name, schema in sorted(interface["components"]["schemas"].items()):
        if not schema.get("properties"):
            continue
        parts += [f"### {name} {{ #{name} }}", "", schema.get("description", ""), ""]
        parts += ["| member | type | meaning |", "|---|---|---|"]
        for member, of_member in schema["properties"].items():
            wanted = " (required)" if member in schema.get("required", ()) else ""
            meaning = plain(of_member.get("description", ""))
            parts.append(f"| `{member}`{wanted} | {kind(of_member)} | {meaning} |")
        parts.append("")
    return "\n".join(parts)


def parameters(operation: Mapping[str, Any]) -> list[str]:
    """Parameters of path, query and header."""
    found = operation.get("parameters", [])
    if not found:
        return []
    lines = ["| parameter | in | type | meaning |", "|---|---|---|---|"]
    for one in found:
        name = f"`{one['name']}`" + (" (required)" if one.get("required") else "")
        meaning = plain(one.get("description", ""))
        lines.append(f"| {name} | {one['in']} | {kind(one.get('schema', {}))} | {meaning} |")
    return [*lines, ""]


def bodies(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[str]:
    """What may be sent, with the first example of each type."""
    lines = []
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content.get("schema", {})
        shape = kind(schema)
        lines += [f"Body `{media_type}`{f': {shape}' if shape else ''}", ""]
        if schema.get("properties"):
            lines += ["| field | type | meaning |", "|---|---|---|"]
            for name, field in schema["properties"].items():
                lines.append(f"| `{name}` | {kind(field)} | {plain(field.get('description', ''))} |")
            lines.append("")
        example = example_of(content, schemas.get(schema.get("$ref", "").rpartition("/")[2], schema))
        if example is not None:
            lines += ["```json", json.dumps(example, indent=2, ensure_ascii=False), "```", ""]
    return lines


def example_of(content: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:  # Any: JSON
    """The first example of a body, its own or its schema's."""
    for examples in (content.get("examples", {}), schema.get("examples", [])):
        for one in examples.values() if isinstance(examples, dict) else examples:
            return one["value"] if isinstance(one, dict) and "value" in one else one
    return content.get("example", schema.get("example"))


def answers(operation: Mapping[str, Any]) -> list[str]:
    """What comes back, and which failures are to be expected."""
    good, bad = [], []
    for code, answer in operation["responses"].items():
        if not code.startswith("2"):
            bad.append(code)
            continue
        shapes = [kind(content.get("schema", {})) for content in answer.get("content", {}).values()]
        shape = " or ".join(dict.fromkeys(filter(None, shapes)))
        good.append(f"**{code}**{f' {shape}' if shape else ''}")
    failures = f"; fails with {', '.join(bad)}" if bad else ""
    return [f"Answers {' or '.join(good)}{failures}.", ""]


def kind(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[`{name}`](#{name})"
    for both in ("anyOf", "oneOf"):
        if both in schema:
            said = dict.fromkeys(kind(one) for one in schema[both] if one.get("type") != "null")
            return " or ".join(filter(None, said))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {})) or 'anything'}"
    bounds = [
        f"{sign} {schema[name]}"
        for name, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if name in schema
    ]
    return ", ".join([str(schema.get("format", schema.get("type", ""))), *bounds]).strip(", ")


def plain(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(text.split()).replace("|", "&#124;")


# ---- the client and the command


def client() -> str:
    """A table of the client's methods."""
    lines = ["| method | what it does |", "|---|---|"]
    for name, method in vars(handful.Client).items():
        if name.startswith("_") or not callable(method):
            continue
        given = inspect.signature(method)
        bare = [
            one.replace(annotation=inspect.Parameter.empty)
            for one in given.parameters.values()
            if one.name != "self"
        ]
        shown = given.replace(parameters=bare, return_annotation=inspect.Signature.empty)
        said = (inspect.getdoc(method) or "").partition("\n")[0]
        lines.append(f"| `{name}{plain(str(shown))}` | {plain(said.partition('    ')[0])} |")
    return "\n".join(lines)


def commands() -> Iterator[str]:
    """All commands with their arguments and options."""
    root = typer.main.get_command(app)
    yield from command("handful", root, click.Context(root, info_name="handful"))


def command(name: str, made: click.Command, context: click.Context) -> Iterator[str]:
    """A command, and those below it."""
    usage = " ".join(made.collect_usage_pieces(context))
    yield from (f"## {name}" if " " not in name else f"### {name}", "")
    said, _, example = plain(re.sub(r"\[/?(?:dim|bold)\]", "", made.help or "")).partition("$ ")
    yield from (f"`{name} {usage}`", "", said, "")
    if example:
        yield from ("```sh", example.replace("&#124;", "|"), "```", "")
    shown = [one for one in made.params if not getattr(one, "hidden", False) and one.name != "help"]
    if shown:
        yield from ("| option | meaning |", "|---|---|")
        for one in shown:
            names = (
                ", ".join([*one.opts, *one.secondary_opts])
                if one.param_type_name == "option"
                else str(one.name).upper()
            )
            yield f"| `{names}` | {plain(getattr(one, 'help', None) or '')} |"
        yield ""
    for below, child in getattr(made, "commands", {}).items():
        if not child.hidden:
            yield from command(
                f"{name} {below}", child, click.Context(child, info_name=below, parent=context)
            )


if __name__ == "__main__":
    sys.exit(main())
