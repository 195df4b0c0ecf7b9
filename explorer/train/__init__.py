"""Training: data, recipes, budgets, one loop. Only `loop` and what feeds it import torch."""
