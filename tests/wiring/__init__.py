"""The wiring of built modules against references that share no code with them."""
