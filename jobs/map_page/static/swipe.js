// A divider between two layers: left of it one shows, right of it the other.

import { byId } from "./dom.js";

export class Swipe {
  constructor(map, leftPane, rightPane, changed) {
    Object.assign(this, { map, left: map.getPane(leftPane), right: map.getPane(rightPane), changed, share: 0.5, shown: false });
    this.divider = byId("divider");
    this.divider.addEventListener("pointerdown", (event) => {
      this.divider.setPointerCapture(event.pointerId);
      event.preventDefault();
      this.divider.focus({ preventScroll: true });
    });
    this.divider.addEventListener("pointermove", (event) => {
      if (this.divider.hasPointerCapture(event.pointerId)) this.move(event.clientX / this.map.getSize().x);
    });
    this.divider.addEventListener("pointerup", () => this.changed());
    this.divider.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.move(this.share + step);
      this.changed();
    });
    map.on("move zoomend resize viewreset", () => this.clip());
  }

  show(leftName, rightName) {
    this.shown = true;
    byId("left-name").textContent = leftName;
    byId("right-name").textContent = rightName;
    this.divider.hidden = false;
    this.clip();
  }

  hide() {
    this.shown = false;
    this.divider.hidden = true;
    this.left.style.clipPath = this.right.style.clipPath = "";
  }

  move(share) {
    this.share = Math.min(0.98, Math.max(0.02, share));
    this.clip();
  }

  clip() {
    if (!this.shown) return;
    const size = this.map.getSize();
    const x = Math.round(this.share * size.x);
    const corner = this.map.containerPointToLayerPoint([0, 0]);
    const box = (from, to) =>
      `polygon(${[[from, 0], [to, 0], [to, size.y], [from, size.y]].map(([a, b]) => `${a + corner.x}px ${b + corner.y}px`).join(",")})`;
    this.left.style.clipPath = box(0, x);
    this.right.style.clipPath = box(x, size.x);
    this.divider.style.left = `${x}px`;
    this.divider.setAttribute("aria-valuenow", Math.round(100 * this.share));
  }
}
