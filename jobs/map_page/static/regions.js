// The table of regions: sorted by a click on a heading, and a click on a row goes there.

import { element, fetched } from "./dom.js";

const LONG = 8;
const number = (value, digits) => (value === null ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits }));

export class Regions {
  constructor(map, section) {
    Object.assign(this, { map, section, sorted: { column: 1, down: true }, outline: null });
  }

  async start() {
    const { classes, regions } = await fetched("regions.json");
    const sum = (values) => (Object.values(values).every((one) => one === null) ? null : Object.values(values).reduce((a, b) => a + (b ?? 0), 0));
    this.rows = regions.map((one) => ({ ...one, cells: [one.name, sum(one.km2), sum(one.share)] }));
    this.what = classes.length === 1 ? classes[0] : "all classes";
    this.filter = element("input", { type: "search", placeholder: "Find a region", "aria-label": "Find a region", oninput: () => this.draw() });
    this.filter.hidden = regions.length <= LONG;
    this.table = element("table", { id: "region-table" });
    this.section.append(element("p", { class: "soft" }, `Area of ${this.what}, and its share of the mapped area.`), this.filter, element("div", { class: "scroll" }, this.table));
    this.draw();
  }

  draw() {
    const heads = ["Region", "km²", "share"].map((text, column) => {
      const arrow = this.sorted.column === column ? (this.sorted.down ? " ↓" : " ↑") : "";
      const sort = () => { this.sorted = { column, down: this.sorted.column === column ? !this.sorted.down : column > 0 }; this.draw(); };
      return element("th", column ? { class: "number" } : {}, element("button", { type: "button", onclick: sort }, text + arrow));
    });
    const { column, down } = this.sorted;
    const wanted = this.filter.value.trim().toLowerCase();
    const found = this.rows.filter((one) => one.name.toLowerCase().includes(wanted));
    const compare = (a, b) => (column ? (a ?? -1) - (b ?? -1) : a.localeCompare(b));
    found.sort((a, b) => (down ? -1 : 1) * compare(a.cells[column], b.cells[column]));
    const rows = found.map((one) => {
      const cells = [element("td", {}, one.name), element("td", { class: "number" }, number(one.cells[1], 2)), element("td", { class: "number" }, one.cells[2] === null ? "–" : `${number(100 * one.cells[2], 1)} %`)];
      if (!one.bounds) return element("tr", {}, ...cells);
      return element("tr", { class: "link", tabindex: "0", onclick: () => this.goTo(one), onkeydown: (event) => { if (event.key === "Enter") this.goTo(one); } }, ...cells);
    });
    this.table.replaceChildren(element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
  }

  goTo(region) {
    const { bounds: [west, south, east, north], outline } = region;
    const wide = innerWidth > 640;
    this.map.fitBounds([[south, west], [north, east]], { paddingTopLeft: wide ? [340, 20] : [10, 10], paddingBottomRight: wide ? [20, 20] : [10, innerHeight * 0.6] });
    this.outline?.remove();
    this.shown = region;
    if (outline) this.outlined(region);
  }

  async outlined(region) {
    const shape = await fetched(region.outline).catch((error) => console.warn(`${region.outline}: ${error.message}`));
    if (!shape || this.shown !== region) return;
    const line = (color, weight) => L.geoJSON(shape, { pane: "areas", interactive: false, style: { color, weight, fill: false } });
    this.outline = L.layerGroup([line("#111", 5), line("#fff", 2)]).addTo(this.map);
  }
}
