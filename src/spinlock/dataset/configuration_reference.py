"""The reference of the configuration, rendered from its model and from the catalogues of parameters."""

import inspect
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from spinlock.config.allowed import Slot, shown
from spinlock.config.model import Config, InputGeneration, ParameterConfig, Storage
from spinlock.config.parameters import known_parameters, sampling_types
from spinlock.numerics.noise import noise
from spinlock.operators import families
from spinlock.registry import Option, options_of
from spinlock.rollout.policies import policies, policy_options
from spinlock.storage.codecs import CODECS

INTRODUCTION = """# Configuration

A configuration is a YAML file with these sections. Unknown keys, values out of bounds and parameters that
never act are refused, all at once, each with its line and the nearest known name. Values are not converted:
`"3"` is no integer. `spinlock list config-schema` prints the same as a JSON Schema, with which editors
complete and check configurations; `spinlock generate --dry-run` checks one and makes nothing.

```yaml
{example}```

On the command line `--set KEY=VALUE` replaces any key, written with dots, as in
`--set simulation.num_timesteps=64`. The most used keys have options of their own
([commands](commands.md#generate)).

*Affects* says what a change of the key changes:

- *content*: the numbers of the dataset. Another value makes another dataset.
- *layout*: how the same numbers are stored.
- *execution*: how the work is done, on what, and where it goes. Stored numbers depend on it no further than
  on the kind of device ([guarantees](../guarantees.md)).
- *label*: a text that is stored beside the data.

A run resumes work of the same content and layout. A key without a default must be given.
"""

EXAMPLE = """version: "1.0"
parameter_space:
  architecture:
    gain: {type: continuous, bounds: [0.7, 2.0], log_scale: true}
  stochastic:
    noise_scale: {type: continuous, bounds: [0.001, 0.1], log_scale: true}
sampling:
  total_samples: 100
simulation:
  num_realizations: 3
  num_timesteps: 24
  input_generation:
    method: gaussian_random_field
dataset:
  output_path: datasets/mine.h5
"""
"""A configuration of few keys; a test loads it."""

PARAMETERS = """
## Parameters

What a parameter space may name. The headings `architecture`, `stochastic`, `operator` and `rollout` order a
space for its readers and mean nothing else. A parameter that is not named has its default and adds no
dimension. *Types* are the ways in which it may be sampled: between `bounds`, or from `choices`. *Suggested*
are bounds that suit most studies.
"""

INITIAL_CONDITIONS = """
Every other key is the name of an initial condition, or a label of your own, with a section of options:
[initial conditions](../initial_conditions.md) lists them. A section under a label names its `type`.

```yaml
input_generation:
  method: sampled
  ic_type_weights: {turing_pattern: 2, smooth: 1}
  turing_pattern: {wavelength_range: [8, 24]}
  smooth: {type: gaussian_random_field, length_scale: 0.2}
```
"""

SAMPLED_PARAMETER = "A sampled parameter"
SAMPLED_TEXT = "The section that stands under the name of a parameter."

HEADER = "| key | meaning | takes | default | affects |\n|---|---|---|---|---|\n"


def configuration_page() -> str:
    """Return docs/reference/configuration.md."""
    sections = "".join(_section(path, section, text) for path, section, text in walk())
    return f"{INTRODUCTION.format(example=EXAMPLE)}{sections}{PARAMETERS}{''.join(_catalogues())}"


def walk(
    path: str = "", section: type[BaseModel] = Config, text: str = "The keys of the file."
) -> Iterator[tuple[str, type[BaseModel], str]]:
    """Yield every section of the model: the dotted path of its key, its class and its description."""
    yield path, section, text
    for name, field in section.model_fields.items():
        inner = _inner(field)
        if inner is not None and inner is not ParameterConfig:
            yield from walk(f"{path}.{name}".lstrip("."), inner, inspect.cleandoc(inner.__doc__ or ""))
    if any(_inner(field) is ParameterConfig for field in section.model_fields.values()):
        yield SAMPLED_PARAMETER, ParameterConfig, SAMPLED_TEXT


