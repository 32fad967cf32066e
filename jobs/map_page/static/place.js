// A clicked place: its values, and what they were made of.

import { byId, element, fetched } from "./dom.js";
import { sampled } from "./sample.js";

const dateOf = (moment) => (moment ? moment.slice(0, 10) : "no date");

export class PlaceCard {
  constructor(map, page, changed, opened) {
    Object.assign(this, { map, page, changed, opened, at: null, marker: null, similar: L.layerGroup().addTo(map) });
    if (page.runs.length) map.on("click", (event) => this.show(event.latlng.lat, event.latlng.lng));
  }

  async show(lat, lon) {
    this.at = [lat, lon];
    this.changed();
    this.marker?.remove();
    this.similar.clearLayers();
    this.marker = L.circleMarker([lat, lon], { radius: 8, color: "#fff", weight: 3, fillColor: "#be185d", fillOpacity: 1, pane: "places" }).addTo(this.map);
    const asked = this.at;
    const card = byId("place-body");
    card.replaceChildren(element("p", { class: "soft" }, "Reading …"));
    const wrapped = ((((lon + 180) % 360) + 360) % 360) - 180;
    try {
      const told = this.page.place ? await fetched(`place?lon=${wrapped.toFixed(7)}&lat=${lat.toFixed(7)}`) : await sampled(this.page, wrapped, lat);
      if (this.at === asked) card.replaceChildren(...this.card(told, wrapped, lat));
    } catch (error) {
      if (this.at === asked) card.replaceChildren(element("p", {}, `This place cannot be read: ${error.message}`));
    }
    if (this.at !== asked) return;
    this.opened();
    const panel = byId("panel");
    this.map.panInside([lat, lon], innerWidth > 640 ? { paddingTopLeft: [350, 20] } : { paddingTopLeft: [20, 20], paddingBottomRight: [20, panel.offsetHeight + 20] });
  }

  card(told, lon, lat) {
    const parts = [element("p", { class: "soft" }, `${lat.toFixed(5)}, ${lon.toFixed(5)} (latitude, longitude)`)];
    for (const run of told.runs) {
      if (told.runs.length > 1) parts.push(element("h3", {}, run.title));
      if (!run.inside) {
        parts.push(element("p", {}, "Outside of this map."));
        continue;
      }
      const rows = run.values.map((one) => element("tr", {}, element("th", {}, one.title), element("td", {}, one.told)));
      parts.push(element("table", { class: "values" }, element("tbody", {}, ...rows)), this.provenance(run));
    }
    if (this.page.similar) parts.push(element("p", {}, element("button", { type: "button", id: "find-similar", onclick: () => this.findSimilar(lon, lat) }, "Similar places")));
    return parts;
  }

  provenance(run) {
    const scenes = run.scenes.map((one) => `${one.id} (${dateOf(one.acquired)})${one.known ? "" : ", if it was valid here"}`);
    const models = run.models.map((one) => `${one.name} ${one.digest}`);
    const pixel = run.pixel ? `row ${run.pixel.row}, column ${run.pixel.col}, cell ${run.pixel.cell}, ${run.pixel.crs}` : null;
    const facts = [
      [`Seen by ${run.scenes.length}`, scenes.join("; ") || "no scene"],
      ["Networks", models.join("; ")],
      ["Map pixel", pixel],
      ["Made", `${run.made.created.slice(0, 16).replace("T", " ")}, Sandan ${run.made.sandan}, code ${run.made.code}, map ${run.made.map}`],
    ];
    const rows = facts.filter(([, text]) => text).map(([name, text]) => element("tr", {}, element("th", {}, name), element("td", { style: { textAlign: "left" } }, text)));
    return element("details", { class: "provenance" }, element("summary", {}, "What made it"), element("table", {}, element("tbody", {}, ...rows)));
  }

  async findSimilar(lon, lat) {
    const button = byId("find-similar");
    button.disabled = true;
    button.textContent = "Searching …";
    try {
      const found = await fetched(`similar?lon=${lon.toFixed(7)}&lat=${lat.toFixed(7)}`);
      this.similar.clearLayers();
      const rows = found.places.map((one, place) => {
        const shape = L.polygon(one.outline.map(([x, y]) => [y, x]), { color: "#009e73", weight: 2, fillOpacity: 0.08, pane: "places" });
        shape.bindTooltip(`${place + 1}: ${one.score.toFixed(3)}`).addTo(this.similar);
        return element("tr", { class: "link", onclick: () => this.map.fitBounds(shape.getBounds(), { maxZoom: 14 }) },
          element("td", {}, `${place + 1}`), element("td", {}, one.scene), element("td", {}, one.score.toFixed(3)));
      });
      button.replaceWith(element("table", { id: "similar-places" }, element("thead", {}, element("tr", {}, element("th", {}, "#"), element("th", {}, "scene"), element("th", { class: "number" }, "cosine"))), element("tbody", {}, ...rows)));
    } catch (error) {
      button.replaceWith(element("p", {}, `Nothing found: ${error.message}`));
    }
  }
}
