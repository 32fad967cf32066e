"""Photos of car panels with scratches, and with much that looks like scratches.

    photo = take_photo(SOURCES[0], seed=1, number=7, side_px=256)     # pixels, label, truth, albedo, light
    write_scratches(ScratchWorld(seed=1, side_px=256, counts=(120, 480)), Path("out"))

docs/scratch_world.md says what is in it.
"""

from tiler.synthetic.scratches.photo import SOURCES, Photo, Source, take_photo
from tiler.synthetic.scratches.write import SCALES, ScratchWorld, Written, write_scratches

__all__ = ["SCALES", "SOURCES", "Photo", "ScratchWorld", "Source", "Written", "take_photo", "write_scratches"]
