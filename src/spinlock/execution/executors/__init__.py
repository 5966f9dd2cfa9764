"""Executors: who runs the shards. Each yields a receipt for every shard, in any order, and holds no state."""
