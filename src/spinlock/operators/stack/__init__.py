"""Many networks applied in the same launches; modules that import Triton are imported where needed."""
