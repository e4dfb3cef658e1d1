// The form that sends a request: what is in the text is what is sent, and what is drawn.

import {html} from "./elements.js";
import {inputPanel, takeDrops} from "./input_panel.js";
import {address, ask, json} from "./server.js";
import {randomTensor, tensorsOfRequest} from "./tensor.js";
import {answerView, inputView, samplesOf} from "./views.js";

const MOST_CLASSES = 5, MOST_SHOWN = 20000;
const $ = id => document.getElementById(id);
let model = null; // {inputs, outputs, labels, multiLabel} of the one that is asked
let panels = [], sent = [], answered = null;
let turn = 0; // counts what was asked for, so that an answer that comes after the next wish is dropped

/** Metadata of the model `id`: its tensors, the names of its classes, and its whole configuration. */
async function about(id) {
  const [{inputs, outputs}, config] = await Promise.all([json(address(id)), json(`${address(id)}/config`)]);
  const labels = config.parameters?.labels, many = config.parameters?.multi_label?.string_value === "true";
  return {inputs, outputs, labels: labels ? JSON.parse(labels.string_value) : [], multiLabel: many};
}

/** Turns to the model that is chosen, with its sample. */
export async function chooseModel() {
  const id = $("asked").value;
  if (!id) return;
  const mine = ++turn;
  delete $("inputs").dataset.model;
  const found = await about(id);
  if (mine !== turn) return;
  model = found;
  panels = model.inputs.map(spec => inputPanel(spec, tensor => model === found && replaceInput(tensor)));
  $("inputs").replaceChildren(...panels.map(panel => panel.element));
  showAnswer(null);
  await fill(false);
}

/** Writes the bundle's sample into the request, or random values. */
export async function fill(random) {
  const id = $("asked").value;
  if (!id || !model) return;
  const mine = ++turn;
  panels.forEach(panel => panel.quiet());
  if (!random) {
    const sample = await ask(`${address(id)}/sample`), text = await sample.text();
    if (mine !== turn) return;
    if (sample.ok) return write(text.trim());
    if (sample.status !== 404) throw new Error(JSON.parse(text).error);
  }
  write(JSON.stringify({inputs: model.inputs.map(spec => asInput(randomTensor(spec)))}));
}

/** A tensor as the protocol has it. */
const asInput = ({name, datatype, shape, values}) => ({name, shape, datatype, data: values});

function write(text) {
  $("request").value = text;
  $("inputs").dataset.model = $("asked").value;
  drawInputs();
}

/** Puts a file's tensor into the request, in place of the one of its name. */
function replaceInput(tensor) {
  const given = asInput(tensor), name = tensor.name;
  let request = {inputs: []};
  try {
    request = JSON.parse($("request").value);
  } catch { /* what was no JSON is replaced as a whole */ }
  const others = Array.isArray(request.inputs) ? request.inputs.filter(each => each.name !== name) : [];
  const order = model.inputs.map(each => each.name);
  const inputs = [...others, given].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  write(JSON.stringify({...request, inputs}));
  showAnswer(null);
}

/** The tensors in the text; an empty list where it is not a request. */
function tensorsOf(text) {
  try {
    return tensorsOfRequest(JSON.parse(text));
  } catch {
    return [];
  }
}

export function drawInputs() {
  const tensors = tensorsOf($("request").value), rows = samplesOf(tensors);
  $("row").max = rows;
  $("rows").textContent = rows;
  $("row-label").hidden = rows < 2;
  if (Number($("row").value) > rows) $("row").value = 1;
  model?.inputs.forEach((spec, i) => {
    const tensor = tensors.find(each => each.name === spec.name);
    panels[i].draw(tensor ? inputView(tensor, row()) : html("p", {class: "soft"}, "The request as it is written holds no such input."));
  });
}

const row = () => Math.max(0, Number($("row").value) - 1);

/** What is in the form, with the checkbox's wish; text that is not JSON is for the server to refuse. */
function body() {
  const text = $("request").value;
  if (!$("classes").checked) return text;
  try {
    const outputs = model.outputs.map(output => ({name: output.name, parameters: {classification: MOST_CLASSES}}));
    return JSON.stringify({...JSON.parse(text), outputs});
  } catch {
    return text;
  }
}

export async function send(event) {
  event.preventDefault();
  const start = performance.now(), text = body();
  $("answer").textContent = "";
  $("took").textContent = "sending";
  try {
    const response = await ask(`${address($("asked").value)}/infer`, {method: "POST", body: text}), answer = await response.text();
    $("took").textContent = `${response.status} in ${(performance.now() - start).toFixed(1)} ms`;
    $("answer").textContent = answer.slice(0, MOST_SHOWN);
    sent = tensorsOf(text);
    const content = JSON.parse(answer);
    if (response.ok) showAnswer(content.outputs.map(({name, datatype, shape, data}) => ({name, datatype, shape, values: data.flat(Infinity)})));
    else problem(content.error);
  } catch (error) {
    $("took").textContent = "";
    complain(error);
  }
}

/** Draws the outputs, or what was there before them with null. */
function showAnswer(outputs) {
  answered = outputs;
  if (!outputs) {
    $("took").textContent = $("answer").textContent = "";
    $("drawn").replaceChildren(html("p", {class: "soft"}, "Send the request to see the answer."));
    return;
  }
  const context = {inputs: sent, labels: model.labels, multiLabel: model.multiLabel};
  $("drawn").replaceChildren(...outputs.map(output => html("div", {"data-output": output.name},
    html("p", {class: "soft"}, `${output.name}, ${output.datatype}, ${output.shape.join(" x ")}`), answerView(output, row(), context))));
}

function problem(message) {
  answered = null;
  $("drawn").replaceChildren(html("p", {class: "bad", role: "alert"}, message));
}

/** Shows what went wrong where the answer would be. */
export function complain(error) {
  $("answer").textContent = error.message;
  problem(error.message);
}

/** Listens to the form's controls. */
export function listen() {
  $("form").addEventListener("submit", send);
  $("sample").addEventListener("click", () => fill(false).catch(complain));
  $("random").addEventListener("click", () => fill(true).catch(complain));
  $("asked").addEventListener("change", () => chooseModel().catch(complain));
  $("request").addEventListener("input", drawInputs);
  $("row").addEventListener("input", () => {
    drawInputs();
    if (answered) showAnswer(answered);
  });
  takeDrops(() => panels);
}
