// A dropped or chosen file as an input of the model.

import {fitInput} from "./fit_input.js";
import {readCsv} from "./read_csv.js";
import {readNpy} from "./read_npy.js";
import {readWav} from "./read_wav.js";

const MOST_BYTES = 64 * 2 ** 20;
const TEXT = ["csv", "tsv", "txt"];

/** What a choice of files may offer. */
export const ACCEPTED = ".csv,.tsv,.txt,.npy,.wav";

/**
 * The tensor {name, datatype, shape, values} that a `File` makes of the input `spec`, and `notes` on how.
 * An Error says in one line why it makes none.
 */
export async function tensorOfFile(file, spec) {
  try {
    return fitInput(await arrayOf(file), spec);
  } catch (error) {
    throw new Error(`${file.name}: ${error.message}`);
  }
}

async function arrayOf(file) {
  const suffix = file.name.toLowerCase().split(".").at(-1);
  if (file.size > MOST_BYTES) throw new Error("it is larger than 64 MB: cut out what the model is to see");
  if (TEXT.includes(suffix)) return readCsv(await file.text());
  if (suffix === "npy") return readNpy(await file.arrayBuffer());
  if (suffix === "wav" || suffix === "wave") return readWav(await file.arrayBuffer());
  if (suffix === "npz") throw new Error("an .npz file holds several arrays: save one as .npy");
  throw new Error("this kind of file is not read: give a CSV, .npy or WAV file");
}