def _inner(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section that a field holds, alone or under names of its own."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _section(path: str, section: type[BaseModel], text: str) -> str:
    rows = "\n".join(_row(path, name, field) for name, field in section.model_fields.items())
    closing = {InputGeneration: INITIAL_CONDITIONS, Storage: _codecs()}.get(section, "")
    return f"\n## {path or 'Top level'}\n\n{text.replace('``', '`')}\n\n{HEADER}{rows}\n{closing}"


def _codecs() -> str:
    return "\nCodecs:\n\n" + "".join(
        f"- `{codec.name}`: {codec.summary}; `compression_level` {codec.levels[0]} to {codec.levels[1]}, "
        f"{codec.default_level} by default.\n"
        for codec in CODECS.values()
    )


def _anchor(path: str) -> str:
    """Return the anchor that a heading has on the site and on GitHub."""
    return path.lower().replace(".", "").replace(" ", "-")


def _row(path: str, name: str, field: FieldInfo) -> str:
    said = field.json_schema_extra
    assert isinstance(said, dict)
    inner = _inner(field)
    cells = (
        f"`{name}`",
        _plain(field.description or ""),
        _section_link(path, name, inner) if inner else _plain(allowed_words(field)),
        "" if inner and not field.is_required() else _default(field),
        str(said["affects"]),
    )
    return _cells(cells)


def _section_link(path: str, name: str, inner: type[BaseModel]) -> str:
    if inner is ParameterConfig:
        return f"[parameters](#parameters) by name, [each a section](#{_anchor(SAMPLED_PARAMETER)})"
    return f"[a section](#{_anchor(f'{path}.{name}'.lstrip('.'))})"


def allowed_words(field: FieldInfo) -> str:
    """Return what a field takes; where a check of its own decides, as its refusal says it."""
    for mark in field.metadata:
        if isinstance(mark, BeforeValidator):
            try:
                mark.func(None)  # pyright: ignore[reportCallIssue]
            except ValueError as refusal:
                return str(refusal).partition("must be ")[2]
    return Slot(field.annotation, tuple(field.metadata)).allowed()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*must be given*"
    value = field.get_default()
    return f"`{value if isinstance(value, str) else shown(value)}`"


def _catalogues() -> Iterator[str]:
    for family in families.entries():
        yield _options(f"Family {family.name}", _text(family.function), family.options)
    noises = options_of(noise)
    yield _options("Noise", _text(noise), noises)
    listed = "\n".join(f"- `{policy.name}`: {policy.summary}" for policy in policies.entries())
    rollout = policy_options()
    yield _options("Update policies", listed, rollout)
    named = {name for family in families.entries() for name in family.options} | set(noises) | set(rollout)
    general = {name: option for name, option in known_parameters().items() if name not in named}
    yield _options("Grid and family", "What every rollout has.", general)


def _text(function: Any) -> str:
    return inspect.cleandoc(function.__doc__ or "").replace("``", "`")


def _options(title: str, text: str, options: dict[str, Option]) -> str:
    header = "| parameter | takes | suggested | default | types | acts |\n|---|---|---|---|---|---|\n"
    rows = "\n".join(_option_row(option) for option in options.values())
    return f"\n### {title}\n\n{text}\n\n{header}{rows}\n"


def _option_row(option: Option) -> str:
    suggested = option.number.suggested if option.number else None
    cells = (
        f"`{option.name}`",
        option.allowed(),
        f"{suggested[0]:g} to {suggested[1]:g}" if suggested else "",
        f"`{option.default if isinstance(option.default, str) else shown(option.default)}`",
        ", ".join(sampling_types(option)),
        _acts(option),
    )
    return _cells(cells)


def _acts(option: Option) -> str:
    if option.when is None:
        return "always"
    if not option.when.values:
        return f"with `{option.when.option}`"
    return f"with `{option.when.option}` {' or '.join(str(value) for value in option.when.values)}"


def _plain(words: str) -> str:
    """Return words that Markdown shows as they are; what stands in backticks is code."""
    parts = words.split("`")
    parts[::2] = [part.replace("<", "\\<").replace("*", "\\*") for part in parts[::2]]
    return "`".join(parts)


def _cells(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
