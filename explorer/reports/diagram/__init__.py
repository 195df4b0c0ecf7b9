"""The drawing of a network: what is drawn (items), how large and where (layout), with what marks (paint)."""
