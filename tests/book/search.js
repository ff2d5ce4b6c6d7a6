// The first pages that the built book's own search shows for each query: node search.js HTML QUERY …
const fs = require("fs");
const vm = require("vm");

const [html, ...queries] = process.argv.slice(2);
const element = { children: [], dataset: { content_root: "" }, firstChild: null };
globalThis.document = {
  addEventListener: () => {},
  documentElement: element,
  getElementById: () => element,
  readyState: "loading",
};
globalThis.window = globalThis;
globalThis._removeChildren = () => {};
globalThis._ready = () => {};
globalThis._escapeRegExp = (text) => text.replace(/[.*+\-?^${}()|[\]\\]/g, "\\$&");
globalThis.SPHINX_HIGHLIGHT_ENABLED = false;
globalThis.localStorage = { setItem: () => {} };
globalThis._ = (text) => text;

const scripts = ["_static/documentation_options.js", "_static/language_data.js"];
scripts.push("_static/searchtools.js", "searchindex.js");
const code = scripts.map((name) => fs.readFileSync(`${html}/${name}`, "utf8")).join("\n");
// Of two results with one score, the search shows the later one first.
const ask = `
;JSON.stringify(${JSON.stringify(queries)}.map((query) =>
  Search._performSearch(...Search._parseQuery(query)).reverse().slice(0, 3).map((r) => r[0])))`;
console.log(vm.runInThisContext(code + ask));
