// Values of an exported page, where no server can be asked: the colour of the tile's pixel, looked up in its legend.

import { TILE_PX, addressOf, isThere, tileAt } from "./tiles.js";

async function colorAt(layer, lon, lat) {
  const at = tileAt(lat, lon, layer.zoom);
  const tile = { x: Math.floor(at.x), y: Math.floor(at.y), z: layer.zoom };
  if (!isThere(layer, tile)) return null;
  const image = new Image();
  image.src = addressOf(layer, tile);
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d");
  context.drawImage(image, -Math.floor((at.x % 1) * TILE_PX), -Math.floor((at.y % 1) * TILE_PX));
  const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
  return alpha ? [red, green, blue] : null;
}

const parts = (color) => [1, 3, 5].map((place) => parseInt(color.slice(place, place + 2), 16));
const distance = (a, b) => a.reduce((sum, part, i) => sum + (part - b[i]) ** 2, 0);

function nearest(color, known) {
  let best = 0;
  known.forEach((one, i) => { if (distance(parts(one), color) < distance(parts(known[best]), color)) best = i; });
  return best;
}

async function valueOf(layer, lon, lat) {
  const color = await colorAt(layer, lon, lat);
  if (!color) return { title: layer.title, told: "no data" };
  const { legend } = layer;
  if (legend.kind === "classes") return { title: layer.title, told: legend.entries[nearest(color, legend.entries.map((one) => one.color))].name };
  return { title: layer.title, told: `≈ ${legend.told[nearest(color, legend.table)]}` };
}

export async function sampled(page, lon, lat) {
  const runs = page.runs.map(async (run) => {
    const values = await Promise.all(run.layers.filter((one) => one.legend).map((one) => valueOf(one, lon, lat)));
    const scenes = run.scenes.filter((one) => inside(one.outline, lon, lat)).map((one) => ({ ...one, known: false }));
    return { ...run, values, inside: values.some((one) => one.told !== "no data"), scenes, pixel: null };
  });
  return { runs: await Promise.all(runs) };
}

// Even-odd rule on a ring of [lon, lat], which may reach beyond 180.
function inside(ring, lon, lat) {
  return [lon, lon + 360].some((x) => {
    let odd = false;
    for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
      const [[ax, ay], [bx, by]] = [ring[i], ring[j]];
      if (ay > lat !== by > lat && x < ((bx - ax) * (lat - ay)) / (by - ay) + ax) odd = !odd;
    }
    return odd;
  });
}
