// A lesson's page. DATA: see workbench/report/page/lesson.py.
const WARP = 32, LINE = 128, SECTOR = 32, BANKS = 32;
const region = (label, ...inside) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, inside);
const rowName = (row) => row.yours ? `${row.name}` : row.name;

// Where an output is wrong

const map = { row: 0, output: 0, matrix: 0, tile: 32, cell: null };
const wrongRows = DATA.rows.filter((row) => row.maps && row.maps.length);

function maps() {
  if (!wrongRows.length) return;
  const row = wrongRows[map.row], found = row.maps[map.output], matrix = found.maps[map.matrix];
  const set = (name, then) => (value) => { map[name] = Number(value); (then || []).forEach((other) => (map[other] = 0)); map.cell = null; maps(); };
  const controls = make("div", { class: "controls screen" },
    wrongRows.length > 1 ? choose("Version", wrongRows.map((one, n) => [String(n), rowName(one)]), String(map.row), set("row", ["output", "matrix"]), { id: "map-row" }) : null,
    row.maps.length > 1 ? choose("Output", row.maps.map((one, n) => [String(n), one.output]), String(map.output), set("output", ["matrix"]), { id: "map-output" }) : null,
    found.maps.length > 1 ? choose("Matrix", found.maps.map((one, n) => [String(n), `[${one.index.join(", ")}]: ${many(one.wrong, "wrong element")}`]), String(map.matrix), set("matrix"), { id: "map-matrix" }) : null,
    choose("A line each", [8, 16, 32, 64, 128].map((size) => [String(size), `${size} elements`]), String(map.tile), set("tile"), { id: "map-tile" }));
  show("maps", make("h2", {}, "Where the output is wrong"),
    make("p", {}, make("strong", {}, rowName(row)), ` in the case ${row.case}: ${count(found.wrong)} of ${count(found.size)} elements of ${found.output}, of shape ${found.shape.join(" × ") || "1"}, are wrong.`,
      found.fold ? ` It is laid out in rows of ${Math.min(found.fold, found.columns)}.` : "",
      found.matrices > found.maps.length ? ` ${found.maps.length} of its ${count(found.matrices)} matrices are here.` : ""),
    controls, mapPicture(found, matrix),
    make("p", { id: "cell", "aria-live": "polite", style: "min-height: 3em" }, cellWords(found, matrix)));
}

function mapPicture(found, matrix) {
  const [high, wide] = found.cell, rows = Math.ceil(found.rows / high), columns = Math.ceil(found.columns / wide);
  const unit = Math.max(3, Math.min(18, Math.floor(720 / Math.max(columns, 8)), Math.floor(480 / Math.max(rows, 1))));
  const left = 44, top = 22, w = columns * unit, h = rows * unit, parts = [];
  const tail = found.fold && found.size % found.fold && found.rows > 1 ? Math.ceil((found.size % found.fold) / wide) : columns;
  parts.push(draw("path", { d: `M${left} ${top} h${w} v${h - (tail < columns ? unit : 0)} ${tail < columns ? `h${-(columns - tail) * unit} v${unit}` : ""} H${left} Z`, fill: "var(--light)" }));
  for (const [row, column, number] of matrix.cells)
    parts.push(draw("rect", { x: left + column * unit, y: top + row * unit, width: unit, height: unit, fill: "var(--bad)",
      "fill-opacity": (.35 + .65 * number / (high * wide)).toFixed(2) }));
  for (let at = 0; at <= found.columns; at += map.tile) {
    const x = left + at / wide * unit;
    if (x > left + w) break;
    parts.push(draw("line", { x1: x, x2: x, y1: top, y2: top + h, stroke: "var(--soft)", "stroke-width": 1 }));
    if (x + 12 <= left + w || !at) parts.push(draw("text", { x, y: top - 6, "text-anchor": "middle" }, at));
  }
  for (let at = 0; at <= found.rows; at += map.tile) {
    const y = top + at / high * unit;
    if (y > top + h) break;
    parts.push(draw("line", { x1: left, x2: left + w, y1: y, y2: y, stroke: "var(--soft)", "stroke-width": 1 }));
    if (y + 8 <= top + h || !at) parts.push(draw("text", { x: left - 5, y: y + 4, "text-anchor": "end" }, count(found.fold ? at * found.fold : at)));
  }
  if (map.cell) parts.push(draw("rect", { x: left + map.cell[1] * unit, y: top + map.cell[0] * unit, width: unit, height: unit, fill: "none", stroke: "var(--ink)", "stroke-width": 2 }));
  const move = (row, column) => {
    map.cell = [Math.max(0, Math.min(rows - 1, row)), Math.max(0, Math.min(columns - 1, column))];
    maps();
  };
  const picture = draw("svg", { id: "map", viewBox: `0 0 ${left + w + 14} ${top + h + 6}`, width: left + w + 14, tabindex: "0", role: "img",
    "aria-label": `Map of ${found.output}: ${many(matrix.cells.length, "cell")} of ${rows * columns} hold wrong elements. Arrow keys move from cell to cell.` }, parts);
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect(), scale = (left + w + 14) / box.width;
    const column = Math.floor(((event.clientX - box.x) * scale - left) / unit), row = Math.floor(((event.clientY - box.y) * scale - top) / unit);
    if (row < 0 || column < 0 || row >= rows || column >= columns || (map.cell && map.cell[0] === row && map.cell[1] === column)) return;
    move(row, column);
  });
  picture.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!by) return;
    event.preventDefault();
    move(map.cell ? map.cell[0] + by[0] : 0, map.cell ? map.cell[1] + by[1] : 0);
    find("map").focus();
  });
  return make("div", {}, picture, legend(["background: var(--light)", "right"], ["background: var(--bad)", "wrong"],
    high * wide > 1 ? ["background: var(--bad); opacity: .5", `a cell is ${high} × ${wide} elements; paler: some of them are wrong`] : ["border: 2px solid var(--ink)", "the element below"]));
}

