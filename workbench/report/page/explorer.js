// The tile explorer. DATA: see lessons/tile_explorer.py.
const MEMORY = { naive: ["Q", "K", "V", "S", "P", "O", "LSE"], flash_v1: ["Q", "K", "V", "O", "l", "m"],
  flash_v2: ["Q", "K", "V", "O", "LSE"] };
const KERNELS = { scores: "kernel 1, S = Q Kᵀ", softmax: "kernel 2, P = softmax(S)", weighted_sum: "kernel 3, O = P V" };
const chosen = { version: "flash_v2", size: "16x16", Br: 4, Bc: 4, causal: false };
let step = 0, timer = 0;

const key = (version) =>
  `${version} ${chosen.size} ${chosen.Br}x${chosen.Bc} ${chosen.causal ? "causal" : "full"}`;
const steps = (version = chosen.version) => DATA.traces[key(version)];
const lengths = () => chosen.size.split("x").map(Number);
const tiles = () => [Math.ceil(lengths()[0] / chosen.Br), Math.ceil(lengths()[1] / chosen.Bc)];
const shown = (value) => value === "-inf" ? "−∞" : String(value).replace("-", "−");
const fixed = (value, digits = 3) => typeof value === "number" ? value.toFixed(digits).replace("-", "−") : shown(value);

// Elements that moved, by array: of steps from the first to `until`.
function moved(until, version = chosen.version) {
  const total = { in: {}, out: {} };
  for (const one of steps(version).slice(0, until + 1)) {
    for (const [name, [, size]] of Object.entries(one.in)) total.in[name] = (total.in[name] || 0) + size;
    for (const [name, size] of Object.entries(one.out)) total.out[name] = (total.out[name] || 0) + size;
  }
  return total;
}
const bytes = (total) => DATA.bytes * sum(Object.values(total));

// What is to be chosen

function choices() {
  const set = (name, number) => (value) => {
    chosen[name] = number ? Number(value) : value;
    step = 0;
    stop();
    render();
  };
  const versions = make("fieldset", {}, make("legend", {}, "Version"),
    make("div", { class: "choices" }, Object.entries(DATA.versions).map(([name, title]) =>
      make("label", { class: "choice" },
        make("input", { type: "radio", name: "version", value: name, checked: name === chosen.version,
          onchange: () => set("version")(name) }),
        make("span", {}, title)))));
  const sizes = DATA.lengths.map(([q, k]) => [`${q}x${k}`, `${q} × ${k}`]);
  const rows = DATA.tiles.map((size) => [String(size), String(size)]);
  const causal = make("input", { type: "checkbox", id: "causal", onchange: () => set("causal")(causal.checked) });
  find("choices").append(versions,
    choose("Queries × keys", sizes, chosen.size, set("size"), { id: "size" }),
    choose("Br, rows of a Q tile", rows, String(chosen.Br), set("Br", true), { id: "Br" }),
    choose("Bc, rows of a K tile", rows, String(chosen.Bc), set("Bc", true), { id: "Bc" }),
    make("label", { class: "check" }, causal, "causal"));
}

// The sentence

function sentence() {
  const now = steps()[step], parts = [];
  const name = DATA.versions[chosen.version];
  parts.push(KERNELS[now.kernel] ? `${name}, ${KERNELS[now.kernel]}.` : `${name}.`);
  const reads = Object.entries(now.in).map(([array, [index]]) => `${array}${place(array, index)}`);
  const read = DATA.bytes * sum(Object.values(now.in).map(([, size]) => size));
  const wrote = bytes(now.out);
  parts.push(reads.length ? `It reads ${reads.join(", ")}: ${many(read, "byte")}.` : "It reads nothing.");
  if (now.j === undefined) parts.push("These rows see no key, so no tile of S is computed; their O is 0.");
  else if (now.kernel === "softmax") parts.push(now.P ? "This second reading of S makes P." : "It takes the maxima and sums of S.");
  else if (now.kernel === "weighted_sum") parts.push(`It adds P(${now.i}, ${now.j}) V(${now.j}) to O(${now.i}).`);
  else parts.push(`It computes tile (${now.i}, ${now.j}) of S.`);
  const rescaled = moving(now).filter(Boolean).length;
  if (now.rescale && now.m) parts.push(rescaled
    ? `The maximum of ${many(rescaled, "row")} moves: what was summed there is multiplied by the rescale factor.`
    : "No maximum that was set before moves, so nothing is rescaled.");
  const written = Object.keys(now.out);
  parts.push(written.length ? `It writes ${written.join(", ")}: ${many(wrote, "byte")}.` : "It writes nothing.");
  return parts.join(" ");
}

