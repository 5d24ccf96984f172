"""Parts from which circuits are composed; each adds labelled constraints and bus fractions to a builder."""
