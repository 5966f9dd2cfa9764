"""Contracts and laws that a new part is checked against, here and in packages that add parts."""
