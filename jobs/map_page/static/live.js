// The work of a run on the map: units colour in as they finish. The page asks every few seconds.

import { byId, element, fetched } from "./dom.js";

const EVERY_MS = 3000;
const STATES = {
  d: { name: "done", color: "#009e73", fillOpacity: 0.35 },
  p: { name: "to do", color: "#8b90a0", fillOpacity: 0.04, swatch: "transparent" },
  f: { name: "failed", color: "#d40000", fillOpacity: 0.6 },
  s: { name: "skipped: outside of the area", color: "#8b90a0", fillOpacity: 0.25, dashArray: "3", swatch: "#c9ccd4" },
  q: { name: "quarantined window", color: "#7b00b4", fillOpacity: 0.6 },
};
const QUARANTINED = "quarantined windows";

export class Live {
  constructor(map, section, page) {
    Object.assign(this, { map, section, page, plan: null, chosen: null, units: new Map(), group: L.layerGroup() });
    this.canvas = L.canvas({ pane: "areas" });
    this.shown = element("input", { type: "checkbox", id: "show-work", onchange: () => this.toggle() });
    this.told = element("p", { class: "soft" });
    this.stages = element("div", {});
    this.legend = element("div", { class: "swatches" }, ...Object.values(STATES).map((one) => element("span", {}, element("i", { style: { background: one.swatch ?? one.color } }), one.name)));
    this.failures = element("div", {});
    section.append(element("label", { class: "row check" }, this.shown, " Show the work on the map"), this.told, this.stages, this.legend, this.failures);
  }

  start(shown) {
    this.shown.checked = shown;
    this.toggle();
  }

  toggle() {
    if (this.shown.checked) this.group.addTo(this.map);
    else this.group.remove();
    this.legend.hidden = this.stages.hidden = !this.shown.checked;
    clearTimeout(this.timer);
    if (this.shown.checked) this.poll();
  }

  async poll() {
    try {
      const now = await fetched("live/states.json");
      if (now.plan !== this.plan) await this.outline(now.plan);
      this.paint(now);
      if (now.published && now.published !== this.page.runs[0]?.map) this.tellPublished();
    } catch (error) {
      this.told.textContent = `The run cannot be followed: ${error.message}`;
    }
    this.timer = setTimeout(() => this.poll(), document.hidden ? 10 * EVERY_MS : EVERY_MS);
  }

  async outline(plan) {
    const { stages } = await fetched("live/units.json");
    this.group.clearLayers();
    this.units.clear();
    for (const { stage, outlines } of stages) {
      const shapes = outlines.map((ring) => L.polygon(ring.map(([lon, lat]) => [lat, lon]), { renderer: this.canvas, weight: 1, interactive: false }));
      this.units.set(stage, { shapes, layer: L.layerGroup(shapes) });
    }
    this.plan = plan;
  }

  // The stage that is at work, unless somebody chose another.
  stageOf(stages) {
    const drawn = stages.filter((one) => one.stage !== QUARANTINED);
    return this.chosen ?? (drawn.find((one) => one.counts.p > 0) ?? drawn.at(-1)).stage;
  }

  paint(now) {
    const stage = this.stageOf(now.stages);
    for (const { stage: name, states } of now.stages) {
      const { shapes, layer } = this.units.get(name);
      if (name === stage || name === QUARANTINED) this.group.addLayer(layer);
      else this.group.removeLayer(layer);
      if (!this.group.hasLayer(layer)) continue;
      shapes.forEach((shape, i) => {
        const letter = states[i] ?? "p";
        if (shape.letter === letter) return;
        shape.letter = letter;
        const { color, fillOpacity, dashArray = null } = STATES[letter];
        shape.setStyle({ color, fillColor: color, fillOpacity, dashArray });
      });
    }
    const progress = now.progress;
    this.told.textContent = progress ? `${progress.stage}: ${progress.done} of ${progress.total} ${progress.unit} (${progress.state})${progress.left_s > 1 && progress.state === "running" ? `, ${Math.ceil(progress.left_s / 60)} min left` : ""}` : "Nothing has been done yet.";
    this.stages.replaceChildren(...now.stages.filter((one) => one.stage !== QUARANTINED).map((one) => this.bar(one, stage)));
    const reasons = Object.entries(now.reasons);
    this.failures.replaceChildren(...(reasons.length ? [element("h3", {}, `${now.failed} failed`), ...reasons.map(([unit, reason]) => element("p", { class: "soft" }, element("code", {}, unit), ` ${reason}`))] : []));
  }

  bar({ stage, counts }, chosen) {
    const all = counts.d + counts.p + counts.f + counts.s;
    if (!all) return element("p", { class: "soft" }, `${stage}: too many units to draw`);
    const share = all ? ((100 * (all - counts.p)) / all).toFixed(0) : 0;
    const text = `${stage}: ${counts.d} of ${all - counts.s}${counts.f ? `, ${counts.f} failed` : ""}${counts.s ? `, ${counts.s} skipped` : ""}`;
    const choose = element("button", { type: "button", class: "stage", "aria-pressed": String(stage === chosen), onclick: () => { this.chosen = stage; clearTimeout(this.timer); this.poll(); } }, text);
    return element("div", {}, choose, element("div", { class: "bar" }, element("i", { style: { width: `${share}%` } })));
  }

  tellPublished() {
    const notice = byId("notice");
    notice.hidden = false;
    notice.replaceChildren("The map is published. ", element("button", { type: "button", onclick: () => location.reload() }, "Show it"));
  }
}
