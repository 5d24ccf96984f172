// Canonical JSON and typed getters: the same rules, paths and reasons as verifier/canonical.py.
import { fromHex, readWords, utf8 } from "./bytes.js";
import { P } from "./constants.js";

const SAFE_INTEGER_END = 2 ** 53;
const INTEGER_DIGITS_MAX = 17;
const DECIMAL_DIGITS_MAX = 60;
const SHOWN_CHARACTERS_MAX = 80;
const DEPTH_MAX = 64;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const WRITTEN = { '"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

// Somebody's file is wrong: one reason for programs, and for people the field, what was expected, and what was there.
export class Refused extends Error {
  constructor(reason, message, field) {
    super(message);
    this.reason = reason;
    this.field = field;
  }
}

export function shown(value) {
  const isNested = value !== null && typeof value === "object";
  const text = isNested ? (Array.isArray(value) ? "a list" : "an object") : typeof value === "string" ? `"${value}"` : String(value);
  const clean = text.replace(/[^ -~]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
  return clean.length <= SHOWN_CHARACTERS_MAX ? clean : `${clean.slice(0, SHOWN_CHARACTERS_MAX)}...`;
}

export function refuse(field, expected, got, reason = "malformed") {
  throw new Refused(reason, `${field}: expected ${expected}, got ${shown(got)}`, field);
}

// A reader of JSON that takes integers only, and no key twice.
class Parser {
  constructor(text, name) {
    this.text = text;
    this.name = name;
    this.at = 0;
    this.depth = 0;
  }

  fail(what) {
    throw new Refused("malformed", `${this.name}: ${what} at character ${this.at}`, this.name);
  }

  blank() {
    while (" \t\n\r".includes(this.text[this.at] || "x")) this.at++;
  }

  value() {
    const c = this.text[this.at];
    if (c === "{" || c === "[") {
      if (++this.depth > DEPTH_MAX) this.fail("nested too deeply");
      const out = c === "{" ? this.object() : this.list();
      this.depth--;
      return out;
    }
    if (c === '"') return this.string();
    for (const [word, meaning] of [["null", null], ["true", true], ["false", false]]) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return meaning;
      }
    }
    return this.number();
  }

  number() {
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    if (!match) this.fail("no JSON");
    const digits = match[0];
    if (match[1] !== undefined || match[2] !== undefined) this.fail("a number that is no integer");
    const number = Number(digits);
    if (digits.length > INTEGER_DIGITS_MAX || Math.abs(number) >= SAFE_INTEGER_END) {
      this.fail("an integer of 2^53 or more that is no decimal string");
    }
    this.at += digits.length;
    return number + 0; // written as "0", also where "-0" was read
  }

  string() {
    let out = "";
    for (this.at++; ; this.at++) {
      const c = this.text[this.at];
      if (c === undefined || c < " ") this.fail("an unfinished string");
      if (c === '"') {
        this.at++;
        return out;
      }
      out += c === "\\" ? this.escaped() : c;
    }
  }

  escaped() {
    const c = this.text[++this.at];
    if (c !== "u") return ESCAPES[c] ?? this.fail("no such escape");
    const digits = this.text.slice(this.at + 1, this.at + 5);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail("no such escape");
    this.at += 4;
    return String.fromCharCode(parseInt(digits, 16));
  }

  list() {
    const out = [];
    this.at++;
    this.blank();
    if (this.text[this.at] === "]") return this.closed(out);
    for (;;) {
      out.push(this.value());
      this.blank();
      if (this.text[this.at] === "]") return this.closed(out);
      if (this.text[this.at] !== ",") this.fail("a comma is missing");
      this.at++;
      this.blank();
    }
  }

  object() {
    const out = new Map();
    this.at++;
    this.blank();
    if (this.text[this.at] === "}") return this.closed(out);
    for (;;) {
      if (this.text[this.at] !== '"') this.fail("a key is missing");
      const key = this.string();
      this.blank();
      if (this.text[this.at] !== ":") this.fail("a colon is missing");
      this.at++;
      this.blank();
      const value = this.value();
      if (out.has(key)) this.fail(`duplicate key ${shown(key)}`);
      out.set(key, value);
      this.blank();
      if (this.text[this.at] === "}") return this.closed(out);
      if (this.text[this.at] !== ",") this.fail("a comma is missing");
      this.at++;
      this.blank();
    }
  }

  closed(out) {
    this.at++;
    return out;
  }
}

