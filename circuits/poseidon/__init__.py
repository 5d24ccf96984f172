"""The tree hash as a circuit sees it: 16 input cells and 140 more on each row."""
