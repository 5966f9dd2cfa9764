"""Exports: a dataset in the layouts of other tools, one module each."""
