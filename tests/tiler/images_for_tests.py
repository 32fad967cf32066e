"""Small collections of images, sizes apart, heights and widths apart."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return uint8 (y, x, 3) of soft noise: what JPEG keeps about."""
    coarse = np.random.default_rng(seed).integers(20, 235, (4, 5, 3)).astype(np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    """Write (y, x), (y, x, 3) or (y, x, 4) in the format of the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def scratch_mask(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return bool (y, x): a bar that is somewhere else each time."""
    mask = np.zeros((height, width), bool)
    y0, x0 = np.random.default_rng(seed).integers(2, [height // 2, width // 2]).tolist()
    mask[y0 : y0 + height // 3, x0 : x0 + width // 4] = True
    return mask


def write_scratches(folder: Path, count: int, height: int = 40, width: int = 52) -> Path:
    """Write photos below images/ and masks of them below masks/: where a mask is, the photo is bright and red."""
    for index in range(count):
        high, wide = height + index % 3, width + 2 * (index % 2)
        pixels, mask = picture(high, wide, index) // 3, scratch_mask(high, wide, index)
        pixels[mask] = (250, 120, 60)
        kind = "png" if index % 2 else "jpg"
        save(folder / f"images/{'public' if index % 3 else 'company'}/차량 {index:03d}.{kind}", pixels)
        save(folder / f"masks/{'public' if index % 3 else 'company'}/차량 {index:03d}.png", mask.astype(np.uint8) * 255)
    return folder


def via(path: Path, images: dict[str, list[tuple[dict, dict]]], form: str = "list") -> Path:
    """Write annotations: file name to (shape, attributes) of its regions, in one of the forms that VIA has had."""
    regions = {n: [{"shape_attributes": s, "region_attributes": a} for s, a in r] for n, r in images.items()}
    if form == "list":
        told = [{"filename": n, "regions": {str(i): r for i, r in enumerate(some)}} for n, some in regions.items()]
    else:
        told = {f"{n}123": {"filename": n, "size": 123, "regions": some} for n, some in regions.items()}
        told = {"_via_img_metadata": told, "_via_settings": {}} if form == "project" else told
    path.write_text(json.dumps(told))
    return path


def polygon(*points: tuple[float, float]) -> dict:
    """Return a shape of VIA from (x, y) points."""
    return {"name": "polygon", "all_points_x": [p[0] for p in points], "all_points_y": [p[1] for p in points]}
