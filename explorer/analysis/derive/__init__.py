"""The papers' formulas, derived by walking the library's blocks on symbols, beside what the papers say."""
