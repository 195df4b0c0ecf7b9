"""What a network costs: ledger, paths, formulas, verification against other counters."""
