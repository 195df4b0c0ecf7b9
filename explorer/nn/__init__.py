"""From graph to torch module."""
