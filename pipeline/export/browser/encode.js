// Vectors of sentences in the browser, from model.safetensors and tokenizer.json beside this file:
//     import { load } from "./encode.js";
//     const model = await load("./");
//     model.encode("Kings don't walk.");  // Float32Array, the mean of the known words; zeros where there is none
// It cuts text by the rules in tokenizer.json, as training did.

export async function load(folder) {
  const [rules, bytes] = await Promise.all([
    fetched(folder + "tokenizer.json").then((answer) => answer.json()),
    fetched(folder + "model.safetensors").then((answer) => answer.arrayBuffer()),
  ]);
  const { embeddings, mapping, weights } = arrays(bytes);
  const [, dim] = embeddings.shape;
  const normalise = normaliser(rules.normalizer);
  const cut = cutter(rules.pre_tokenizer);
  const vocabulary = new Map(Object.entries(rules.model.vocab));
  const rows = (text) => cut([normalise(text)]).map((word) => vocabulary.get(word)).filter((row) => row !== undefined);
  const encode = (text) => {
    const sum = new Float64Array(dim);
    const known = rows(text);
    for (const row of known) {
      const begin = (mapping ? mapping.values[row] : row) * dim;
      const weight = weights ? weights.values[row] : 1;
      for (let i = 0; i < dim; i++) sum[i] += weight * embeddings.values[begin + i];
    }
    return Float32Array.from(sum, (value) => value / (known.length || 1));
  };
  return { dim, rows, encode };
}

export function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / (Math.sqrt(dot(a, a) * dot(b, b)) || 1);
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status} ${answer.statusText}`);
  return answer;
}

// Arrays of a file in the safetensors format: a length, a JSON header, the numbers.
function arrays(buffer) {
  const kinds = { F32: Float32Array, I8: Int8Array, I32: Int32Array };
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  return Object.fromEntries(
    entries.map(([name, { dtype, shape, data_offsets: [begin, end] }]) => {
      if (!(dtype in kinds)) throw new Error(`model.safetensors: ${name} is of type ${dtype}, which is not read here`);
      return [name, { shape, values: new kinds[dtype](buffer.slice(8 + length + begin, 8 + length + end)) }];
    }),
  );
}

// A regular expression of the tokenizers library (Oniguruma) as JavaScript writes it.
function pattern({ Regex, String: plain }, flags = "gv") {
  if (plain !== undefined) return new RegExp(plain.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"), flags);
  const scripts = /\\p\{(Han|Greek|Hiragana|Katakana|Thai|Hangul)\}/g;
  const source = Regex.replace(scripts, "\\p{Script=$1}").replace(/\\x\{/g, "\\u{").replace(/\\A/g, "^").replace(/\\z/g, "$");
  return new RegExp(source, flags);
}

function normaliser(rule) {
  switch (rule?.type) {
    case undefined:
      return (text) => text;
    case "Sequence": {
      const steps = rule.normalizers.map(normaliser);
      return (text) => steps.reduce((sofar, step) => step(sofar), text);
    }
    case "Replace": {
      const found = pattern(rule.pattern);
      return (text) => text.replace(found, () => rule.content);
    }
    case "NFC":
      return (text) => text.normalize("NFC");
    case "Lowercase": // a letter at a time: in JavaScript alone, a sigma at the end of a word is another one
      return (text) => Array.from(text, (letter) => letter.toLowerCase()).join("");
    default:
      throw new Error(`tokenizer.json: the normalizer ${rule.type} is not known here`);
  }
}

function cutter(rule) {
  switch (rule.type) {
    case "Sequence": {
      const steps = rule.pretokenizers.map(cutter);
      return (texts) => steps.reduce((sofar, step) => step(sofar), texts);
    }
    case "WhitespaceSplit":
      return (texts) => texts.flatMap((text) => text.split(/\p{White_Space}+/u)).filter((text) => text);
    case "Split": {
      const found = pattern(rule.pattern);
      const kept = { Isolated: true, Removed: false }[rule.behavior];
      if (kept === undefined || (rule.invert && kept)) throw new Error(`tokenizer.json: Split ${rule.behavior} is not known here`);
      if (rule.invert) return (texts) => texts.flatMap((text) => text.match(found) ?? []);
      return (texts) => texts.flatMap((text) => parts(text, found, kept)).filter((text) => text);
    }
    case "Metaspace": {
      const before = rule.prepend_scheme === "never" ? "" : rule.replacement;
      const replaced = (texts) => texts.map((text) => text.replaceAll(" ", rule.replacement));
      return (texts) => replaced(texts).map((text) => (text.startsWith(before) ? text : before + text));
    }
    default:
      throw new Error(`tokenizer.json: the pre-tokenizer ${rule.type} is not known here`);
  }
}

function parts(text, found, kept) {
  const result = [];
  let begin = 0;
  for (const match of text.matchAll(found)) {
    result.push(text.slice(begin, match.index));
    if (kept) result.push(match[0]);
    begin = match.index + match[0].length;
  }
  return [...result, text.slice(begin)];
}
