"""Evaluation: what `sandan evaluate` counts, sums up, writes and draws, on stitched maps and on data sets."""
