// Runs the page's code without a browser: one JSON object on standard input, one on standard output.
import { readFileSync, readdirSync } from "node:fs";
import { judge } from "./judge.mjs";

const [folder] = process.argv.slice(2);
const code = {};
for (const file of readdirSync(folder)) {
  const [name, ending] = file.split(".");
  if (ending === "js" && name !== "page") code[name] = await import(`file://${folder}/${file}`);
}
code.toys = await import("./toys.mjs");
process.stdout.write(JSON.stringify(judge(code, JSON.parse(readFileSync(0, "utf8")))));
