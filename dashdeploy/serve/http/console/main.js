// The console: asks the server every second what there is to see, and draws it.

import {drawCurve, drawTraffic, HISTORY} from "./live_charts.js";
import {parse} from "./metrics_text.js";
import {drawModels, offer} from "./models_table.js";
import {chooseModel, complain, listen} from "./request_form.js";
import {address, ask, identity, json, useKey} from "./server.js";

const LONGEST_WAIT = 8000;
const $ = id => document.getElementById(id);
let samples = [], failures = 0;

async function curve() {
  const id = $("charted").value;
  drawCurve(id ? (await json(`${address(id)}/config`)).parameters : null);
}

async function tick() {
  try {
    const ready = (await ask("/v2/health/ready")).ok;
    const index = await json("/v2/repository/index", {method: "POST"});
    samples.push({at: performance.now() / 1000, models: parse(await (await ask("/metrics")).text())});
    samples = samples.slice(-HISTORY - 1);
    $("state").textContent = ready ? "ready" : "not ready";
    $("state").className = ready ? "good" : "bad";
    $("key-section").hidden = true;
    drawModels(index, samples.at(-1).models);
    const served = index.filter(model => model.state === "READY").map(identity);
    offer($("charted"), served);
    if (offer($("asked"), served)) await chooseModel().catch(complain);
    drawTraffic($("charted").value, samples);
    await curve();
    failures = 0;
  } catch {
    $("state").className = "bad";
    $("state").textContent = $("key-section").hidden ? "no answer from the server" : "an API key is needed";
    failures++;
  }
  setTimeout(tick, Math.min(1000 * 2 ** Math.min(failures, 3), LONGEST_WAIT));
}

listen();
$("charted").addEventListener("change", () => {
  drawTraffic($("charted").value, samples);
  curve().catch(complain);
});
$("key-form").addEventListener("submit", event => {
  event.preventDefault();
  useKey($("key").value.trim());
  $("key").value = "";
});
ask("/v2").then(response => (response.ok ? response.json() : {})).then(server => {
  $("version").textContent = server.version ?? "";
}).catch(() => {});
tick();
