"""Spinlock: datasets of stochastic neural dynamical systems, reproducible to the bit."""

__version__ = "1.0.0"
