// Outlines of sites, fetched tile by tile where one looks; those of tiles that are left behind are let go.

import { element, fetched } from "./dom.js";
import { tileAt } from "./tiles.js";

const MOST_TILES = 24;
const MOST_HELD = 4 * MOST_TILES;

export class Sites {
  constructor(map, { zoom, there }, told) {
    Object.assign(this, { map, zoom, there: there ? new Set(there) : null, told, held: new Map(), group: L.layerGroup() });
    map.on("moveend", () => this.fill());
  }

  show(shown) {
    if (shown) this.group.addTo(this.map);
    else this.group.remove();
    this.fill();
  }

  async fill() {
    if (!this.map.hasLayer(this.group)) return this.told("");
    const bounds = this.map.getBounds();
    const side = 2 ** this.zoom;
    const top = tileAt(Math.min(85, bounds.getNorth()), 0, this.zoom).y;
    const bottom = tileAt(Math.max(-85, bounds.getSouth()), 0, this.zoom).y;
    const first = Math.floor(((bounds.getWest() + 180) / 360) * side);
    const last = Math.floor(((bounds.getEast() + 180) / 360) * side);
    const wanted = [];
    for (let x = first; x <= last && wanted.length <= 4 * MOST_TILES; x++) {
      for (let y = Math.floor(top); y <= Math.floor(bottom); y++) wanted.push(`${((x % side) + side) % side}/${y}`);
    }
    if (wanted.length > MOST_TILES) return this.told("Zoom in to see the outlines.");
    this.told("");
    this.leave(new Set(wanted));
    const missing = wanted.filter((key) => !this.held.has(key) && (!this.there || this.there.has(key)));
    await Promise.all(missing.map(async (key) => {
      const slot = { layer: null };
      this.held.set(key, slot);
      try {
        const layer = L.geoJSON(await fetched(`sites/${key}.json`), { pane: "areas", style: { color: "#ffd400", weight: 1.5, fillOpacity: 0.05 }, onEachFeature: (feature, shape) => shape.bindTooltip(() => card(feature.properties)) });
        if (this.held.get(key) !== slot) return; // left meanwhile
        slot.layer = layer;
        this.group.addLayer(layer);
      } catch (error) {
        if (this.held.get(key) === slot) this.held.delete(key);
        this.told(`Outlines cannot be read: ${error.message}`);
      }
    }));
  }

  // A map holds what was seen last, however far one wanders over a country.
  leave(wanted) {
    for (const [key, { layer }] of this.held) {
      if (this.held.size <= MOST_HELD) return;
      if (wanted.has(key)) continue;
      if (layer) this.group.removeLayer(layer);
      this.held.delete(key);
    }
  }
}

function card(facts) {
  const lines = [
    `${facts.class ?? "site"} ${facts.id ?? ""}`,
    facts.area_m2 ? `${(facts.area_m2 / 1e4).toLocaleString("en", { maximumFractionDigits: 1 })} ha` : null,
    facts.probability ? `mean probability ${facts.probability.toFixed(2)}` : null,
    facts.first_seen ? `first seen ${facts.first_seen}` : null,
    facts.region ?? null,
  ];
  return element("div", {}, ...lines.filter(Boolean).map((text) => element("div", {}, text)));
}
