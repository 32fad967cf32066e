// What the colours of a layer mean.

import { element } from "./dom.js";

export function legendOf(layer) {
  const legend = layer?.legend;
  if (!legend) return [];
  if (legend.kind === "classes") {
    const entries = legend.entries.map((one) =>
      element("span", {}, element("i", { style: { background: one.color } }), one.name),
    );
    return [element("div", { class: "swatches" }, ...entries)];
  }
  const ramp = element("div", { class: "ramp", style: { background: `linear-gradient(to right, ${legend.colors.join(",")})` } });
  return [ramp, element("div", { class: "ends" }, element("span", {}, legend.low), element("span", {}, legend.high))];
}
