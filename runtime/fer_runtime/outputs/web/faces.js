// Faces now, and the last three minutes of them: what the device's page and the one that runs in a browser share.
// A result is one of fer-run's JSON lines: {time, faces: [{track, label, probabilities: {label: share}}]}.
const SPAN = 180, SAMPLE = 0.5, LANES = 6; // seconds of the time line, between two of its points; faces it shows
const COLOURS = ["#e5605f", "#9a7bd8", "#8f9bb0", "#f2bd45", "#4fb286", "#4f9bea", "#ef8f4f", "#d66fae", "#57b9c9", "#b0a25a"];
export const at = (id) => document.getElementById(id);
export const make = (name, text) => Object.assign(document.createElement(name), text === undefined ? {} : { textContent: text });
let labels = [], line = [], lastSample = 0;
const cards = new Map(), lanes = new Map();
const colour = (index) => COLOURS[index % COLOURS.length];
export const percent = (share) => `${Math.round(100 * share)} %`;

/** Begin anew. names: the labels in the model's order; history: points of the time line so far. */
export function begin(names, history = []) {
  labels = names;
  line = history.map((point) => ({ ...point, time: Date.parse(point.time) / 1000 }));
  lastSample = line.length ? line.at(-1).time : 0;
  at("faces").replaceChildren();
  at("lanes").replaceChildren();
  cards.clear();
  lanes.clear();
  at("legend").replaceChildren(...labels.map((label, index) => {
    const item = make("li"), spot = make("i");
    spot.style.background = colour(index);
    item.append(spot, label);
    return item;
  }));
  drawLine();
}

function card(track) {
  const box = make("article"), title = make("h3"), name = make("span"), note = make("small", `face ${track}`);
  box.className = "face";
  title.append(name, note);
  box.append(title);
  const rows = labels.map((label, index) => {
    const row = make("div"), bar = make("i"), fill = make("b"), number = make("output");
    row.className = "row";
    number.setAttribute("aria-live", "off"); // an output is read aloud at every change otherwise
    fill.style.background = colour(index);
    bar.append(fill);
    row.append(make("span", label), bar, number);
    box.append(row);
    return { row, fill, number };
  });
  at("faces").append(box);
  return { box, name, rows };
}

/** Show the faces of one result, and no others. */
export function showFaces(result) {
  const present = new Set(result.faces.map((face) => face.track));
  for (const [track, shown] of cards) if (!present.has(track)) { shown.box.remove(); cards.delete(track); }
  for (const face of result.faces) {
    if (!cards.has(face.track)) cards.set(face.track, card(face.track));
    const { name, rows } = cards.get(face.track);
    const shares = labels.map((label) => face.probabilities[label] ?? 0), top = Math.max(...shares);
    name.textContent = face.label;
    rows.forEach(({ row, fill, number }, index) => {
      fill.style.width = `${100 * shares[index]}%`;
      number.textContent = percent(shares[index]);
      row.classList.toggle("top", shares[index] === top);
    });
  }
  at("nobody").hidden = result.faces.length > 0;
}

/** Add a result to the time line, if it is time for its next point. */
export function remember(result) {
  const time = Date.parse(result.time) / 1000;
  if (time - lastSample < SAMPLE) return;
  lastSample = time;
  line.push({ time, faces: Object.fromEntries(result.faces.map((f) => [f.track, labels.map((l) => f.probabilities[l] ?? 0)])) });
  while (line.length && line[0].time < time - SPAN) line.shift();
  drawLine();
}

function lane(track) {
  const box = make("div"), canvas = make("canvas");
  box.className = "lane";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Probabilities of face ${track} over time`);
  box.append(make("span", `face ${track}`), canvas);
  at("lanes").append(box);
  return { box, canvas };
}

/** Draw the time line, as after its size has changed. */
export function drawLine() {
  const seen = [...new Set(line.flatMap((point) => Object.keys(point.faces)))].sort((a, b) => b - a).slice(0, LANES).reverse();
  for (const [track, shown] of lanes) if (!seen.includes(track)) { shown.box.remove(); lanes.delete(track); }
  for (const track of seen) {
    if (!lanes.has(track)) lanes.set(track, lane(track));
    drawLane(lanes.get(track).canvas, track);
  }
  at("nothing").hidden = seen.length > 0;
}

// One column a point: the probabilities stacked on each other, in the order of the legend.
function drawLane(canvas, track) {
  const width = canvas.clientWidth * devicePixelRatio, height = canvas.clientHeight * devicePixelRatio;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d"), end = line.at(-1).time;
  const across = (time) => Math.round(width * (1 - (end - time) / SPAN));
  pen.clearRect(0, 0, width, height);
  line.forEach((point, index) => {
    const shares = point.faces[track];
    if (!shares) return;
    const next = line[index + 1]?.time ?? point.time + SAMPLE;
    const left = across(point.time), right = across(Math.min(next, point.time + 4 * SAMPLE));
    let base = height;
    shares.forEach((share, label) => {
      pen.fillStyle = colour(label);
      pen.fillRect(left, base - share * height, Math.max(1, right - left), share * height + 0.5);
      base -= share * height;
    });
  });
}
