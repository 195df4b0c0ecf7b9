"""Training: data, recipes, budgets, one loop. Only `loop` and `environment` import torch."""