function cellWords(found, matrix) {
  if (!map.cell) return make("span", { class: "soft" }, "Point at a cell, or move with the arrow keys, to see what is there and what should be.");
  const [row, column] = map.cell, [high, wide] = found.cell;
  const hit = matrix.cells.find((one) => one[0] === row && one[1] === column);
  if (!hit) return `Row ${row * high}, column ${column * wide}: right.`;
  const [, , number, index, right, is] = hit;
  const more = number > 1 ? ` This cell holds ${number} wrong elements; this is the first.` : "";
  const never = is === "nan" && right !== "nan" ? " Outputs are filled with nan before the call: perhaps it was never written." : "";
  return `${found.output}[${index.join(", ")}] should be ${right}, and is ${is}.${more}${never}`;
}

// Which warp touches what, line by line

const look = { picture: 0, site: 0, warp: 0, nth: 0 };
const pictures = DATA.rows.flatMap((row) => (row.pictures || []).map((one) => ({ ...one, row, name: `${rowName(row)}: ${one.kernel}` })))
  .sort((a, b) => b.row.yours - a.row.yours);

function accesses() {
  if (!pictures.length) {
    if (DATA.cuda) show("accesses", make("h2", {}, "Which warp touches what"),
      make("p", { class: "soft" }, "No CUDA kernel ran to its end in the PTX machine, so there is nothing to draw."));
    return;
  }
  const now = pictures[look.picture];
  const head = make("p", {}, `A warp's access is one request. Global memory answers in sectors of ${SECTOR} bytes; shared memory has ${BANKS} banks of 4 bytes, each of which gives one word at a time. Counted in the PTX machine, case ${now.row.pictured}: grid ${now.grid.join(" × ")}, block ${now.block.join(" × ")}.`);
  const controls = make("div", { class: "controls screen" },
    choose("Kernel", pictures.map((one, n) => [String(n), one.name]), String(look.picture), (value) => {
      Object.assign(look, { picture: Number(value), site: 0, warp: 0, nth: 0 });
      accesses();
    }, { id: "kernel" }));
  const listing = now.files.map((file) => source(now, file));
  show("accesses", make("h2", {}, "Which warp touches what"),
    DATA.rows.some((row) => row.yours && row.pictures && row.pictures.length) ? null : make("p", { class: "soft" }, "Your own kernel isn't here yet: these are the shipped ones."),
    head, controls, make("p", { class: "soft" }, "requests, sectors and each (sectors of a request) are of global memory; shared and conflicts (bank conflicts) of shared memory."), listing, make("div", { id: "request", class: "panel" }));
  const shown = document.querySelector("#accesses .line.here");
  if (shown) shown.parentNode.scrollTop = shown.offsetTop - shown.parentNode.offsetTop - 120;
  request();
}

