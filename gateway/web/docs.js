// Draws the API reference from /openapi.json and /asyncapi.json. Everything is put in as text: nothing of a document can
// become markup, and the page's policy allows no script but this one.
"use strict";

// --- elements ---

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(key, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) made.append(child);
  }
  return made;
}

// Text in which `this` is code.
function words(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", null, part) : part));
}

function paragraphs(text) {
  return (text || "").split(/\n\n+/).filter(Boolean).map((part) => element("p", null, words(part)));
}

function say(text) {
  document.getElementById("said").textContent = text;
}

// --- JSON ---

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d[\d.eE+-]*)/g;

function coloured(text) {
  const out = [];
  let at = 0;
  for (const match of text.matchAll(TOKEN)) {
    const kind = match[1] ? (match[2] ? "k" : "s") : match[3] ? "l" : "n";
    out.push(text.slice(at, match.index), element("span", { class: kind }, match[1] || match[3] || match[4]));
    at = match.index + (match[1] || match[3] || match[4]).length;
  }
  return [...out, text.slice(at)];
}

function box(text, label, json) {
  const pre = element("pre", { tabindex: "0", "aria-label": label, class: !json && "wrapped" }, json ? coloured(text) : text);
  const button = element("button", { type: "button", click: () => copy(text, pre, label) }, "Copy");
  button.setAttribute("aria-label", "Copy: " + label);
  return element("div", { class: "box" }, pre, button);
}

// Without a secure context there is no clipboard; then the text is marked for the reader's own keys.
async function copy(text, pre, label) {
  try {
    await navigator.clipboard.writeText(text);
    say(label + " copied");
  } catch {
    getSelection().selectAllChildren(pre);
    say(label + " selected");
  }
}

function shown(value) {
  return typeof value === "string" ? box(value, "Text", false) : box(JSON.stringify(value, null, 2), "JSON", true);
}

// --- schemas ---

function referred(schema) {
  const reference = schema.$ref || (schema.allOf || schema.anyOf || [{}])[0].$ref;
  return reference ? reference.slice(reference.lastIndexOf("/") + 1) : null;
}

// What a value looks like, in few words. That what may be left out may be null is said once, at the top.
function kind(schema) {
  const name = referred(schema);
  if (name) return element("a", { href: "#schema-" + name }, element("code", null, name));
  if (schema.const !== undefined) return element("code", null, JSON.stringify(schema.const));
  const types = [].concat(schema.type || []).filter((type) => type !== "null");
  if (types[0] === "array") return ["list of ", kind(schema.items)];
  if (schema.enum) {
    const values = schema.enum.filter((value) => typeof value === "string" && !/^\d+$/.test(value));
    return ["one of ", values.map((value, index) => [index ? ", " : "", element("code", null, value)])];
  }
  if (types[0] === "object" && schema.additionalProperties) return ["map to ", kind(schema.additionalProperties)];
  if (types[0] === "object" || schema.properties) return "JSON object";
  if (!types.length) return "any JSON value";
  return types.join(" or ") + (schema.format ? " (" + schema.format + ")" : "");
}

function limits(schema) {
  const told = [];
  if (schema.minimum !== undefined) told.push("at least " + schema.minimum);
  if (schema.maxLength !== undefined) told.push("at most " + schema.maxLength + " bytes");
  if (schema.minItems !== undefined) told.push("at least " + schema.minItems + " of them");
  if (schema.maxItems !== undefined) told.push("at most " + schema.maxItems + " of them");
  return told.length ? element("span", { class: "quiet" }, " · " + told.join(", ")) : null;
}

