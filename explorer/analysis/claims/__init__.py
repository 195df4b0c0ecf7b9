"""What the papers say in sentences: each claim as a check over printed figures and the ledger, and its verdict."""

from explorer.analysis.claims.judge import VERDICTS as VERDICTS
from explorer.analysis.claims.verdicts import ClaimRow as ClaimRow
from explorer.analysis.claims.verdicts import claims as claims
from explorer.analysis.claims.verdicts import counts as counts