// Which rows had a maximum that a later tile raised.
const moving = (now) => (now.m_before || []).map((before, row) => before !== "-inf" && now.m && before !== now.m[row]);

const place = (array, index) => array === "S" || array === "P"
  ? `(${Math.floor(index / tiles()[1])}, ${index % tiles()[1]})` : `(${index})`;

// The picture

function picture() {
  const [Tr, Tc] = tiles(), [Sq, Sk] = lengths(), now = steps()[step], past = steps().slice(0, step + 1);
  const naive = chosen.version === "naive";
  const unit = 15, gap = 10, left = ["Q", "O"].concat(chosen.version === "flash_v1" ? ["l", "m"] : ["LSE"]), above = ["K", "V"];
  const wide = { Q: 2.2 * unit, O: 2.2 * unit, K: 2.2 * unit, V: 2.2 * unit, l: .9 * unit, m: .9 * unit, LSE: .9 * unit };
  const parts = [];
  const box = (x, y, w, h, fill, label, dashed) => parts.push(draw("rect", { x, y, width: w, height: h, fill,
    stroke: "var(--soft)", "stroke-width": 1, "stroke-dasharray": dashed ? "3 2" : null }, draw("title", {}, label)));
  const word = (x, y, text, attributes = {}) => parts.push(draw("text", { x, y, "text-anchor": "middle", ...attributes }, text));
  const colour = (on, did) => on ? "var(--dark)" : did ? "var(--light)" : "var(--paper)";
  const wrote = (array, i, j) => past.some((one) => array in one.out && one.i === i && (j === undefined || one.j === j));

  let top = 22;
  const x0 = sum(left.map((array) => wide[array] + gap)) + 6, width = Sk * unit, height = Sq * unit;
  for (const array of above) {
    word(x0 - 10, top + wide[array] / 2 + 4, array);
    for (let j = 0; j < Tc; j++) {
      const w = Math.min(chosen.Bc, Sk - j * chosen.Bc) * unit;
      const here = now.on[array] === j;
      box(x0 + j * chosen.Bc * unit, top, w, wide[array], here ? "var(--middle)" : "var(--paper)", `${array} tile ${j}${here ? ", on chip" : ""}`);
    }
    top += wide[array] + gap;
  }
  top += naive ? 16 : 6;
  let x = 4;
  for (const array of left) {
    word(x + wide[array] / 2, top - 6, array);
    for (let i = 0; i < Tr; i++) {
      const h = Math.min(chosen.Br, Sq - i * chosen.Br) * unit, here = now.on[array] === i;
      const fill = here ? "var(--middle)" : wrote(array, i) ? "var(--light)" : "var(--paper)";
      box(x, top + i * chosen.Br * unit, wide[array], h, fill, `${array} tile ${i}${here ? ", on chip" : wrote(array, i) ? ", written" : ""}`);
    }
    x += wide[array] + gap;
  }
  const grid = (array, origin, current, done, dashed) => {
    for (let i = 0; i < Tr; i++) for (let j = 0; j < Tc; j++) {
      const here = current && now.i === i && now.j === j;
      box(origin + j * chosen.Bc * unit, top + i * chosen.Br * unit, Math.min(chosen.Bc, Sk - j * chosen.Bc) * unit,
        Math.min(chosen.Br, Sq - i * chosen.Br) * unit, colour(here, done(i, j)),
        `${array} tile (${i}, ${j})${here ? ", on chip now" : done(i, j) ? naive ? ", in memory" : ", done and forgotten" : ""}`, dashed);
    }
  };
  let right = x0 + width;
  if (naive) {
    const second = right + 26;
    word(x0 + width / 2, top - 6, "S, in memory");
    word(second + width / 2, top - 6, "P, in memory");
    grid("S", x0, "S" in now.in || "S" in now.out, (i, j) => wrote("S", i, j));
    grid("P", second, "P" in now.in || "P" in now.out, (i, j) => wrote("P", i, j));
    right = second + width;
  } else {
    grid("S", x0, true, (i, j) => past.some((one) => one.i === i && one.j === j), true);
    word(x0 + width / 2, top + height + 17, "S: one tile at a time, never in memory", { class: "soft" });
  }
  const label = `Step ${step + 1}: ${sentence()}`;
  const w = right + 6, h = top + height + (naive ? 8 : 24);
  show("picture",
    draw("svg", { viewBox: `0 0 ${w} ${h}`, width: w * 1.15, role: "img", "aria-label": label }, parts),
    legend(["background: var(--dark)", `the tile of ${naive ? "S or P" : "S"} now`], ["background: var(--middle)", "on chip"],
      ["background: var(--light)", naive ? "written to memory" : "done; of O and the sums: written to memory"]));
}

