// Elements out of plain values. Text is always text: nothing that a run is called can become markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(made.style, value);
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export const byId = (id) => document.getElementById(id);

export async function fetched(address) {
  const response = await fetch(address);
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    throw new Error(told.detail?.toString() ?? `${address}: ${response.status}`);
  }
  return response.json();
}
