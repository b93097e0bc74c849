// node validate.js FILE: what AsyncAPI's parser finds wrong with it, one line each; nothing when it is right.
const fs = require("fs");
const { Parser } = require("@asyncapi/parser");

const NEWER_EXISTS = "asyncapi-latest-version"; // no fault: 3.0.0 is what the document is written for

new Parser().parse(fs.readFileSync(process.argv[2], "utf8")).then(({ document, diagnostics }) => {
  for (const { code, path, message } of diagnostics)
    if (code !== NEWER_EXISTS) console.log(code, path.join("."), message);
  if (document === undefined) console.log("no document");
});
