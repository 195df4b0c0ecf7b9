"""Architecture text: lexer, parser, syntax tree, printer, and the walk that expands it to a graph."""
