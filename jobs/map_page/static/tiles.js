// Tile layers that ask only for tiles that are there.

export const TILE_PX = 256;

export function tileAt(lat, lon, zoom) {
  const side = 2 ** zoom;
  const sine = Math.sin((lat * Math.PI) / 180);
  const x = ((lon + 180) / 360) * side;
  const y = (0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)) * side;
  return { x: ((x % side) + side) % side, y };
}

// Whether a tile touches [west, south, east, north]; east is above 180 across the antimeridian.
export function touches([west, south, east, north], { x, y, z }) {
  const side = 2 ** z;
  const first = Math.floor(((west + 180) / 360) * side);
  const last = Math.floor(((east + 180) / 360) * side);
  const top = Math.floor(tileAt(north, 0, z).y);
  const bottom = Math.floor(tileAt(south, 0, z).y);
  return (((x - first) % side) + side) % side <= last - first && y >= top && y <= bottom;
}

// `index`, of an exported page: zoom -> column -> [first, last, first, last, ...] rows that have a file.
export function isThere(layer, coords) {
  if (!touches(layer.bounds, coords)) return false;
  if (!layer.index) return true;
  const rows = layer.index[coords.z]?.[coords.x] ?? [];
  for (let i = 0; i < rows.length; i += 2) if (coords.y >= rows[i] && coords.y <= rows[i + 1]) return true;
  return false;
}

export const addressOf = (layer, { x, y, z }) => layer.tiles.replace("{z}", z).replace("{x}", x).replace("{y}", y);

const Tiles = L.TileLayer.extend({
  getTileUrl(coords) {
    const at = { x: coords.x, y: coords.y, z: this._getZoomForUrl() };
    return isThere(this.options.layer, at) ? addressOf(this.options.layer, at) : L.Util.emptyImageUrl;
  },
});

export function tilesOf(layer, pane, least) {
  return new Tiles("", {
    layer,
    pane,
    minNativeZoom: least,
    maxNativeZoom: layer.zoom,
    maxZoom: 20,
    className: "sharp",
    tileSize: TILE_PX,
    keepBuffer: 1,
  });
}
