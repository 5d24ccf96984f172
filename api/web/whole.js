// The whole check of a publication on the page: progress while it runs, then its steps and what they mean.
import { box, el, stepsOf } from "./dom.js";
import { PUBLICATION_STEPS, verifyPublication } from "./publication.js";
import { INSOLVENT } from "./verdict.js";

const WHOLE_TITLES = {
  "1 statement": "The statement is in its one spelling and keeps its own rules",
  "2 parameters": "It names a circuit and a strength of proof that this page accepts",
  "3 claims": "The files on reserves, prices and insurance fund fit the statement",
  "4 shards": "The shards' figures and trees make up the statement",
  "5 proofs": "Every proof verifies",
  "6 verdict": "What follows from the totals and the reserves",
  "7 files": "The files are those of the publication's list",
};

// Run it: {outcome, seconds}. Between two proofs the page gets time to show how far it is.
export async function checkWhole({ bar, ...publication }) {
  const started = performance.now();
  const progress = (done, count) => {
    [bar.max, bar.value] = [count, done];
    return new Promise((resume) => setTimeout(resume));
  };
  bar.hidden = false;
  bar.removeAttribute("value");
  try {
    const outcome = await verifyPublication({ ...publication, progress });
    return { outcome, seconds: (performance.now() - started) / 1000 };
  } finally {
    bar.hidden = true;
  }
}

export function isRefused(whole) {
  return Boolean(whole) && !whole.outcome.ok && !isUnfinished(whole);
}

// A file that is not at hand shows nothing about the publication.
function isUnfinished({ outcome }) {
  return outcome.reason === "file-missing";
}

// The nodes for its result.
export function wholeResult(whole) {
  const { outcome, seconds } = whole;
  return [
    wholeHeadline(whole),
    el("h3", {}, `What was checked, in ${seconds.toFixed(2)} s`),
    el("ol", { class: "steps", id: "whole-steps" }, ...stepsOf(outcome, PUBLICATION_STEPS, WHOLE_TITLES)),
    el("p", { class: "small" },
      "This is a second verifier. It shares no code with ", el("code", {}, "python -m verifier"),
      ", and both must say the same. But it came to you with this page, and a page can say anything: run that program, from a place that you trust, as well.",
    ),
  ];
}

function wholeHeadline(whole) {
  const { ok, message, failed, report } = whole.outcome;
  if (ok) {
    const open = report.open.length ? ` Not checked here: ${report.open.join(" and ")}.` : "";
    const [mood, title] = report.verdict === INSOLVENT ? ["bad", "The proof verifies, and says: insolvent"] : ["good", "The whole proof verifies"];
    return box(mood, title, el("p", {}, `Verdict: ${report.spoken}.${open}`));
  }
  if (isUnfinished(whole)) {
    const words = `${message}. Without it nothing more can be said. All files of the publication are needed.`;
    return box("note", "A file is missing", el("p", {}, words));
  }
  const words = `What failed: “${WHOLE_TITLES[failed]}”. Below it says what was expected. Keep the files: they are evidence.`;
  return box("bad", `The publication is rejected: step ${failed}`, el("p", {}, words));
}
