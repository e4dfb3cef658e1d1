// The page of an exported model: predicts what is dropped on it, and measures both forms of the network.

import {load, run} from "./engine.js";
import {html} from "./elements.js";
import {inputPanel, takeDrops} from "./input_panel.js";
import {measure} from "./latency.js";
import {randomTensor, shapeText, tensorsOfRequest} from "./tensor.js";
import {answerView, inputView, samplesOf} from "./views.js";

const $ = id => document.getElementById(id);
let site = null, panels = [], inputs = [], outputs = [], turn = 0, predictions = 0;

async function json(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} is missing: ${response.status}`);
  return response.json();
}

const sizeText = bytes => (bytes < 1e6 ? `${(bytes / 1e3).toPrecision(3)} kB` : `${(bytes / 1e6).toPrecision(3)} MB`);
const row = () => Math.max(0, Number($("row").value) - 1);

function say(text, bad = false) {
  $("state").textContent = text;
  $("state").className = bad ? "bad" : "good";
}

function draw() {
  const rows = samplesOf(inputs);
  $("row").max = rows;
  $("rows").textContent = rows;
  $("row-label").hidden = rows < 2;
  if (Number($("row").value) > rows) $("row").value = 1;
  panels.forEach((panel, i) => panel.draw(inputView(inputs[i], row())));
}

function drawAnswer() {
  $("answer").textContent = JSON.stringify({outputs: outputs.map(({name, datatype, shape, values}) => ({name, shape, datatype, data: values}))});
  const context = {inputs, labels: site.labels, multiLabel: site.multi_label};
  $("drawn").replaceChildren(...outputs.map(output => html("div", {"data-output": output.name},
    html("p", {class: "soft"}, `${output.name}, ${output.datatype}, ${output.shape.join(" x ")}`), answerView(output, row(), context))));
}

/** Predicts what the inputs say now; an answer that comes after the next wish is dropped. */
async function predict() {
  const mine = ++turn;
  draw();
  try {
    const answer = await run(site.uses, inputs);
    if (mine !== turn) return;
    outputs = answer.outputs;
    drawAnswer();
    $("took").textContent = `${answer.ms.toPrecision(3)} ms${predictions ? "" : ", the engine's first run"}`;
    if (!predictions++) {
      const seconds = performance.now() / 1000;
      $("facts").textContent += ` First prediction ${seconds.toFixed(2)} s after the page was opened.`;
      document.body.dataset.firstPrediction = seconds;
    }
    document.body.dataset.predictions = predictions;
  } catch (error) {
    if (mine !== turn) return;
    $("took").textContent = $("answer").textContent = "";
    $("drawn").replaceChildren(html("p", {class: "bad", role: "alert"}, error.message));
  }
}

async function time(how) {
  $("measure").disabled = true;
  try {
    await measure(inputs, how);
  } catch (error) {
    $("ratio").textContent = error.message;
  }
  $("measure").disabled = false;
}

function listen(sample) {
  const fill = tensors => {
    panels.forEach(panel => panel.quiet());
    inputs = tensors;
    return predict();
  };
  $("sample").hidden = !sample;
  $("sample").addEventListener("click", () => fill(sample));
  $("random").addEventListener("click", () => fill(site.inputs.map(randomTensor)));
  $("row").addEventListener("input", () => {
    draw();
    drawAnswer();
  });
  takeDrops(() => panels);
}

async function start() {
  site = await json("site.json");
  const loading = load(site.uses, site.files[site.uses].path);
  loading.catch(() => {}); // awaited below
  const sample = site.sample ? tensorsOfRequest(await json(site.sample)) : null;
  document.title = $("name").textContent = site.name;
  $("version").textContent = `version ${site.version}`;
  inputs = sample ?? site.inputs.map(randomTensor);
  panels = site.inputs.map((spec, i) => inputPanel(spec, tensor => {
    inputs = inputs.with(i, tensor);
    predict();
  }));
  $("inputs").replaceChildren(...panels.map(panel => panel.element));
  $("model").hidden = false;
  draw();
  const {threads, version} = await loading;
  $("facts").textContent = `The engine is onnxruntime-web ${version}.`;
  listen(sample);
  await predict();
  say("ready");
  const {compiled, direct} = site.files, other = site.uses === "direct" ? "compiled" : "direct";
  await load(other, site.files[other].path);
  $("speed").hidden = false;
  const sizes = `compiled file ${sizeText(compiled.bytes)}, direct ${sizeText(direct.bytes)}`;
  const how = () => `on ${inputs.map(tensor => shapeText(tensor.shape)).join(", ")}, with ${threads} thread${threads > 1 ? "s" : ""}; ${sizes}`;
  $("measure").addEventListener("click", () => time(how()));
  await time(how());
}

start().catch(error => say(error.message, true));
