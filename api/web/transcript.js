// Challenges: docs/protocol.md section 2. Each depends on all that was absorbed before, labels and lengths included.
import { joinBytes, littleEndian, readWords, utf8 } from "./bytes.js";
import { transcriptDigest } from "./blake2s.js";
import { Refused } from "./canonical.js";
import { P } from "./constants.js";
import { EXTENSION_DEGREE } from "./field.js";

const ABSORB = 0;
const DRAW = 1;
const EXPAND = 2;
const WORK = 3;
const WORD_MASK = 0x7fffffff;

export class Transcript {
  constructor() {
    this.state = transcriptDigest(new Uint8Array());
  }

  // What starts with the state becomes the next one.
  enter(kind, label, ...more) {
    const name = utf8(label);
    this.state = transcriptDigest(joinBytes(this.state, [kind, name.length], name, ...more));
  }

  absorb(label, data) {
    this.enter(ABSORB, label, littleEndian(data.length, 8), data);
  }

  // Check and absorb a proof of work: a nonce of 8 bytes, and none but zero where no work is asked for.
  grind(label, nonce, bits) {
    this.absorb(label, nonce);
    const [first] = readWords(transcriptDigest(joinBytes(this.state, [WORK])).subarray(0, 4));
    if ((bits === 0 && nonce.some((byte) => byte !== 0)) || first % 2 ** bits !== 0) {
      throw new Refused("grinding", `the nonce does not show ${bits} bits of work at "${label}"`);
    }
  }

  // Numbers of 32 bits without end, from the state that the label has entered.
  *stream() {
    for (let counter = 0; ; counter++) {
      yield* readWords(transcriptDigest(joinBytes(this.state, [EXPAND], littleEndian(counter, 8))));
    }
  }

  // As many extension elements: uniform, since words of P and more are skipped.
  draw(label, count) {
    this.enter(DRAW, label);
    const words = [];
    const stream = this.stream();
    while (words.length < EXTENSION_DEGREE * count) {
      const word = stream.next().value & WORD_MASK;
      if (word < P) words.push(word);
    }
    return Array.from({ length: count }, (_, i) => words.slice(EXTENSION_DEGREE * i, EXTENSION_DEGREE * (i + 1)));
  }

  drawOne(label) {
    return this.draw(label, 1)[0];
  }

  // Positions in a domain of 2^bits points, ascending, each once.
  drawPositions(label, count, bits) {
    this.enter(DRAW, label);
    const stream = this.stream();
    const drawn = Array.from({ length: count }, () => stream.next().value % 2 ** bits);
    return [...new Set(drawn)].sort((one, other) => one - other);
  }
}