// Bytes

function traffic() {
  const total = moved(step), end = moved(steps().length - 1);
  const sofar = bytes(total.in) + bytes(total.out), all = bytes(end.in) + bytes(end.out);
  const now = steps()[step];
  const rows = MEMORY[chosen.version].map((array) => make("tr", { class: array in now.in || array in now.out ? "moved" : "" },
    make("td", {}, array), make("td", {}, count(DATA.bytes * (total.in[array] || 0))),
    make("td", {}, count(DATA.bytes * (total.out[array] || 0)))));
  show("bytes",
    make("p", {}, make("strong", { id: "sofar" }, count(sofar)), ` of ${count(all)} bytes of the whole run`),
    draw("svg", { viewBox: "0 0 300 16", width: "100%", preserveAspectRatio: "none", style: "height: 16px", role: "img",
      "aria-label": `${Math.round(100 * sofar / all)} percent of the bytes` },
      draw("rect", { x: 0, y: 0, width: 300, height: 16, fill: "var(--paper)", stroke: "var(--line)" }),
      draw("rect", { x: 0, y: 0, width: 300 * bytes(total.in) / all, height: 16, fill: "var(--middle)" }),
      draw("rect", { x: 300 * bytes(total.in) / all, y: 0, width: 300 * bytes(total.out) / all, height: 16, fill: "var(--dark)" })),
    legend(["background: var(--middle)", "read"], ["background: var(--dark)", "written"]),
    make("div", { class: "scroll", style: "margin-top: .5rem" }, make("table", { class: "tight" },
      make("thead", {}, make("tr", {}, ["array", "bytes read", "bytes written"].map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, rows))),
    make("p", { class: "soft" }, "Shaded: what this step moves. All is float32, 4 bytes an element."));
}

// HBM, shared memory, registers

function values(caption, rows) {
  const wide = Array.isArray(rows[0]);
  return make("table", { class: "values mono" }, make("caption", {}, caption),
    make("tbody", {}, (wide ? rows : [rows]).map((row) => make("tr", {}, row.map((one) => make("td", {}, fixed(one, 2)))))));
}

function levels() {
  const now = steps()[step], [Sq, Sk] = lengths(), [Tr, Tc] = tiles(), d = DATA.head_dim;
  const shapes = { Q: [Sq, d], K: [Sk, d], V: [Sk, d], O: [Sq, d], S: [Sq, Sk], P: [Sq, Sk], l: [Sq], m: [Sq], LSE: [Sq] };
  const past = steps().slice(0, step + 1);
  const hbm = MEMORY[chosen.version].map((array) => {
    const elements = shapes[array].reduce((a, b) => a * b, 1);
    const count_of = array === "S" || array === "P" ? Tr * Tc : Tr;
    const written = new Set(past.filter((one) => array in one.out).map((one) => count_of === Tr ? one.i : one.i * Tc + (one.j ?? 0))).size;
    const state = "QKV".includes(array) ? "an input" : `${written} of ${many(count_of, "tile")}`;
    return make("tr", {}, make("td", {}, array), make("td", {}, shapes[array].join(" × ")), make("td", {}, count(DATA.bytes * elements)), make("td", {}, state));
  });
  const where = DATA.shared[now.kernel === "one_head" ? chosen.version : now.kernel];
  const tile = (array) => {
    const index = now.on[array], size = array === "Q" || array === "O" ? chosen.Br : chosen.Bc;
    if (array === "O" || array === "S" || array === "P") return now[array];
    return DATA.inputs[chosen.size][array].slice(index * size, (index + 1) * size);
  };
  const names = { shared: [], registers: [] };
  const on = (array, caption, rows) => {
    if (rows && rows.length) names[where.includes(array) ? "shared" : "registers"].push(values(caption, rows));
  };
  for (const array of ["Q", "K", "V"]) if (array in now.on) on(array, `${array}, tile ${now.on[array]}`, tile(array));
  if (now.j !== undefined) {
    const from = (array) => now[array] || earlier(array, now);
    if (now.kernel !== "weighted_sum") on("S", `S, tile (${now.i}, ${now.j})`, from("S"));
    if (now.kernel !== "scores" && (now.P || "P" in now.in)) on("P", `P, tile (${now.i}, ${now.j})`, from("P"));
  }
  if (now.O) on("O", `O, tile ${now.i}`, now.O);
  if (now.m && now.kernel !== "scores") { on("m", `m of tile ${now.i}`, now.m); on("l", `l of tile ${now.i}`, now.l); }
  const none = make("p", { class: "soft" }, "Nothing.");
  const level = (title, note, ...inside) => make("div", { class: "panel" }, make("h3", {}, title), make("p", { class: "soft" }, note),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, inside));
  show("levels",
    level("HBM", "The GPU's large memory: whole matrices.", make("table", { class: "tight" },
      make("thead", {}, make("tr", {}, ["array", "shape", "bytes", "written"].map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, hbm))),
    level("Shared memory", "On chip, of one block of threads.", names.shared.length ? names.shared : none),
    level("Registers", "On chip, spread over the threads.", names.registers.length ? names.registers : none));
}

// A tile of S or P that an earlier kernel has written.
function earlier(array, now) {
  return steps().find((one) => array in one.out && one.i === now.i && one.j === now.j)?.[array];
}

// m, l, rescale

function rows() {
  const now = steps()[step];
  if (!now.m || !now.m_before) {
    show("rows", make("p", { class: "soft" }, now.kernel === "scores" || now.kernel === "weighted_sum"
      ? "This kernel has neither m nor l. Kernel 2 has them." : "No key is seen, so there is neither m nor l."));
    return;
  }
  const moves = moving(now), first = now.i * chosen.Br;
  const head = ["query", "m before", "m", ...(now.rescale ? ["rescale"] : []), ...(now.add ? ["add"] : []), "l before", "l"];
  show("rows",
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "m, l and the rescale factor, by row" }, make("table", { class: "tight", id: "statistics" },
      make("thead", {}, make("tr", {}, head.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, now.m.map((m, row) => make("tr", { class: moves[row] ? "moved" : "" },
        make("td", {}, first + row), make("td", {}, fixed(now.m_before[row])), make("td", {}, fixed(m)),
        now.rescale ? make("td", {}, make(moves[row] ? "strong" : "span", {}, fixed(now.rescale[row]))) : null,
        now.add ? make("td", {}, fixed(now.add[row])) : null,
        make("td", {}, fixed(now.l_before[row])), make("td", {}, fixed(now.l[row]))))))),
    make("p", { class: "soft" }, !now.rescale ? "They are complete, and stay as they are." : "rescale = exp(m before − m). Shaded rows: a later tile raised the maximum, so the sums so far shrink by this factor.",
      now.add ? " add = exp(maximum of this tile − m): FlashAttention-1 measures each tile against its own maximum first." : ""));
}