function source(now, file) {
  const sites = now.sites.map((site, n) => [site, n]).filter(([site]) => site.file === file.name);
  const numbers = (line) => {
    const counted = file.counted[line];
    if (!counted) return ["", "", "", "", ""];
    const [requests, sectors, shared, conflicts] = counted;
    return [requests ? count(requests) : "", requests ? count(sectors) : "", requests ? (sectors / requests).toFixed(1) : "", shared ? count(shared) : "", shared ? count(conflicts) : ""];
  };
  const heads = ["requests", "sectors", "each", "shared", "conflicts"];
  const cell = (text, name, bad) => make("span", { class: `count${bad ? " many" : ""}`, "aria-label": text ? `${text} ${name}` : null }, text);
  const lines = file.lines.map((text, n) => {
    const line = file.first + n, here = sites.filter(([site]) => site.line === line), values = numbers(line);
    const inside = [values.map((value, k) => cell(value, heads[k], k === 4 && value && value !== "0")), make("span", { class: "number" }, line), text || " "];
    return here.length
      ? make("button", { type: "button", class: "line" + (here.some(([, k]) => k === look.site) ? " here" : ""), "data-line": line,
          onclick: () => { Object.assign(look, { site: here[0][1], nth: 0 }); mark(); request(); } }, inside)
      : make("span", { class: "line" }, inside);
  });
  return make("div", {}, make("p", { class: "soft file" }, `${file.name}. Choose a line that touches memory.`),
    make("div", { class: "source mono", tabindex: "0", role: "region", "aria-label": `${file.name}, with counts` },
      make("span", { class: "line heads", "aria-hidden": "true" }, heads.map((name) => make("span", { class: "count" }, name)), make("span", { class: "number" }, "line"), " "), lines));
}

function mark() {
  const site = pictures[look.picture].sites[look.site];
  for (const line of document.querySelectorAll("#accesses button.line")) {
    const here = Number(line.dataset.line) === site.line && line.closest(".source").getAttribute("aria-label").startsWith(site.file);
    line.classList.toggle("here", here);
    here ? line.setAttribute("aria-current", "true") : line.removeAttribute("aria-current");
  }
}

function request() {
  const now = pictures[look.picture], site = now.sites[look.site];
  if (!site) return show("request", make("p", { class: "soft" }, "This kernel touches no memory."));
  const able = [...new Set(site.requests.map(([warp]) => warp))].sort((a, b) => a - b);
  if (!able.includes(look.warp)) look.warp = able[0];
  const mine = site.requests.filter(([warp]) => warp === look.warp);
  look.nth = Math.max(0, Math.min(look.nth, mine.length - 1));
  const [, base, which] = mine[look.nth], pattern = site.patterns[which];
  const beside = now.sites.map((one, n) => [one, n]).filter(([one]) => one.file === site.file && one.line === site.line);
  const warpName = (n) => `block (${now.warps[n].block.join(", ")}), warp ${now.warps[n].warp}`;
  const change = (name) => (value) => { look[name] = Number(value); if (name === "site") look.nth = 0; request(); };
  const step = (by) => () => { look.nth += by; request(); find(by < 0 ? "request-back" : "request-next").focus(); };
  const verb = { load: "loads from", store: "stores to", copy: "copies to or from", atomic: "updates", reduction: "updates" }[site.kind] || `${site.kind}s`;
  const lanes = pattern.at.filter((at) => at !== null).length;
  const all = site.rounds[look.warp];
  show("request",
    make("h3", { style: "margin-top: 0" }, `Line ${site.line} ${verb} ${site.array}`, make("span", { class: "soft" }, `, ${site.space} memory, ${many(site.size, "byte")} a lane`)),
    make("div", { class: "controls screen" },
      beside.length > 1 ? choose("Access", beside.map(([one, n]) => [String(n), `${one.kind} of ${one.array}`]), String(look.site), change("site"), { id: "site" }) : null,
      choose("Warp", able.map((n) => [String(n), warpName(n)]), String(look.warp), change("warp"), { id: "warp" }),
      make("button", { type: "button", id: "request-back", onclick: step(-1), disabled: look.nth === 0 }, "◀ Earlier"),
      make("button", { type: "button", id: "request-next", onclick: step(1), disabled: look.nth === mine.length - 1 }, "Later ▶"),
      make("span", { id: "nth", class: "soft" }, `request ${look.nth + 1} of ${all}${all > mine.length ? `, the first ${mine.length} are kept` : ""}`)),
    make("p", { id: "told", "aria-live": "polite" }, `${warpName(look.warp)}: ${many(lanes, "lane")} of ${WARP}. `, site.space === "shared" ? bankWords(site, pattern) : sectorWords(site, pattern)),
    site.space === "shared" ? bankPicture(site, pattern, base) : sectorPicture(site, pattern, base),
    now.left_out ? make("p", { class: "soft" }, `${now.warps.length} of ${count(now.left_out + now.warps.length)} warps are here: the first and the last ones.`) : null);
}