function quoted(text) {
  const escape = (c) => WRITTEN[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `"${text.replace(/["\\]|[^ -~]/g, escape)}"`;
}

function byCodePoint(one, other) {
  const [a, b] = [[...one], [...other]];
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i] !== b[i]) return a[i].codePointAt(0) - b[i].codePointAt(0);
  }
  return a.length - b.length;
}

function written(value) {
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `[${value.map(written).join(",")}]`;
  if (!(value instanceof Map)) return String(value);
  const keys = [...value.keys()].sort(byCodePoint);
  return `{${keys.map((key) => `${quoted(key)}:${written(value.get(key))}`).join(",")}}`;
}

// The one text of a value made of Map, list, string, safe integer and null.
export function dumps(value) {
  return `${written(value)}\n`;
}

// Read canonical JSON from bytes; objects become Maps.
export function loads(bytes, limit, name) {
  if (bytes.length > limit) {
    throw new Refused("file-too-large", `${name}: ${bytes.length} bytes, expected at most ${limit}`, name);
  }
  const odd = (what) => {
    throw new Refused("non-canonical", `${name}: ${what}`, name);
  };
  if (bytes.some((byte) => byte > 127)) odd("a byte is not ASCII");
  const text = new TextDecoder().decode(bytes);
  const parser = new Parser(text, name);
  const value = parser.value();
  if (/[^\t-\r\x1c- ]/.test(text.slice(parser.at))) {
    throw new Refused("trailing-bytes", `${name}: bytes after the document`, name);
  }
  if (dumps(value) !== text) odd("expected sorted keys, no spaces, plain numbers and one newline at the end");
  if (text.includes("\\ud") && hasLoneSurrogate(value)) odd("a lone surrogate in a string");
  return value;
}

function hasLoneSurrogate(value) {
  if (typeof value === "string") return SURROGATE.test(value);
  if (Array.isArray(value)) return value.some(hasLoneSurrogate);
  return value instanceof Map && [...value].some(([key, item]) => SURROGATE.test(key) || hasLoneSurrogate(item));
}

// The top object of a file, whose `format` has to be `format`; `keys` are the others.
export function readDocument(bytes, limit, name, format, keys) {
  const value = loads(bytes, limit, name);
  if (value instanceof Map && value.has("format") && value.get("format") !== format) {
    refuse(`${name}.format`, shown(format), value.get("format"), "unknown-version");
  }
  return new Record(value, name, ["format", ...keys]);
}

const listed = (items) => (Array.isArray(items) ? `${items.length} items` : items);
// Those of Unicode 17, as ranges: an engine's own table depends on its version. The same as in verifier/canonical.py.
const UNPRINTABLE = new RegExp(
  "[\\x00-\\x1f\\x7f-\\xa0\\xad\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u1680\\u180e\\u2000-\\u200f\\u2028-\\u202f" +
    "\\u205f-\\u2064\\u2066-\\u206f\\u3000\\ud800-\\uf8ff\\ufeff\\ufff9-\\ufffb\\u{110bd}\\u{110cd}\\u{13430}-\\u{1343f}" +
    "\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0001}\\u{e0020}-\\u{e007f}\\u{f0000}-\\u{ffffd}\\u{100000}-\\u{10fffd}]",
  "u",
);

// One JSON object with exactly the given keys. A getter refuses a value of another shape by its path.
export class Record {
  constructor(value, path, keys) {
    if (!(value instanceof Map)) refuse(path, "an object", value);
    for (const key of [...keys].sort()) {
      if (!value.has(key)) throw new Refused("malformed", `${path}: ${key} is missing`, `${path}.${key}`);
    }
    for (const key of value.keys()) {
      if (!keys.includes(key)) throw new Refused("malformed", `${path}: unknown key ${shown(key)}`, path);
    }
    this.value = value;
    this.path = path;
  }

