"""Satellites: sensors, scenes, lattices, stores, warping, blending and map products. No torch, no ray."""