const taking = (pattern) => pattern.at.map((at, lane) => [lane, at]).filter(([, at]) => at !== null);

function sectorsOf(site, pattern) {
  const found = new Set();
  for (const [, at] of taking(pattern))
    for (let sector = Math.floor(at / SECTOR); sector <= Math.floor((at + site.size - 1) / SECTOR); sector++) found.add(sector);
  return found;
}

function sectorWords(site, pattern) {
  const sectors = sectorsOf(site, pattern).size, used = site.size * new Set(taking(pattern).map(([, at]) => at)).size;
  return `It takes ${many(sectors, "sector")}: ${count(used)} of ${count(sectors * SECTOR)} bytes are used.`;
}

// A row is a line of 128 bytes; what nobody touches in between is left out.
function sectorPicture(site, pattern, base) {
  const sectors = sectorsOf(site, pattern), unit = 6.4, left = 92, high = 26, parts = [];
  const lines = [...new Set([...sectors].map((sector) => Math.floor(sector * SECTOR / LINE)))].sort((a, b) => a - b);
  const top = 22;
  let y = top, before = null;
  const rowOf = new Map();
  for (const line of lines) {
    if (before !== null && line !== before + 1) {
      parts.push(draw("text", { x: left + LINE * unit / 2, y: y + 9, "text-anchor": "middle", class: "soft" }, `${count(line - before - 1)} ${line - before === 2 ? "line" : "lines"} of 128 bytes that nobody touches`));
      y += 15;
    }
    rowOf.set(line, y);
    parts.push(draw("text", { x: left - 6, y: y + 17, "text-anchor": "end", class: "soft" }, `byte ${count(base + line * LINE)}`));
    for (let k = 0; k < 4; k++) {
      const travels = sectors.has(line * 4 + k);
      parts.push(draw("rect", { x: left + k * SECTOR * unit, y, width: SECTOR * unit, height: high - 3, fill: travels ? "var(--light)" : "none", stroke: "var(--line)", "stroke-width": 1 }));
    }
    y += high;
    before = line;
  }
  const boxes = new Map();
  for (const [lane, at] of taking(pattern)) boxes.set(at, [...(boxes.get(at) || []), lane]);
  for (const [at, lanes] of boxes) {
    const line = Math.floor(at / LINE), x = left + (at - line * LINE) * unit, width = site.size * unit;
    const label = laneNames(lanes);
    parts.push(draw("rect", { x: x + .5, y: rowOf.get(line) + 1.5, width: width - 1, height: high - 6, fill: "var(--dark)", class: "asked" },
      draw("title", {}, `lane ${label}: byte ${count(base + at)} of ${site.array}`)));
    if (width > 18) parts.push(draw("text", { x: x + width / 2, y: rowOf.get(line) + 16, "text-anchor": "middle", style: `fill: var(--on-dark); font-size: ${label.length * 7 > width ? 8 : 11}px; pointer-events: none` }, lanes.length > 1 && label.length * 5 > width ? `×${lanes.length}` : label));
  }
  for (let k = 0; k <= 4; k++) {
    parts.push(draw("text", { x: left + k * SECTOR * unit, y: top - 8, "text-anchor": "middle", class: "soft" }, k * SECTOR));
    parts.push(draw("line", { x1: left + k * SECTOR * unit, x2: left + k * SECTOR * unit, y1: top - 3, y2: y, stroke: "var(--soft)", "stroke-width": 1.5 }));
  }
  const w = left + LINE * unit + 14;
  return make("div", {}, region("Bytes of memory that this request touches",
    draw("svg", { viewBox: `0 0 ${w} ${y + 4}`, width: w, style: "max-width: none", role: "img", "aria-label": sectorWords(site, pattern), id: "sectors" }, parts)),
    legend(["background: var(--dark)", "what a lane asks for, with the lane's number"], ["background: var(--light)", "a sector that travels"]));
}

