// Requests to the server that the page came from, with the API key if there is one.

const STORED = "dashdeploy-key";
let key = sessionStorage.getItem(STORED) ?? "";

/** Remembers the key for this tab. */
export function useKey(given) {
  key = given;
  sessionStorage.setItem(STORED, given);
}

const keySection = () => document.getElementById("key-section");

/** A response of the server; a refused key shows the field for it. */
export async function ask(path, options = {}) {
  const headers = key ? {Authorization: `Bearer ${key}`} : {};
  const response = await fetch(path, {cache: "no-store", ...options, headers});
  if (response.status === 401) keySection().hidden = false;
  return response;
}

/** The JSON of a response, or an Error with what the server says. */
export async function json(path, options) {
  const response = await ask(path, options), content = await response.json();
  if (!response.ok) throw new Error(content.error);
  return content;
}

export const identity = model => `${model.name}/${model.version}`;

/** The address of a model that is named `name/version`. */
export function address(id) {
  const cut = id.lastIndexOf("/");
  return `/v2/models/${encodeURIComponent(id.slice(0, cut))}/versions/${id.slice(cut + 1)}`;
}
