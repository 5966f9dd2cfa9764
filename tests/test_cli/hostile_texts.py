"""Configurations from a stranger: bytes that a parser could choke on, run code for, or never finish with."""

from test_config.config_texts import TEXT

SIZE = 50_000
"""Bytes of the large ones; a configuration may have 256 KiB."""

BILLION = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 10}]\n" for n in range(1, 30))
QUADRATIC = f"a: &a '{'x' * 1000}'\nb: [{'*a, ' * 20_000}]\n"
MARKED = "metadata:\n"
SPACE = "    num_layers:"
WEIGHTS = "      localized: 1\n"


def many(item: str, place: str) -> str:
    """Return the text with many bytes of an item, numbered, before a place."""
    count = SIZE // len(item)
    return TEXT.replace(place, "".join(item.format(number) for number in range(count)) + place)


CODE = {
    name: f"metadata:\n  name: {tag}\n"
    for name, tag in {
        "call": "!!python/object/apply:os.system ['touch ran']",
        "new": "!!python/object/new:os.system ['touch ran']",
        "name": "!!python/name:os.system",
        "module": "!!python/module:os",
        "call in a list": "[!!python/object/apply:subprocess.check_output [[touch, ran]]]",
        "own tag": "!include /etc/passwd",
        "binary": "!!binary aGVsbG8=",
        "verbatim": "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch ran']",
    }.items()
} | {"declared": "%TAG !py! tag:yaml.org,2002:python/\n---\na: !py!object/apply:os.system ['touch ran']\n"}

GROWING = {
    "billion laughs": BILLION,
    "quadratic growth": QUADRATIC,
    "recursive list": "a: &a [*a]\n",
    "recursive mapping": "a: &a {b: *a}\n",
    "merge key": f"x: &x {{seed: 1}}\n{TEXT}".replace("    seed: 42\n", "    <<: *x\n"),
    "merge key without an anchor": TEXT.replace("    seed: 42\n", "    <<: {seed: 42}\n"),
    "many anchors": "".join(f"a{n}: &a{n} 1\n" for n in range(5_000)),
}

DEEP = {
    "brackets": "[" * 100_000,
    "brackets below a key": "a: " + "[" * 100_000,
    "closed brackets": "a: " + "[" * 100_000 + "]" * 100_000,
    "braces": "{a: " * 50_000,
    "dashes": "- " * 100_000,
    "questions": "? " * 100_000,
    "indents": "".join(" " * depth + "a:\n" for depth in range(500)),
}

LARGE = {
    "long word": f"metadata: {{name: {'x' * SIZE}, nam: 1}}\n",
    "long key": f"{'k' * SIZE}: 1\n",
    "long quoted key": f"'{'k' * 1000}': 1\n",
    "one long line": TEXT.replace("[gelu, tanh]", f"[{', '.join(['gelu'] * 8_000)}]"),
    "values": many("gelu{}, ", "gelu, tanh"),
    "unknown keys": many("key{}: 1\n", MARKED),
    "unknown parameters": many("    gain{}: {{type: boolean}}\n", SPACE),
    "unknown types": many("      localised{}: 1\n", WEIGHTS),
    "the same key": "a: 1\n" * (SIZE // 5),
    "pairs": "a: [" + "{x: 1}, " * (SIZE // 8) + "]\n",
    "empty lines": "\n" * SIZE,
    "documents": "--- a\n" * (SIZE // 6),
    "zeros": "0" * SIZE,
    "integer": f"sampling: {{total_samples: {'9' * SIZE}}}\n",
    "hexadecimal": f"sampling: {{total_samples: 0x{'f' * SIZE}}}\n",
    "fraction": f"sampling: {{total_samples: 0.{'9' * SIZE}}}\n",
    "exponent": f"sampling: {{total_samples: 1e{'9' * SIZE}}}\n",
    "underscores": f"sampling: {{total_samples: 1{'_1' * (SIZE // 2)}}}\n",
    "too large": f"# {'x' * (1 << 18)}\n{TEXT}",
}

ENCODED: dict[str, bytes] = {
    "UTF-16 with a mark": TEXT.encode("utf-16"),
    "UTF-16 without a mark": TEXT.encode("utf-16-le"),
    "UTF-32": TEXT.encode("utf-32"),
    "Latin-1": TEXT.replace("small", "klein — größer").encode("cp1252"),
    "surrogates": TEXT.replace("name: small", 'name: "\\ud800"').encode(),
    "raw surrogates": TEXT.replace("name: small", "name: \ud800").encode("utf-8", "surrogatepass"),
    "NUL at the end": TEXT.encode() + b"\0",
    "NULs": b"\0" * 5000,
    "NUL in a path": TEXT.replace("small.h5", '"sma\\0ll.h5"').encode(),
    "a mark in the middle": TEXT.replace("metadata", "\ufeffmetadata").encode(),
    "bytes": bytes(range(256)) * 40,
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(4000),
    "gzip": b"\x1f\x8b\x08\x00" + bytes(range(200)),
    "pickle": b"\x80\x04\x95cposix\nsystem\n\x94\x8c\ttouch ran\x94\x85\x94R\x94.",
    "nothing": b"",
    "only a mark": b"\xef\xbb\xbf",
}

TWICE = {
    "document": f"{TEXT}---\n{TEXT}",
    "section": f"{TEXT}sampling: {{total_samples: 5}}\n",
    "key": TEXT.replace("  batch_size: 1000\n", "  batch_size: 1000\n  batch_size: 1000\n"),
    "quoted key": TEXT.replace("  batch_size: 1000\n", "  batch_size: 1000\n  'batch_size': 1000\n"),
    "parameter": TEXT.replace("  rollout:\n", "  rollout:\n    gain: {type: continuous, bounds: [1, 2]}\n"),
}

GROUPS = {"code": CODE, "growing": GROWING, "deep": DEEP, "large": LARGE, "twice": TWICE}

HOSTILE: dict[str, bytes] = ENCODED | {
    f"{group}: {name}": text.encode() for group, texts in GROUPS.items() for name, text in texts.items()
}
"""Every one must be refused."""