const laneNames = (lanes) => lanes.length > 2 && lanes[lanes.length - 1] - lanes[0] === lanes.length - 1
  ? `${lanes[0]}–${lanes[lanes.length - 1]}` : lanes.join(", ");

function bankWords(site, pattern) {
  const conflicts = pattern.wavefronts - pattern.least;
  if (pattern.wavefronts === undefined || site.kind === "copy") return "Copies and atomic operations are counted as requests alone.";
  return conflicts ? `It needs ${many(pattern.wavefronts, "wavefront")}, and ${pattern.least} without conflicts: ${many(conflicts, "bank conflict")}.`
    : `It needs ${many(pattern.wavefronts, "wavefront")}, and has no bank conflict.`;
}

// A column is a bank, a row 128 bytes; a cell with lanes is a word that is asked for.
function bankPicture(site, pattern, base) {
  const words = new Map();
  for (const [lane, at] of taking(pattern))
    for (let byte = Math.floor(at / 4) * 4; byte < at + site.size; byte += 4)
      words.set(byte / 4, [...(words.get(byte / 4) || []), lane]);
  const rows = [...new Set([...words.keys()].map((word) => Math.floor(word / BANKS)))].sort((a, b) => a - b);
  const perBank = Array(BANKS).fill(0);
  for (const word of words.keys()) perBank[word % BANKS]++;
  const most = Math.max(...perBank), bad = pattern.wavefronts > pattern.least;
  const unit = 25, high = 22, left = 92, top = 34, parts = [];
  let y = top, before = null;
  for (let bank = 0; bank < BANKS; bank++) parts.push(draw("text", { x: left + (bank + .5) * unit, y: top - 6, "text-anchor": "middle", class: "soft", style: "font-size: 11px" }, bank));
  parts.push(draw("text", { x: left, y: 12, class: "soft" }, "bank"));
  for (const row of rows) {
    if (before !== null && row !== before + 1) y += 8;
    parts.push(draw("text", { x: left - 6, y: y + 15, "text-anchor": "end", class: "soft" }, `byte ${count(base + row * LINE)}`));
    for (let bank = 0; bank < BANKS; bank++) {
      const lanes = words.get(row * BANKS + bank), full = bad && perBank[bank] === most && most > 1;
      parts.push(draw("rect", { x: left + bank * unit, y, width: unit, height: high, fill: lanes ? full ? "var(--bad)" : "var(--dark)" : "none", stroke: "var(--line)", class: lanes ? "asked" : null },
        lanes ? draw("title", {}, `bank ${bank}: lane ${laneNames(lanes)}`) : ""));
      if (lanes) parts.push(draw("text", { x: left + (bank + .5) * unit, y: y + 15, "text-anchor": "middle", style: "fill: var(--on-dark); font-size: 11px; pointer-events: none" }, lanes.length > 1 ? `×${lanes.length}` : lanes[0]));
    }
    y += high;
    before = row;
  }
  parts.push(draw("text", { x: left - 6, y: y + 18, "text-anchor": "end", class: "soft" }, "words"));
  perBank.forEach((number, bank) => number && parts.push(draw("text", { x: left + (bank + .5) * unit, y: y + 18, "text-anchor": "middle", style: bad && number === most && most > 1 ? "fill: var(--bad); font-weight: 700" : null }, number)));
  const w = left + BANKS * unit + 8;
  return make("div", {}, region("Banks of shared memory that this request touches",
    draw("svg", { viewBox: `0 0 ${w} ${y + 26}`, width: w, style: "max-width: none", role: "img", "aria-label": bankWords(site, pattern), id: "banks" }, parts)),
    legend(["background: var(--dark)", "a word that is asked for, with the lane (×2: by two lanes)"], bad ? ["background: var(--bad)", "a bank with more words than others: they come one after the other"] : ["background: none", "words: different words of each bank"],
      site.size > 4 ? ["background: none", `${site.size} bytes a lane: ${site.size === 8 ? "half" : "a quarter of"} a warp is served at a time`] : ["background: none", "one word of each bank is served at a time"]));
}

