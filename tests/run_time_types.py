"""The type checker of the tests: beartype, with integers accepted as real numbers (PEP 484)."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