// The three versions beside one another

function compare() {
  const found = Object.keys(DATA.versions).map((version) => {
    const total = moved(Infinity, version);
    return [version, bytes(total.in), bytes(total.out)];
  });
  const most = Math.max(...found.map(([, read, wrote]) => read + wrote));
  show("compare",
    make("div", { class: "bars" }, found.map(([version, read, wrote]) => make("div", { class: "bar" },
      make("span", {}, version === chosen.version ? make("strong", {}, DATA.versions[version]) : DATA.versions[version]),
      draw("svg", { viewBox: "0 0 400 18", preserveAspectRatio: "none", style: "height: 18px", width: "100%", role: "img",
        "aria-label": `${DATA.versions[version]}: ${count(read)} bytes read, ${count(wrote)} written` },
        draw("rect", { x: 0, y: 0, height: 18, width: 400 * read / most, fill: "var(--middle)" }),
        draw("rect", { x: 400 * read / most, y: 0, height: 18, width: 400 * wrote / most, fill: "var(--dark)" })),
      make("span", { class: "mono" }, `${count(read + wrote)} bytes`)))),
    make("p", { class: "soft" }, `${lengths().join(" × ")}, ${DATA.head_dim} columns a head, Br = ${chosen.Br}, Bc = ${chosen.Bc}, ${chosen.causal ? "causal" : "not causal"}. `,
      "With so few columns a tile is small beside m and l; a real head has 64 to 256 of them. Lessons 8 to 10 count those."));
}

