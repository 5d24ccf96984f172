// Runs the page's code without a browser: one JSON object on standard input, one on standard output.
import { readFileSync, readdirSync } from "node:fs";

const [folder, judgeFile] = process.argv.slice(2);
const { judge } = await import(`./${judgeFile}`);
const code = { toys: await import("./toys.mjs") };
for (const file of readdirSync(folder)) {
  const [name, ending] = file.split(".");
  if (ending === "js" && name !== "page") code[name] = await import(`file://${folder}/${file}`);
}
process.stdout.write(JSON.stringify(await judge(code, JSON.parse(readFileSync(0, "utf8")))));
