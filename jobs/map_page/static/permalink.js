// The view as the part of the address behind #: whoever opens it sees the same.

const NUMBERS = ["z", "lat", "lon", "opacity", "split"];

export function readView() {
  const found = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  for (const name of NUMBERS) {
    if (!(name in found)) continue;
    found[name] = Number(found[name]);
    if (!Number.isFinite(found[name])) delete found[name];
  }
  return found;
}

export function writeView(view) {
  const kept = Object.entries(view).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const hash = "#" + kept.map(([key, value]) => `${key}=${encodeURIComponent(value).replaceAll("%2F", "/").replaceAll("%2C", ",")}`).join("&");
  if (hash !== location.hash) history.replaceState(null, "", hash);
}
