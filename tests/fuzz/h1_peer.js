// Reads HTTP/1.1 as llhttp does, the parser of Node.js: on standard input cases, each four bytes of length (big endian) and
// as many bytes; on standard output one line of JSON for each.
"use strict";
const { HTTPParser, methods } = require("_http_common");

const HEADERS = HTTPParser.kOnHeaders | 0;
const HEAD = HTTPParser.kOnHeadersComplete | 0;
const BODY = HTTPParser.kOnBody | 0;
const DONE = HTTPParser.kOnMessageComplete | 0;

function read(input) {
  const requests = [];
  let end = "open", why = "", request = null, early = [], target = "", switched = false;
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {});
  parser[HEADERS] = (headers, url) => { // of many headers, the first ones
    early.push(...headers);
    target += url;
  };
  parser[HEAD] = (major, minor, headers, method, url, status, message, upgrade, keepAlive) => {
    const all = [...early, ...(headers || [])];
    request = { method: methods[method], target: url === undefined ? target : url, headers: [], body: [], keep: keepAlive };
    early = [];
    target = "";
    for (let i = 0; i < all.length; i += 2) request.headers.push([all[i], all[i + 1]]);
    switched = upgrade;
    return 0;
  };
  parser[BODY] = (part, offset, length) => {
    request.body.push(length === undefined ? part : part.subarray(offset, offset + length));
  };
  parser[DONE] = () => {
    request.body = Buffer.concat(request.body).toString("hex");
    requests.push(request);
    request = null;
    early = []; // of the trailers
    target = "";
  };
  const result = parser.execute(input);
  if (result instanceof Error) {
    end = "refused";
    why = result.code + ": " + result.reason;
  } else if (switched && result < input.length) {
    end = "switched"; // what follows is another protocol's
  }
  return { requests, end, why };
}

let rest = Buffer.alloc(0);
process.stdin.on("data", (data) => {
  rest = Buffer.concat([rest, data]);
  while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
    const size = rest.readUInt32BE(0);
    // A copy: the parser's events must not see what later cases bring.
    process.stdout.write(JSON.stringify(read(Buffer.from(rest.subarray(4, 4 + size)))) + "\n");
    rest = rest.subarray(4 + size);
  }
});
