// Bytes, hex and words. All integers in files are little-endian.

export function toHex(bytes) {
  let out = "";
  for (const byte of bytes) out += byte.toString(16).padStart(2, "0");
  return out;
}

// `text` has an even number of hex digits: callers have looked.
export function fromHex(text) {
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = parseInt(text.substr(2 * i, 2), 16);
  return out;
}

export function utf8(text) {
  return new TextEncoder().encode(text);
}

export function joinBytes(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function equalBytes(one, other) {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}

// A number below 2^53 in `length` bytes.
export function littleEndian(number, length) {
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    out[i] = number % 256;
    number = Math.floor(number / 256);
  }
  return out;
}

export function readWords(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(4 * i, true));
}

export function packWords(words) {
  const out = new Uint8Array(4 * words.length);
  const view = new DataView(out.buffer);
  words.forEach((word, i) => view.setUint32(4 * i, word, true));
  return out;
}

export function hexWords(words) {
  return toHex(packWords(words));
}

// A BigInt from little-endian bytes.
export function bigFrom(bytes) {
  let out = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) out = (out << 8n) | BigInt(bytes[i]);
  return out;
}

export function bigBytes(number, length) {
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    out[i] = Number(number & 255n);
    number >>= 8n;
  }
  return out;
}

// Standard base64 in its one spelling; null for anything else, nothing included.
export function fromBase64(text) {
  let binary;
  try {
    binary = atob(text);
  } catch {
    return null;
  }
  return text && btoa(binary) === text ? Uint8Array.from(binary, (c) => c.charCodeAt(0)) : null;
}
