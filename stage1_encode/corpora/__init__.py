"""Sources of text: each says what it is, is cut into units, and gives the paragraphs of a unit again."""