  get(key) {
    return this.value.get(key);
  }

  where(key) {
    return `${this.path}.${key}`;
  }

  record(key, keys) {
    return new Record(this.get(key), this.where(key), keys);
  }

  // A document inside this one: its canonical bytes, to be read as if they had come alone.
  document(key) {
    return utf8(dumps(this.get(key)));
  }

  records(key, keys, longest, reason = "malformed") {
    const items = this.get(key);
    if (!Array.isArray(items) || items.length > longest) {
      refuse(this.where(key), `a list of at most ${longest} objects`, listed(items), reason);
    }
    return items.map((item, i) => new Record(item, `${this.where(key)}[${i}]`, keys));
  }

  integer(key, low, high, reason = "malformed") {
    const value = this.get(key);
    if (typeof value !== "number" || value < low || value > high) {
      refuse(this.where(key), `an integer from ${low} to ${high}`, value, reason);
    }
    return value;
  }

  // A BigInt in [low, end) from a decimal string without sign or leading zeros.
  decimal(key, low, end, reason) {
    return decimalOf(this.get(key), this.where(key), low, end, reason);
  }

  decimals(key, count, low, end, reason) {
    const items = this.get(key);
    if (!Array.isArray(items) || items.length !== count) {
      refuse(this.where(key), `a list of ${count} decimal strings`, listed(items), reason);
    }
    return items.map((item, i) => decimalOf(item, `${this.where(key)}[${i}]`, low, end, reason));
  }

  isNull(key) {
    return this.get(key) === null;
  }

  text(key, longest) {
    const value = this.get(key);
    if (typeof value !== "string" || value === "" || [...value].length > longest || UNPRINTABLE.test(value)) {
      refuse(this.where(key), `1 to ${longest} printable characters`, value);
    }
    return value;
  }

  string(key, longest) {
    const value = this.get(key);
    if (typeof value !== "string" || [...value].length > longest) refuse(this.where(key), `at most ${longest} characters`, value);
    return value;
  }

  symbol(key, longest = 32) {
    const value = this.text(key, longest);
    if (!/^[!-~]*$/.test(value)) refuse(this.where(key), "visible ASCII characters", value);
    return value;
  }

  choice(key, allowed, reason = "malformed") {
    const value = this.get(key);
    if (typeof value !== "string" || !allowed.includes(value)) {
      refuse(this.where(key), allowed.map(shown).join(" or "), value, reason);
    }
    return value;
  }

  raw(key, length) {
    const value = this.get(key);
    if (typeof value !== "string" || value.length !== 2 * length || !/^[0-9a-f]*$/.test(value)) {
      refuse(this.where(key), `${2 * length} lower-case hex digits`, value);
    }
    return fromHex(value);
  }

  words(key, count) {
    const words = readWords(this.raw(key, 4 * count));
    for (const word of words) if (word >= P) refuse(this.where(key), `words below ${P}`, word, "non-canonical");
    return words;
  }
}

function decimalOf(value, path, low, end, reason) {
  if (typeof value !== "string" || value.length > DECIMAL_DIGITS_MAX || !/^(0|[1-9][0-9]*)$/.test(value)) {
    refuse(path, "a decimal string without sign or leading zeros", value);
  }
  const number = BigInt(value);
  if (number < low || number >= end) refuse(path, `from ${low} to ${end - 1n}`, value, reason);
  return number;
}

// An integer amount as a decimal number of whole units: units(-1230n, 2) is "-12.3".
export function units(amount, decimals) {
  const digits = (amount < 0n ? -amount : amount).toString().padStart(decimals + 1, "0");
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, "");
  const whole = digits.slice(0, digits.length - decimals);
  return `${amount < 0n ? "-" : ""}${whole}${decimals && fraction ? `.${fraction}` : ""}`;
}
