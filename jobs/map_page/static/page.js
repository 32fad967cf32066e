// The map page: reads page.json, draws what it names, and keeps the view in the address.

import { byId, element, fetched } from "./dom.js";
import { legendOf } from "./legend.js";
import { Live } from "./live.js";
import { readView, writeView } from "./permalink.js";
import { PlaceCard } from "./place.js";
import { Regions } from "./regions.js";
import { Sites } from "./sites.js";
import { Swipe } from "./swipe.js";
import { tilesOf } from "./tiles.js";

const PANES = { ground: 210, left: 220, right: 230, areas: 410, places: 450 };
const NOTHING = "none";

async function start() {
  const page = await fetched("page.json");
  if (page.index) {
    const index = await fetched(page.index);
    for (const run of page.runs) for (const layer of run.layers) layer.index = index[layer.index] ?? {};
  }
  document.title = `${page.title} · Sandan`;
  byId("title").textContent = page.title;
  byId("byline").textContent = page.byline;

  const view = readView();
  const map = L.map("map", { zoomControl: false, minZoom: page.least_zoom ?? 2, maxZoom: 20, attributionControl: false });
  window.sandanMap = map; // for tests and the console
  L.control.zoom({ position: "topright" }).addTo(map);
  L.control.attribution({ position: "bottomright", prefix: false }).addAttribution(element("span", {}, page.attribution).innerHTML).addTo(map);
  L.control.scale({ position: "bottomright", imperial: false }).addTo(map);
  for (const [name, order] of Object.entries(PANES)) map.createPane(name).style.zIndex = order;
  const [west, south, east, north] = page.bounds;
  const whole = [[south, west], [north, east]];
  if ("z" in view && "lat" in view && "lon" in view) map.setView([view.lat, view.lon], view.z);
  else map.fitBounds(whole, { paddingTopLeft: innerWidth > 640 ? [340, 20] : [10, 10], paddingBottomRight: innerWidth > 640 ? [20, 20] : [10, 230] });

  const layers = new Map(page.runs.flatMap((run) => run.layers.map((layer) => [`${run.key}/${layer.id}`, { ...layer, run }])));
  const several = page.runs.length > 1;
  const nameOf = (key) => (several ? `${layers.get(key).title} · ${layers.get(key).run.title}` : layers.get(key).title);
  const keys = (kind, run) => [...layers.keys()].filter((key) => layers.get(key).kind === kind && (!run || key.startsWith(`${run}/`)));
  const known = (key, otherwise) => (layers.has(key) || key === NOTHING ? key : otherwise);
  const state = {
    layer: known(view.layer, keys("map", "a")[0] ?? NOTHING),
    ground: known(view.ground, keys("ground")[0] ?? NOTHING),
    swipe: known(view.swipe, NOTHING),
    opacity: Math.min(100, Math.max(0, view.opacity ?? 75)),
  };
  const drawn = { ground: null, left: null, right: null };

  const swipe = new Swipe(map, "left", "right", save);
  swipe.move((view.split ?? 50) / 100);
  const place = new PlaceCard(map, page, save, () => {
    if (byId("panel").classList.contains("folded")) byId("fold").click();
    byId("place").scrollIntoView({ block: innerWidth > 640 ? "nearest" : "start" });
  });

  function save() {
    const { lat, lng } = map.getCenter();
    writeView({
      z: map.getZoom(), lat: lat.toFixed(5), lon: lng.toFixed(5), layer: state.layer, ground: state.ground, opacity: state.opacity,
      swipe: state.swipe === NOTHING ? null : state.swipe, split: state.swipe === NOTHING ? null : Math.round(100 * swipe.share),
      sites: state.sites ? 1 : null, at: place.at ? place.at.map((one) => one.toFixed(6)).join(",") : null,
    });
  }

  function draw(pane, key, opacity) {
    if (drawn[pane]?.key !== key) {
      drawn[pane]?.tiles?.remove();
      drawn[pane] = { key, tiles: key === NOTHING ? null : tilesOf(layers.get(key), pane, page.least_zoom ?? 0).addTo(map) };
    }
    drawn[pane].tiles?.setOpacity(opacity);
  }

  function redraw() {
    const swiping = state.swipe !== NOTHING;
    const strength = (key) => (key !== NOTHING && layers.get(key).kind === "map" ? state.opacity / 100 : 1);
    draw("ground", state.ground, 1);
    draw("left", state.layer, strength(state.layer));
    draw("right", state.swipe, strength(state.swipe));
    if (swiping) swipe.show(state.layer === NOTHING ? "ground" : nameOf(state.layer), nameOf(state.swipe));
    else swipe.hide();
    byId("legend").replaceChildren(...legendOf(layers.get(state.layer)));
    byId("about").textContent = layers.get(state.layer)?.about ?? "";
    byId("opacity-told").textContent = `${state.opacity} %`;
    save();
  }

  function choose(name, choices, select) {
    select.replaceChildren(...choices.map(([value, text]) => element("option", { value }, text)));
    select.value = state[name];
    select.addEventListener("change", () => { state[name] = select.value; redraw(); });
    select.closest("label").hidden = choices.length < 2;
  }

  const choice = byId("layer-choice");
  for (const key of [...keys("map", "a"), NOTHING]) {
    const input = element("input", { type: "radio", name: "layer", value: key, onchange: () => { state.layer = key; redraw(); } });
    input.checked = key === state.layer;
    choice.append(element("label", {}, input, element("span", {}, key === NOTHING ? "None" : layers.get(key).title)));
  }
  byId("opacity").value = state.opacity;
  byId("opacity").addEventListener("input", (event) => { state.opacity = Number(event.target.value); redraw(); });
  choose("ground", [[NOTHING, "Nothing"], ...keys("ground").map((key) => [key, nameOf(key)])], byId("ground"));
  const others = several ? [...keys("map", "b"), ...keys("map", "a"), ...keys("ground")] : [...keys("map"), ...keys("ground")];
  choose("swipe", [[NOTHING, "Nothing"], ...others.map((key) => [key, nameOf(key)])], byId("swipe"));

  byId("fold").addEventListener("click", () => {
    const folded = byId("panel").classList.toggle("folded");
    byId("fold").setAttribute("aria-expanded", String(!folded));
    sheet();
  });
  byId("link").addEventListener("click", async () => {
    save();
    await navigator.clipboard?.writeText(location.href).catch(() => {});
    byId("link").textContent = "The link is in the address bar, too";
    setTimeout(() => { byId("link").textContent = "Copy link to this view"; }, 2500);
  });
  const sheet = () => document.documentElement.style.setProperty("--sheet", `${byId("panel").offsetHeight}px`);
  new ResizeObserver(sheet).observe(byId("panel"));
  if (innerWidth <= 640) byId("fold").click();

  redraw();
  map.on("moveend", save);
  if (page.notice) {
    byId("notice").hidden = false;
    byId("notice").textContent = page.notice;
  }
  byId("layers").hidden = byId("place").hidden = page.runs.length === 0;
  if (page.sites) {
    const sites = new Sites(map, page.sites, (text) => { byId("sites-told").textContent = text; });
    byId("polygons-row").hidden = false;
    byId("polygons").checked = view.sites === "1";
    const show = () => { state.sites = byId("polygons").checked; sites.show(state.sites); save(); };
    byId("polygons").addEventListener("change", show);
    show();
  }
  if (page.regions) {
    byId("regions").hidden = false;
    await new Regions(map, byId("regions").lastElementChild).start();
  }
  if (page.live) {
    byId("run").hidden = false;
    new Live(map, byId("run").lastElementChild, page).start(page.runs.length === 0);
  }
  if (view.at) {
    const [lat, lon] = view.at.split(",").map(Number);
    if (Number.isFinite(lat) && Number.isFinite(lon)) place.show(lat, lon);
  }
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => {
  byId("notice").hidden = false;
  byId("notice").textContent = `The page cannot be shown: ${error.message}`;
  console.error(error);
});