function table(caption, heads, rows) {
  return element("div", { class: "table" }, element("table", null, caption && element("caption", null, caption),
    element("thead", null, element("tr", null, heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", null, rows)));
}

function row(name, required, type, about) {
  return element("tr", null,
    element("th", { scope: "row" }, element("code", null, name), required && element("span", { class: "need" }, "required")),
    element("td", null, type), element("td", null, about));
}

function properties(schema, caption) {
  const rows = Object.entries(schema.properties || {}).map(([name, inner]) =>
    row(name, (schema.required || []).includes(name), [kind(inner), limits(inner)], paragraphs(inner.description)));
  return rows.length ? table(caption, ["Member", "Type", "Meaning"], rows) : element("p", { class: "quiet" }, "No members.");
}

// --- calls ---

function quoted(text) {
  return "'" + text.replaceAll("'", "'\\''") + "'";
}

// The call as a line for a shell.
function curl(exchange, body) {
  const parts = ["curl -i"];
  const accept = Object.entries(exchange.headers || {}).find(([name]) => name.toLowerCase() === "accept");
  if (accept && exchange.target.startsWith("/api/v1/events/subscribe")) parts[0] += " -N";
  if (Object.keys(exchange.headers || {}).includes("Accept-Encoding")) parts[0] += " --output -";
  if (exchange.method !== (body === undefined ? "GET" : "POST")) parts.push("-X " + exchange.method);
  parts.push(quoted(location.origin + exchange.target));
  const headers = Object.entries(exchange.headers || {});
  if (body !== undefined && !headers.some(([name]) => name.toLowerCase() === "content-type"))
    headers.unshift(["Content-Type", "application/json"]);
  for (const [name, value] of headers) parts.push("-H " + quoted(name + ": " + value));
  if (body !== undefined) parts.push("-d " + quoted(typeof body === "string" ? body : JSON.stringify(body)));
  return parts.join(" \\\n  ");
}

function answered(operation, exchange) {
  const response = operation.responses[exchange.status] || {};
  const type = (exchange.answer_headers || {})["Content-Type"];
  const content = type && response.content && response.content[type.split(";")[0]];
  const example = content && content.examples && content.examples[exchange.name];
  return example ? example.value : undefined;
}

function sent(operation, exchange) {
  if (exchange.body !== undefined) return exchange.body;
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  const example = content && content.examples && content.examples[exchange.name];
  return example ? example.value : undefined;
}

function example(operation, exchange) {
  const inside = element("div", { class: "inside" });
  const details = element("details", { class: "example" }, element("summary", null,
    element("span", { class: exchange.status < 400 ? "code" : "code bad" }, String(exchange.status)), exchange.summary), inside);
  details.addEventListener("toggle", () => {
    if (inside.hasChildNodes()) return;
    const body = sent(operation, exchange), answer = answered(operation, exchange);
    inside.append(element("h5", null, "Call"), box(curl(exchange, body), "Call", false), element("h5", null, "Answer"));
    const head = Object.entries(exchange.answer_headers || {}).map(([name, value]) => name + ": " + value);
    inside.append(box([exchange.status, ...head].join("\n"), "Head of the answer", false));
    if (answer !== undefined) inside.append(shown(answer));
  });
  return details;
}

function parameters(operation) {
  if (!operation.parameters) return [];
  return [element("h4", null, "Parameters"), table(null, ["Name", "In", "Type", "Meaning"], operation.parameters.map((p) =>
    element("tr", null,
      element("th", { scope: "row" }, element("code", null, p.name), p.required && element("span", { class: "need" }, "required")),
      element("td", null, p.in), element("td", null, kind(p.schema), limits(p.schema)),
      element("td", null, paragraphs(p.description)))))];
}

function requestBody(operation, schemas) {
  if (!operation.requestBody) return [];
  const schema = operation.requestBody.content["application/json"].schema, name = referred(schema);
  return [element("h4", null, "Body"), properties(name ? schemas[name] : schema, name)];
}

function responses(operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const types = Object.entries(response.content || {}).map(([type, content]) =>
      element("p", null, element("code", null, type), content.schema && [" ", kind(content.schema)]));
    const heads = Object.keys(response.headers || {}).map((name, index) => [index ? ", " : "", element("code", null, name)]);
    return element("tr", null, element("th", { scope: "row" }, element("span",
      { class: status < 400 ? "code" : "code bad" }, status)), element("td", null, words(response.description)),
      element("td", null, types, heads.length ? element("p", { class: "quiet" }, "Headers: ", heads) : null));
  });
  return [element("h4", null, "Answers"), table(null, ["Status", "When", "Content"], rows)];
}

// --- trying a GET ---

function tryIt(path, operation) {
  const streams = path === "/ws" || Object.keys(operation.responses["200"]?.content || {}).includes("text/event-stream");
  if (streams) return [];
  const inputs = (operation.parameters || []).map((parameter) => {
    const id = operation.operationId + "-" + parameter.name;
    const first = Object.values(parameter.examples || {})[0];
    const given = parameter.in === "path" && first ? String(first.value) : "";
    const input = element("input", { id, value: given, required: parameter.required, autocomplete: "off", spellcheck: "false" });
    return { parameter, input, label: element("div", null, element("label", { for: id }, parameter.name), input) };
  });
  const result = element("div", { class: "result", role: "status" });
  const form = element("form", { submit: (event) => { event.preventDefault(); ask(path, inputs, result); } },
    inputs.map((each) => each.label), element("div", null, element("button", { type: "submit" }, "Send")));
  return [element("details", { class: "try" }, element("summary", null, "Try it on this service"),
    element("div", { class: "inside" }, form, result))];
}

async function ask(path, inputs, result) {
  const query = new URLSearchParams(), headers = {};
  for (const { parameter, input } of inputs) {
    if (input.value === "") continue;
    if (parameter.in === "path") path = path.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
    else if (parameter.in === "header") headers[parameter.name] = input.value;
    else if (parameter.schema.type === "array") input.value.split(",").forEach((each) => query.append(parameter.name, each.trim()));
    else query.append(parameter.name, input.value);
  }
  const target = path + (query.size ? "?" + query : "");
  result.replaceChildren("GET " + target + " …");
  try {
    const answer = await fetch(target, { headers, cache: "no-store" });
    const text = await answer.text(), type = answer.headers.get("Content-Type") || "";
    const json = type.includes("json") && !type.includes("ndjson");
    result.replaceChildren(element("p", null, "GET ", element("code", null, target), " ",
      element("span", { class: answer.ok || answer.status === 304 ? "code" : "code bad" }, String(answer.status))));
    if (text) result.append(shown(json ? JSON.parse(text) : text));
  } catch (error) {
    result.replaceChildren("No answer: " + error.message);
  }
}

// --- sections ---

function operationArticle(path, verb, operation, schemas) {
  const rest = operation.description && operation.description !== operation.summary ? operation.description : null;
  return element("article", { id: "op-" + operation.operationId, "data-operation": operation.operationId },
    element("h3", null, operation.operationId),
    element("p", { class: "route" }, element("span", { class: "verb " + verb }, verb.toUpperCase()),
      element("span", { class: "path" }, path)),
    rest ? paragraphs(rest) : paragraphs(operation.summary),
    parameters(operation), requestBody(operation, schemas), responses(operation),
    element("h4", null, "Examples"), (operation["x-exchanges"] || []).map((exchange) => example(operation, exchange)),
    verb === "get" ? tryIt(path, operation) : []);
}

function frameArticle(key, message) {
  const examples = message.examples.map((given) => {
    const inside = element("div", { class: "inside" });
    const head = given.headers ? Object.entries(given.headers).map(([name, value]) => name + ": " + value).join("\n") : null;
    inside.append(head ? box(head, "Fields before the data", false) : "", shown(given.payload));
    return element("details", { class: "example" }, element("summary", null, given.summary), inside);
  });
  const whole = message.payload.properties && !referred(message.payload);
  return element("article", { id: "frame-" + key, "data-frame": key }, element("h3", null, element("code", null, message.name)),
    element("p", { class: "quiet" }, message.title), paragraphs(message.summary),
    element("h4", null, message.contentType === "application/json" ? "Frame" : "Data"),
    whole ? properties(message.payload, null) : element("p", null, kind(message.payload)),
    element("h4", null, "Examples"), examples);
}

function reasonsTable(reasons) {
  return table(null, ["Reason", "HTTP", "gRPC code", "What it means, what to do"], reasons.map((reason) =>
    element("tr", { "data-reason": reason.reason }, element("th", { scope: "row" }, element("code", null, reason.reason)),
      element("td", null, String(reason.status)), element("td", null, element("code", null, reason.code)),
      element("td", null, words(reason.description), reason.retry_ms && " Retry after " + reason.retry_ms + " ms."))));
}

function section(id, title, about, ...content) {
  return element("section", { id, "aria-labelledby": id + "-title" }, element("h2", { id: id + "-title" }, title),
    paragraphs(about), content);
}

function schemaArticle(name, schema) {
  return element("article", { id: "schema-" + name, "data-schema": name }, element("h3", null, element("code", null, name)),
    paragraphs(schema.description), properties(schema, null));
}

// --- contents and search ---

function indexList(title, target, entries) {
  return element("div", { class: "group" }, element("h2", null, element("a", { href: "#" + target }, title)),
    element("ul", null, entries.map(([href, verb, text, found]) => element("li", { "data-found": found.toLowerCase() },
      element("a", { href: "#" + href }, verb && element("span", { class: "verb " + verb }, verb.toUpperCase()), text)))));
}

function search(text) {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const item of document.querySelectorAll("#index li")) {
    item.hidden = !wanted.every((word) => item.dataset.found.includes(word));
    count += item.hidden ? 0 : 1;
  }
  for (const group of document.querySelectorAll("#index .group")) group.hidden = !group.querySelector("li:not([hidden])");
  document.getElementById("found").textContent = wanted.length ? count + (count === 1 ? " entry" : " entries") : "";
}

function withKeys() {
  const input = document.getElementById("search");
  input.addEventListener("input", () => search(input.value));
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      document.getElementById("contents").open = true;
      input.focus();
    }
  });
}

