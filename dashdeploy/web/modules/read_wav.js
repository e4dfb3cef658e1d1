// Samples from a WAV file as numbers from -1 to 1, [channels, samples], as libsndfile reads them; nothing is resampled.
// Source of the format: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0", and WAVE_FORMAT_EXTENSIBLE.

const PCM = 1, FLOAT = 3, EXTENSIBLE = 0xfffe;
const NAMES = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "IMA ADPCM", 85: "MP3"};
const OF_STREAMS = 0x7fff0000; // what programs that cannot go back to the header write there, or more
const READ = {
  [`${PCM} 8`]: (view, at) => (view.getUint8(at) - 128) / 128,
  [`${PCM} 16`]: (view, at) => view.getInt16(at, true) / 32768,
  [`${PCM} 24`]: (view, at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 8388608,
  [`${PCM} 32`]: (view, at) => view.getInt32(at, true) / 2147483648,
  [`${FLOAT} 32`]: (view, at) => view.getFloat32(at, true),
  [`${FLOAT} 64`]: (view, at) => view.getFloat64(at, true),
};

/** {shape, values, notes} of the bytes (an ArrayBuffer), or an Error that says what is wrong. */
export function readWav(buffer) {
  const view = new DataView(buffer);
  const word = at => (at + 4 <= buffer.byteLength ? String.fromCharCode(...new Uint8Array(buffer, at, 4)) : "");
  if (word(0) !== "RIFF" || word(8) !== "WAVE") throw new Error("this is not a WAV file");
  let format = null;
  for (let at = 12; at + 8 <= buffer.byteLength;) {
    const size = view.getUint32(at + 4, true), start = at + 8;
    if (word(at) === "fmt ") format = formatOf(view, start, size);
    if (word(at) === "data") return samples(view, start, size, format);
    at = start + size + (size % 2);
  }
  throw new Error("the file is cut short: it has no samples");
}

function formatOf(view, start, size) {
  if (size < 16 || start + size > view.byteLength) throw new Error("the file is cut short");
  const tag = view.getUint16(start, true), code = tag === EXTENSIBLE && size >= 26 ? view.getUint16(start + 24, true) : tag;
  const bits = view.getUint16(start + 14, true), read = READ[`${code} ${bits}`];
  if (!read) throw new Error(`its samples are ${NAMES[code] ?? `of format ${code}`} with ${bits} bits: save it as PCM or float`);
  return {channels: view.getUint16(start + 2, true), rate: view.getUint32(start + 4, true), bytes: bits / 8, read};
}

function samples(view, start, size, format) {
  if (!format || !format.channels) throw new Error("the header says nothing of the samples");
  const {channels, rate, bytes, read} = format, there = view.byteLength - start;
  if (size > there && size < OF_STREAMS) throw new Error(`the file is cut short: ${there} of ${size} bytes are there`);
  const count = Math.floor(Math.min(size, there) / (bytes * channels)), values = new Array(count * channels);
  if (!count) throw new Error("the recording is empty");
  for (let i = 0; i < count; i++) {
    for (let channel = 0; channel < channels; channel++) values[channel * count + i] = read(view, start + (i * channels + channel) * bytes);
  }
  return {shape: [channels, count], values, notes: [`${count} samples at ${rate} Hz, not resampled`]};
}
