// Runs the page's code without a browser: a JSON object per line on standard input, and one per line on standard output.
import { readdirSync } from "node:fs";
import { createInterface } from "node:readline";

const [folder, judgeFile = "judge.mjs"] = process.argv.slice(2);
const { judge } = await import(`./${judgeFile}`);
const code = { toys: await import("./toys.mjs") };
for (const file of readdirSync(folder)) {
  const [name, ending] = file.split(".");
  if (ending === "js" && name !== "page") code[name] = await import(`file://${folder}/${file}`);
}
const kept = { relations: {}, params: {} };
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await judge(code, JSON.parse(line), kept))}\n`);
}
