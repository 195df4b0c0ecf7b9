"""The audit: every figure and claim the three papers print, beside what the ledger says."""