// Roofline, or bars

function speed() {
  const head = make("h2", {}, "How fast");
  if (!DATA.speed) return show("speed", head, make("p", { class: "soft" }, "No times of this lesson are kept, and there is no GPU here to take them."));
  const { points, gpu, date } = DATA.speed;
  const note = points.some((point) => point.yours) ? "" : " None of yours yet: what passes on a GPU is timed, and joins them.";
  show("speed", head, make("p", {}, `${gpu}, ${date}.${note}`), points.some((point) => point.tflop_per_s) ? roofline(points) : bandwidth(points));
}

function bandwidth(points) {
  const copy = Math.max(...points.map((point) => point.copy_gb_per_s)), most = Math.max(copy, ...points.map((point) => point.gb_per_s));
  return make("div", { class: "bars" }, points.map((point) => make("div", { class: "bar" },
    make(point.yours ? "strong" : "span", {}, `${point.yours ? "yours: " : ""}${point.name}`),
    draw("svg", { viewBox: "0 0 400 18", preserveAspectRatio: "none", style: "height: 18px", width: "100%", role: "img", "aria-label": `${point.name}: ${point.gb_per_s.toFixed(0)} GB/s` },
      draw("rect", { x: 0, y: 0, height: 18, width: 400 * point.gb_per_s / most, fill: point.yours ? "var(--dark)" : "var(--middle)" }),
      draw("line", { x1: 400 * copy / most - 1, x2: 400 * copy / most - 1, y1: 0, y2: 18, stroke: "var(--ink)", "stroke-width": 2, "stroke-dasharray": "4 2" })),
    make("span", { class: "mono" }, `${count(Math.round(point.gb_per_s))} GB/s`))),
    make("p", { class: "soft" }, `Bytes that must move over the time taken. Dashed: what a copy reaches, ${count(Math.round(copy))} GB/s.`));
}