// --- the page ---

function draw(calls, streams) {
  const content = document.getElementById("content"), index = document.getElementById("index");
  const schemas = calls.components.schemas, operations = [];
  for (const [path, verbs] of Object.entries(calls.paths))
    for (const [verb, operation] of Object.entries(verbs)) operations.push({ path, verb, operation });
  const sections = [element("h1", null, calls.info.title + " API"), paragraphs(calls.info.description)];
  for (const tag of calls.tags) {
    const own = operations.filter(({ operation }) => operation.tags.includes(tag.name));
    const id = "tag-" + tag.name, title = tag.name.replace(/Service$/, "");
    sections.push(section(id, title, tag.description,
      own.map(({ path, verb, operation }) => operationArticle(path, verb, operation, schemas))));
    index.append(indexList(title, id, own.map(({ path, verb, operation }) =>
      ["op-" + operation.operationId, verb, operation.operationId, verb + " " + path + " " + operation.operationId])));
  }
  for (const [name, channel] of Object.entries(streams.channels)) {
    const keys = Object.keys(channel.messages), id = "channel-" + name;
    const articles = keys.map((key) => frameArticle(key, streams.components.messages[key]));
    sections.push(section(id, channel.title, channel.description,
      element("p", { class: "route" }, element("span", { class: "verb get" }, "GET"), element("span", { class: "path" }, channel.address)),
      articles));
    index.append(indexList(channel.title, id, keys.map((key) =>
      ["frame-" + key, null, streams.components.messages[key].title, channel.title + " " + key + " " + channel.address])));
  }
  sections.push(section("reasons", "Reasons", "Every refusal or failure is application/problem+json with a `code`, and a `reason` " +
    "when it is one of these. `detail` says what happened, with which value, and what to do.", reasonsTable(schemas.Problem["x-reasons"])));
  index.append(indexList("Reasons", "reasons", schemas.Problem["x-reasons"].map(({ reason, status }) =>
    ["reasons", null, reason, reason + " " + status + " reason"])));
  const all = { ...streams.components.schemas, ...schemas };
  const names = Object.keys(all).sort();
  sections.push(section("schemas", "Schemas", null, names.map((name) => schemaArticle(name, all[name]))));
  index.append(indexList("Schemas", "schemas", names.map((name) => ["schema-" + name, null, name, name + " schema"])));
  content.replaceChildren(...sections.flat(Infinity));
}

async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(path + " is answered with " + answer.status);
  return answer.json();
}

async function main() {
  if (matchMedia("(max-width: 56rem)").matches) document.getElementById("contents").open = false;
  try {
    const [calls, streams] = await Promise.all([read("/openapi.json"), read("/asyncapi.json")]);
    draw(calls, streams);
    withKeys();
    document.documentElement.dataset.drawn = "true";
    if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView({ behavior: "instant" });
  } catch (error) {
    document.getElementById("content").replaceChildren(element("p", { id: "state", role: "alert" },
      "The description of the API cannot be read: " + error.message));
  }
}

main();
