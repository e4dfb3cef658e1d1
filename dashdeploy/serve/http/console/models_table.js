// The table of models, and the choices of one of them.

import {html} from "./elements.js";
import {identity} from "./server.js";

/** Fills the table; `index` is the repository's, `values` the metrics by model. */
export function drawModels(index, values) {
  document.getElementById("models").replaceChildren(...index.map(model => {
    const counted = values[identity(model)] ?? {}, requests = counted.nv_inference_request_success ?? 0;
    const ready = model.state === "READY", state = ready ? "ready" : `not ready${model.reason ? `: ${model.reason}` : ""}`;
    const mean = requests ? (counted.nv_inference_request_duration_us / requests / 1000).toFixed(2) : "–";
    const numbers = [requests, counted.nv_inference_request_failure ?? 0, counted.nv_inference_pending_request_count ?? 0, mean];
    return html("tr", {}, html("td", {}, model.name), html("td", {}, model.version),
      html("td", {class: ready && !model.reason ? "good" : "bad"}, state),
      ...numbers.map(number => html("td", {class: "number"}, String(number))));
  }));
}

/** Offers `values` in a select and keeps what was chosen; whether they changed. */
export function offer(select, values) {
  const old = select.value;
  if ([...select.options].map(option => option.value).join("\n") === values.join("\n")) return false;
  select.replaceChildren(...values.map(value => new Option(value.replace("/", " version "), value)));
  if (values.includes(old)) select.value = old;
  return true;
}