function roofline(every) {
  const points = every.filter((point) => point.tflop_per_s).map((point) => ({ ...point, x: 1000 * point.tflop_per_s / point.gb_per_s, y: point.tflop_per_s }));
  const copy = Math.max(...points.map((point) => point.copy_gb_per_s)), product = Math.max(...points.map((point) => point.product_tflop_per_s));
  const ridge = 1000 * product / copy, xs = points.map((point) => point.x), ys = points.map((point) => point.y);
  const x0 = Math.log10(Math.min(ridge / 4, ...xs) / 2), x1 = Math.log10(Math.max(ridge * 4, ...xs) * 2);
  const y0 = Math.log10(Math.min(...ys) / 2), y1 = Math.log10(product * 2);
  const words = (point) => `${point.yours ? "yours: " : ""}${point.name}  ${point.y.toPrecision(3)}`;
  const h = 400, left = 62, right = Math.max(210, 30 + 7.4 * Math.max(...points.map((point) => words(point).length))), top = 14, bottom = 46;
  const w = 550 + right;
  const X = (value) => left + (Math.log10(value) - x0) / (x1 - x0) * (w - left - right);
  const Y = (value) => h - bottom - (Math.log10(value) - y0) / (y1 - y0) * (h - top - bottom);
  const parts = [];
  const ticks = (from, to) => { const found = []; for (let k = Math.ceil(from); k <= to; k++) found.push(10 ** k); return found; };
  for (const tick of ticks(x0, x1)) parts.push(draw("line", { x1: X(tick), x2: X(tick), y1: top, y2: h - bottom, stroke: "var(--line)" }), draw("text", { x: X(tick), y: h - bottom + 18, "text-anchor": "middle" }, count(tick)));
  for (const tick of ticks(y0, y1)) parts.push(draw("line", { x1: left, x2: w - right, y1: Y(tick), y2: Y(tick), stroke: "var(--line)" }), draw("text", { x: left - 8, y: Y(tick) + 4, "text-anchor": "end" }, count(tick)));
  const start = Math.max(10 ** x0, 10 ** y0 * 1000 / copy);
  parts.push(draw("path", { d: `M${X(start)} ${Y(start * copy / 1000)} L${X(ridge)} ${Y(product)} H${w - right}`, fill: "none", stroke: "var(--ink)", "stroke-width": 2 }),
    draw("text", { x: X(ridge) - 8, y: Y(product) - 6, "text-anchor": "end" }, `a copy: ${count(Math.round(copy))} GB/s`),
    draw("text", { x: w - right + 6, y: Y(product) + 4 }, `${count(Math.round(product))} TFLOP/s: a matrix product`),
    draw("text", { x: (left + w - right) / 2, y: h - 8, "text-anchor": "middle" }, "operations for each byte that must move"),
    draw("text", { x: 14, y: (top + h - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(top + h - bottom) / 2})` }, "TFLOP/s"));
  let below = Y(product) + 4;
  for (const point of [...points].sort((a, b) => b.y - a.y)) {
    const y = Math.max(Y(point.y), below + 15);
    below = y;
    parts.push(draw("line", { x1: X(point.x), y1: Y(point.y), x2: w - right + 2, y2: y, stroke: "var(--line)" }),
      draw("circle", { cx: X(point.x), cy: Y(point.y), r: point.yours ? 7 : 4.5, fill: point.yours ? "var(--good)" : "var(--dark)", stroke: "var(--paper)" }, draw("title", {}, words(point))),
      draw("text", { x: w - right + 6, y: y + 4, style: point.yours ? "font-weight: 700" : null }, words(point)));
  }
  const list = points.map((point) => `${point.name}: ${point.y.toPrecision(3)} TFLOP/s at ${point.x.toPrecision(3)} operations a byte`).join("; ");
  return region("Roofline", draw("svg", { viewBox: `0 0 ${w} ${h}`, width: w, style: "max-width: none", role: "img", "aria-label": `Roofline. ${list}` }, parts));
}

// The history of the learner's times

function times() {
  const series = Object.entries(DATA.history).flatMap(([name, every]) =>
    [...new Set(every.map((one) => one.gpu))].map((gpu) => [`${name}, ${gpu}`, every.filter((one) => one.gpu === gpu)]));
  const head = make("h2", {}, "Your times");
  if (!series.length) return show("history", head, make("p", { class: "soft" }, "None yet. Each check on a GPU notes the time of what passes."));
  show("history", head, series.map(([name, every]) => {
    const best = Math.min(...every.map((one) => one.ms)), worst = Math.max(...every.map((one) => one.ms));
    const w = 640, h = 150, left = 12, X = (n) => every.length > 1 ? left + n / (every.length - 1) * (w - 2 * left) : w / 2;
    const Y = (ms) => 28 + (worst > best ? (ms - best) / (worst - best) : .5) * (h - 52);
    const label = (one) => `${one.ms.toPrecision(4)} ms, ${one.reached || ""}, ${one.date}`;
    return make("div", {}, make("h3", {}, name), make("p", {}, `Best: ${best.toPrecision(4)} ms, of ${many(every.length, "check")}.`),
      draw("svg", { viewBox: `0 0 ${w} ${h}`, width: w, role: "img", "aria-label": `${name}: ${every.map(label).join("; ")}` },
        draw("line", { x1: 0, x2: w, y1: h - 14, y2: h - 14, stroke: "var(--line)" }),
        draw("polyline", { points: every.map((one, n) => `${X(n)},${Y(one.ms)}`).join(" "), fill: "none", stroke: "var(--middle)", "stroke-width": 2 }),
        every.map((one, n) => draw("circle", { cx: X(n), cy: Y(one.ms), r: 5, fill: one.ms === best ? "var(--good)" : "var(--dark)" }, draw("title", {}, label(one)))),
        draw("text", { x: 0, y: 12 }, "faster is higher")),
      make("details", {}, make("summary", {}, "As a table"), region(`Times of ${name}`, make("table", { class: "tight" },
        make("thead", {}, make("tr", {}, ["date", "ms", "reached"].map((text) => make("th", { scope: "col" }, text)))),
        make("tbody", {}, every.map((one) => make("tr", {}, make("td", {}, one.date), make("td", {}, one.ms.toPrecision(4)), make("td", {}, one.reached || ""))))))));
  }));
}

maps();
accesses();
speed();
times();