// The code

function code() {
  const now = steps()[step], listed = DATA.code[chosen.version], open = find("listing") ? find("listing").open : false;
  const lines = listed.parts.flatMap((part) => part.lines.map((text, number) => [part.first + number, text])
    .concat([[null, ""]]));
  lines.pop();
  show("code", make("details", { id: "listing", open }, make("summary", {}, `${listed.file}: where this step reads, computes and writes`),
    make("pre", { class: "listing", tabindex: "0" }, lines.map(([number, text]) =>
      make("span", { class: now.lines.includes(number) ? "line here" : "line" },
        make("span", { class: "number" }, number === null ? "" : number), text || " ")))));
}

// Steps

function go(to) {
  step = Math.max(0, Math.min(steps().length - 1, to));
  render();
}
function stop() {
  clearInterval(timer);
  timer = 0;
  find("play").textContent = "Play";
  find("play").setAttribute("aria-pressed", "false");
}
function play() {
  if (timer) return stop();
  if (step === steps().length - 1) step = 0;
  find("play").textContent = "Stop";
  find("play").setAttribute("aria-pressed", "true");
  timer = setInterval(() => step < steps().length - 1 ? go(step + 1) : stop(), 700);
}
function render() {
  const last = steps().length - 1;
  Object.assign(find("slider"), { max: last + 1, value: step + 1 });
  find("slider").setAttribute("aria-valuetext", `step ${step + 1} of ${last + 1}`);
  find("first").disabled = find("back").disabled = step === 0;
  find("next").disabled = find("last").disabled = step === last;
  show("now", make("strong", {}, `Step ${step + 1} of ${last + 1}. `), sentence());
  picture();
  traffic();
  levels();
  rows();
  compare();
  code();
}

choices();
find("first").addEventListener("click", () => go(0));
find("back").addEventListener("click", () => go(step - 1));
find("next").addEventListener("click", () => go(step + 1));
find("last").addEventListener("click", () => go(Infinity));
find("play").addEventListener("click", play);
find("slider").addEventListener("input", () => go(Number(find("slider").value) - 1));
find("choices").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, .scroll, pre") || event.ctrlKey || event.altKey || event.metaKey) return;
  const to = { ArrowLeft: step - 1, ArrowRight: step + 1, Home: 0, End: Infinity }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  go(to);
});
render();
