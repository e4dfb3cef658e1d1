// Numbers from a CSV file or a relative: cells between commas, semicolons, tabs or spaces; perhaps a header.

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const SPACES = /\s+/;
const DECIMAL_COMMA = /^[+-]?\d+,\d+$/;

/** {shape: [lines, cells], values, notes} of the text, or an Error that names the line. */
export function readCsv(text) {
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/).map((line, i) => ({number: i + 1, line}))
    .filter(({line}) => line.trim() && !line.startsWith("#"));
  if (!lines.length) throw new Error("the file is empty");
  const separator = ["\t", ";", ","].find(each => lines.some(({line}) => line.includes(each))) ?? SPACES;
  const rows = lines.map(({number, line}) => ({number, cells: (separator === SPACES ? line.trim() : line).split(separator).map(bare)}));
  const notes = [];
  if (rows.length > 1 && rows[0].cells.some(Boolean) && !rows[0].cells.some(cell => NUMBER.test(cell))) {
    rows.shift();
    notes.push("the first line is a header");
  }
  const width = rows[0].cells.length, values = [];
  for (const {number, cells} of rows) {
    if (cells.length !== width) throw new Error(`line ${number} has ${cells.length} cells, line ${rows[0].number} has ${width}`);
    cells.forEach((cell, i) => values.push(numberOf(cell, number, i + 1)));
  }
  return {shape: [rows.length, width], values, notes};
}

const bare = cell => cell.trim().replace(/^"(.*)"$/, "$1").trim();

function numberOf(cell, line, place) {
  if (NUMBER.test(cell)) return Number(cell);
  const where = `line ${line}, cell ${place}`;
  if (!cell) throw new Error(`${where} is empty: fill it in`);
  if (DECIMAL_COMMA.test(cell)) throw new Error(`${where} is ${cell}: write decimals with a point`);
  throw new Error(`${where} is not a number: ${cell.slice(0, 40)}`);
}
