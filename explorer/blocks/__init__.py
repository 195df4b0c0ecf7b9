"""Primitive ops, quantities, the graph, and the library of blocks as text."""
