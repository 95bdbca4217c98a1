"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);

function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// An HTML element, an SVG element: attributes ("onclick": a function), then children, texts or elements.
const make = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) =>
  put(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const find = (id) => document.getElementById(id);
const show = (id, ...children) => find(id).replaceChildren(...children.flat(Infinity).filter(Boolean));
const count = (number) => number.toLocaleString("en-US");
const many = (number, one, more = one + "s") => `${count(number)} ${number === 1 ? one : more}`;
const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);

const legend = (...entries) =>
  make("ul", { class: "legend" }, entries.map(([style, text]) =>
    make("li", {}, make("span", { class: "swatch", style, "aria-hidden": "true" }), text)));

function choose(label, options, chosen, change, attributes = {}) {
  const select = make("select", { ...attributes, onchange: () => change(select.value) },
    options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
  return make("label", {}, make("span", { class: "name" }, label), select);
}
