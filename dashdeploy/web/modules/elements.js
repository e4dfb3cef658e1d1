// Makes elements of HTML and SVG, and draws again when the place's width changes.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** An HTML element; children may be text. */
export const html = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);

/** An SVG element; children may be text. */
export const svg = (name, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, name), attributes, children);

const drawings = new WeakMap();
const watcher = new ResizeObserver(entries => {
  for (const {target} of entries) {
    const drawing = drawings.get(target), width = Math.round(target.clientWidth);
    if (drawing && width && width !== drawing.width) {
      drawing.width = width;
      target.replaceChildren(drawing.draw(width));
    }
  }
});

/** A block that holds what `draw(width)` returns, and holds it anew whenever its width in pixels changes. */
export function fitted(draw) {
  const place = html("div", {class: "fitted"});
  drawings.set(place, {draw, width: 0});
  watcher.observe(place);
  return place;
}

/** A number in few digits. */
export function short(value) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}
