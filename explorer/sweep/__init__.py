"""Sweeps: candidates and their costs, the store of ended trials, the engine that runs what is missing.

`from explorer.sweep.run import sweep, train_one`; reading results: `from explorer.sweep.store import Store`.
"""
