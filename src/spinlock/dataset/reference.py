"""The reference of the initial conditions, rendered from their declarations."""

import inspect
from collections.abc import Iterator

from spinlock.dataset.catalogues import option_facts
from spinlock.initial_conditions import InitialCondition
from spinlock.initial_conditions.catalogue import NORMALIZATION, by_tier
from spinlock.registry import Option

INTRODUCTION = """# Initial conditions

{count} types, each with four samples, the model it follows, its options, and the laws that tests hold it to.
In a configuration the options stand under the name of the type; `X: value` fixes an option, and
`X_range: [low, high]` draws it for each sample where the table says *drawable*. The values drawn are stored
in `metadata/ic_options`. Lengths in px are those of a 128 grid and scale with the grid.

Every type also takes `normalize` ({normalize}): one factor for all channels of a
sample, which is stored.
`random` is another name for `gaussian_random_field`; `multiscale_grf_low`, `_mid` and `_high` are its bands
[1, 4), [6, 14) and [20, 48) cycles per side; a suffix `_v2`, `_v3`, … names a further variant of a type.

| type | tier | domain | periodic | channels of one draw | source |
|---|---|---|---|---|---|
{rows}
"""


def initial_conditions_page() -> str:
    """Return docs/initial_conditions.md."""
    entries = by_tier()
    rows = "\n".join(_row(entry) for entry in entries)
    modes = ", ".join(f"`{mode}`" for mode in NORMALIZATION["normalize"].choices)
    introduction = INTRODUCTION.format(count=len(entries), normalize=modes, rows=rows)
    return introduction + "".join(_section(entry) for entry in entries)


def _row(entry: InitialCondition) -> str:
    cells = (
        f"[{entry.name}](#{entry.name})",
        str(entry.tier),
        entry.domain,
        "yes" if entry.periodic else "no",
        str(entry.native),
        entry.source,
    )
    return f"| {' | '.join(cells)} |"


def _section(entry: InitialCondition) -> str:
    text = inspect.cleandoc(entry.function.__doc__ or "").replace("``", "`")
    own = [option for name, option in entry.options.items() if name not in NORMALIZATION]
    table = "\n".join(_option_row(entry, option) for option in own)
    options = f"\n| option | default | allowed |\n|---|---|---|\n{table}\n" if own else ""
    laws = "".join(f"- {law.statement}\n" for law in entry.laws)
    picture = f"![Four samples of {entry.name}](images/initial_conditions/{entry.name}.webp)"
    return f"\n## {entry.name}\n\n{picture}\n\n{text}\n{options}\nLaws:\n\n{laws}"


def _option_row(entry: InitialCondition, option: Option) -> str:
    cells = (f"`{option.name}`", _default(entry, option), "; ".join(_allowed(option)))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(entry: InitialCondition, option: Option) -> str:
    if option.name in entry.drawn:
        low, high = entry.drawn[option.name]
        return f"drawn from [{low:g}, {high:g}]"
    default = option_facts(option)["default"]
    return "null" if default is None else f"{str(default).lower() if isinstance(default, bool) else default}"


def _allowed(option: Option) -> Iterator[str]:
    yield option.allowed()
    if option.rangeable:
        yield "drawable"
