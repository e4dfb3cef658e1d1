// One input of the model on the page: its drawing, and the file that is dropped on it or chosen for it.

import {html} from "./elements.js";
import {ACCEPTED, tensorOfFile} from "./read_file.js";
import {batchShapeText} from "./tensor.js";

/**
 * A panel for the input `spec`; `onTensor(tensor)` is told what a file holds.
 * Returns {element, draw(view), take(file)}: `draw` shows another drawing, `take` reads a file.
 */
export function inputPanel(spec, onTensor) {
  const drawing = html("div", {class: "drawing"}), said = html("p", {class: "said small", role: "status"});
  const chooser = html("input", {type: "file", accept: ACCEPTED, class: "unseen"});
  const label = html("label", {class: "button plain"}, "Choose a file", chooser);
  const text = spec.datatype === "BYTES"; // text comes in no file
  const head = html("div", {class: "row"},
    html("strong", {}, spec.name), html("span", {class: "soft"}, `${spec.datatype}, ${batchShapeText(spec.shape)}`),
    ...(text ? [] : [html("span", {class: "push"}), label]));
  const hint = html("p", {class: "soft small"}, "Drop a CSV, .npy or WAV file here, or choose one.");
  const element = html("div", {class: "panel", "data-input": spec.name}, head, drawing, ...(text ? [] : [hint]), said);

  const say = (message, bad) => {
    said.textContent = message;
    said.classList.toggle("bad", bad);
  };
  async function take(file) {
    say(`reading ${file.name}`, false);
    try {
      const {notes, ...tensor} = await tensorOfFile(file, spec);
      onTensor(tensor);
      say([file.name, ...notes].join(": "), false);
    } catch (error) {
      say(error.message, true);
    }
  }
  chooser.addEventListener("change", () => {
    if (chooser.files.length) take(chooser.files[0]);
    chooser.value = ""; // the same file may be chosen again, after it was changed
  });
  return {
    element, take,
    draw: view => drawing.replaceChildren(view),
    quiet: () => say("", false),
  };
}

/** Lets files be dropped on panels; on the rest of the page for the only one, if `panels()` is one. */
export function takeDrops(panels) {
  const panelOf = event => {
    const all = panels();
    return all.find(panel => panel.element.contains(event.target)) ?? (all.length === 1 ? all[0] : null);
  };
  const mark = chosen => panels().forEach(panel => panel.element.classList.toggle("over", panel === chosen));
  document.addEventListener("dragover", event => {
    event.preventDefault(); // or the browser opens the file in place of the page
    mark(panelOf(event));
  });
  document.addEventListener("dragleave", event => event.relatedTarget === null && mark(null));
  document.addEventListener("drop", event => {
    event.preventDefault();
    mark(null);
    const file = event.dataTransfer?.files[0];
    if (file) panelOf(event)?.take(file);
  });
}
