"use strict";
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const host = document.getElementById("plots");
  const COLOURS = ["#2f6fd6", "#d9662b", "#2a9d62", "#a04cc4", "#c23b54", "#8a7a1f", "#1d9aa8", "#6b6f76", "#d04a9b", "#4a8f2a"];
  const shown = row => row.origin ? `${row.name} [${row.origin}]` : row.name;
  const rows = report.models.map((row, at) => ({ row, name: shown(row), colour: COLOURS[at % COLOURS.length], on: true }));
  const settings = [...new Set(report.models.flatMap(r => r.runs.map(run => `${run.threads}/${run.batch}`)))];
  const svgNode = (tag, attributes, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const element = (tag, properties, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const number = value => value >= 100 ? value.toFixed(0) : value >= 1 ? +value.toFixed(2) : +value.toPrecision(3);

  const tip = element("div", { id: "tip", hidden: true });
  document.body.append(tip);
  const showTip = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(6, Math.min(x + 14, innerWidth - box.width - 6))}px`;
    tip.style.top = `${y + 16 + box.height > innerHeight ? Math.max(6, y - box.height - 12) : y + 16}px`;
  };
  const describe = (node, text) => {
    node.setAttribute("tabindex", 0);
    node.setAttribute("aria-label", text.replaceAll("\n", ", "));
    node.addEventListener("pointermove", event => showTip(text, event.clientX, event.clientY));
    node.addEventListener("pointerleave", () => { tip.hidden = true; });
    node.addEventListener("focus", () => {
      const box = node.getBoundingClientRect();
      showTip(text, box.right, box.top);
    });
    node.addEventListener("blur", () => { tip.hidden = true; });
  };

  // A plot: choices above, a drawing of its own width in pixels, a legend whose buttons switch files off.
  const plot = (title, choices, draw) => {
    const chosen = {};
    const bar = element("div", { className: "choices" });
    for (const [key, label, options] of choices) {
      chosen[key] = options[0][0];
      if (options.length < 2) continue;
      const select = element("select", {}, ...options.map(([value, text]) => element("option", { value, textContent: text })));
      select.addEventListener("change", () => { chosen[key] = select.value; redraw(); });
      bar.append(element("label", {}, `${label} `, select));
    }
    const picture = element("div", {});
    const legend = element("div", { className: "legend" });
    const switches = rows.filter(entry => !entry.row.error).map(entry => {
      const button = element("button", { type: "button" }, element("i", {}), entry.name);
      button.firstChild.style.background = entry.colour;
      button.addEventListener("click", () => { entry.on = !entry.on; redrawAll(); });
      return [entry, button];
    });
    legend.append(...switches.map(([, button]) => button));
    host.append(element("section", { className: "plot" }, element("h2", { textContent: title }), bar, picture, legend));
    const redraw = () => {
      for (const [entry, button] of switches) button.setAttribute("aria-pressed", entry.on);
      const width = Math.max(280, picture.clientWidth);
      picture.replaceChildren(draw(chosen, width, Math.round(Math.min(430, Math.max(260, width * 0.5))), title));
    };
    drawings.push(redraw);
    redraw();
  };
  const drawings = [];
  const redrawAll = () => drawings.forEach(redraw => redraw());

  const ticksOf = (low, high, log) => {
    if (log) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
        for (const digit of [1, 2, 5]) found.push(digit * 10 ** power);
      return found.filter(value => value >= low * 0.999 && value <= high * 1.001);
    }
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(digit => digit * power).find(value => value >= rough);
    const found = [];
    for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) found.push(+value.toPrecision(10));
    return found;
  };

  // Axes with their grid; gives the drawing and what turns a value into a place.
  const axes = (width, height, title, x, y) => {
    const left = 46, right = width - 12, top = 28, bottom = height - 40;
    const scale = (axis, from, to) => value => {
      const at = v => axis.log ? Math.log10(v) : v;
      return from + (at(value) - at(axis.low)) / (at(axis.high) - at(axis.low) || 1) * (to - from);
    };
    const place = { x: scale(x, left, right), y: scale(y, bottom, top) };
    const drawing = svgNode("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title });
    for (const value of ticksOf(x.low, x.high, x.log)) {
      drawing.append(svgNode("line", { class: "grid", x1: place.x(value), x2: place.x(value), y1: top, y2: bottom }));
      drawing.append(svgNode("text", { x: place.x(value), y: bottom + 16, "text-anchor": "middle" }, `${number(value)}`));
    }
    for (const value of ticksOf(y.low, y.high, y.log)) {
      drawing.append(svgNode("line", { class: "grid", x1: left, x2: right, y1: place.y(value), y2: place.y(value) }));
      drawing.append(svgNode("text", { x: left - 6, y: place.y(value) + 4, "text-anchor": "end" }, `${number(value)}`));
    }
    drawing.append(svgNode("text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, x.label));
    drawing.append(svgNode("text", { x: 4, y: 16 }, y.label));
    return { drawing, place };
  };
  const around = (values, log, share) => {
    let low = Math.min(...values), high = Math.max(...values);
    if (!values.length || !isFinite(low)) return { low: 1, high: 2, log };
    if (log) {
      const room = Math.max((high / low) ** share, 1.1);
      return { low: low / room, high: high * room, log };
    }
    const room = (high - low) * share || 1;
    return { low: low - room, high: high + room, log };
  };
  const nothing = text => element("p", { textContent: text });

  const runOf = (row, setting) => row.runs.find(run => `${run.threads}/${run.batch}` === setting);
  const interval = (figures, name) => figures && figures[name] !== null ? [figures[name], ...figures.intervals[name]] : null;
  const point = value => value === null || value === undefined ? null : [value, value, value];
  const ACROSS = {
    p50: ["ms per call, p50, back to back", (row, run) => interval(run.back_to_back, "p50")],
    p95: ["ms per call, p95, back to back", (row, run) => interval(run.back_to_back, "p95")],
    p99: ["ms per call, p99, back to back", (row, run) => interval(run.back_to_back, "p99")],
    paced: ["ms per call, p50, at the camera's pace", (row, run) => interval(run.paced, "p50")],
    macs: ["MMAC per face", row => row.macs ? point(row.macs / 1e6) : null],
    bytes: ["MB of file", row => point(row.file_bytes / 1e6)],
    memory: ["MiB of memory", (row, run) => run.peak_memory_bytes ? point(run.peak_memory_bytes / 2 ** 20) : null],
  };
  const UP = {
    accuracy: ["accuracy, %", row => [row.scores.accuracy, row.scores.accuracy - row.scores.interval,
      row.scores.accuracy + row.scores.interval].map(v => 100 * v)],
    macro: ["macro-F1", row => [row.scores.macro_f1, ...row.scores.bootstrap.macro_f1]],
    worst: ["recall of the worst class, %", row => point(100 * row.scores.recall[row.scores.worst_class])],
    robust: ["mean accuracy under corruption, %", row => row.robustness ? point(100 * row.robustness.mean_accuracy) : null],
  };
  const settingChoice = ["setting", "threads / batch", settings.map(setting => [setting, setting.replace("/", " / ")])];
  const has = (table, key) => report.models.some(row => row.runs.some(run => row.scores && table[key][1](row, run)));

  if (report.models.some(row => row.scores && row.runs.length)) {
    plot("Accuracy over latency", [
      ["x", "across", Object.keys(ACROSS).filter(key => has(ACROSS, key)).map(key => [key, ACROSS[key][0]])],
      ["y", "up", Object.keys(UP).filter(key => has(UP, key)).map(key => [key, UP[key][0]])],
      settingChoice,
    ], (chosen, width, height, title) => {
      const [xLabel, xOf] = ACROSS[chosen.x], [yLabel, yOf] = UP[chosen.y];
      const marks = [];
      for (const entry of rows) {
        const run = runOf(entry.row, chosen.setting);
        if (!entry.on || !run || !entry.row.scores) continue;
        const x = xOf(entry.row, run), y = yOf(entry.row);
        if (x && y) marks.push({ entry, run, x, y });
      }
      if (!marks.length) return nothing("Nothing is switched on that has these figures.");
      const { drawing, place } = axes(width, height, title,
        { ...around(marks.flatMap(m => m.x), true, 0.12), label: xLabel }, { ...around(marks.flatMap(m => m.y), false, 0.12), label: yLabel });
      for (const origin of new Set(marks.map(mark => mark.entry.row.origin))) {
        const own = marks.filter(mark => mark.entry.row.origin === origin).sort((a, b) => a.x[0] - b.x[0] || b.y[0] - a.y[0]);
        let best = -Infinity, path = "";
        for (const mark of own) {
          if (mark.y[0] <= best) continue;
          best = mark.y[0];
          path += path ? `H${place.x(mark.x[0])}V${place.y(mark.y[0])}` : `M${place.x(mark.x[0])} ${place.y(mark.y[0])}`;
        }
        drawing.append(svgNode("path", { d: path, fill: "none", stroke: "var(--soft)", "stroke-dasharray": "5 4", opacity: 0.8 }));
      }
      for (const { entry, run, x, y } of marks) {
        const at = { x: place.x(x[0]), y: place.y(y[0]) };
        const line = { stroke: entry.colour, "stroke-width": 1.5, opacity: 0.7 };
        const group = svgNode("g", { class: "mark" },
          svgNode("line", { ...line, x1: place.x(x[1]), x2: place.x(x[2]), y1: at.y, y2: at.y }),
          svgNode("line", { ...line, x1: at.x, x2: at.x, y1: place.y(y[1]), y2: place.y(y[2]) }),
          svgNode("circle", { cx: at.x, cy: at.y, r: 16, fill: "transparent" }),
          svgNode("circle", { class: "dot", cx: at.x, cy: at.y, r: 6, fill: entry.colour }));
        if (width > 520) {
          const over = at.x > width * 0.72;
          group.append(svgNode("text", { class: "name", x: at.x + (over ? -10 : 10), y: at.y - 8,
            "text-anchor": over ? "end" : "start" }, entry.name));
        }
        const row = entry.row;
        describe(group, [entry.name, `${row.engine}${row.precision ? `, ${row.precision}` : ""}`,
          `p50 ${run.back_to_back.p50.toFixed(3)} ms (${run.back_to_back.intervals.p50.map(v => v.toFixed(3)).join(" to ")})`,
          ...(run.back_to_back.p99 ? [`p95 ${run.back_to_back.p95.toFixed(3)}, p99 ${run.back_to_back.p99.toFixed(3)} ms`] : []),
          ...(run.paced ? [`at the camera's pace: p50 ${run.paced.p50.toFixed(3)} ms`] : []),
          `accuracy ${(100 * row.scores.accuracy).toFixed(2)} % ± ${(100 * row.scores.interval).toFixed(2)}`,
          `macro-F1 ${row.scores.macro_f1.toFixed(3)}, worst ${row.scores.worst_class} ${(100 * row.scores.recall[row.scores.worst_class]).toFixed(0)} %`,
          ...(row.robustness ? [`under corruption ${(100 * row.robustness.mean_accuracy).toFixed(1)} %`] : []),
        ].join("\n"));
        drawing.append(group);
      }
      return drawing;
    });
  }

  // Lines over a common axis: entries of [entry, points of [x, y, text]].
  const lines = (drawing, place, found) => {
    for (const [entry, points] of found) {
      const path = points.map(([x, y], at) => `${at ? "L" : "M"}${place.x(x).toFixed(1)} ${place.y(y).toFixed(1)}`).join("");
      drawing.append(svgNode("path", { d: path, fill: "none", stroke: entry.colour, "stroke-width": 2 }));
      for (const [x, y, text] of points) {
        if (!text) continue;
        const group = svgNode("g", { class: "mark" },
          svgNode("circle", { cx: place.x(x), cy: place.y(y), r: 11, fill: "transparent" }),
          svgNode("circle", { class: "dot", cx: place.x(x), cy: place.y(y), r: 3.5, fill: entry.colour }));
        describe(group, text);
        drawing.append(group);
      }
    }
    return drawing;
  };

  plot("How latency spreads", [
    ["mode", "calls", [["back_to_back", "back to back"], ...(report.models.some(r => r.runs.some(run => run.paced)) ? [["paced", "at the camera's pace"]] : [])]],
    settingChoice,
  ], (chosen, width, height, title) => {
    const found = rows.filter(entry => entry.on && runOf(entry.row, chosen.setting)?.[chosen.mode]).map(entry => {
      const figures = runOf(entry.row, chosen.setting)[chosen.mode];
      const known = new Set([50, 90, 95, 99].filter(p => figures[`p${p}`] !== null));
      return [entry, figures.percentiles.slice(0, 100).map((ms, p) =>
        [ms, p, known.has(p) ? `${entry.name}\np${p}: ${ms.toFixed(3)} ms\n${figures.calls.toLocaleString("en")} calls` : ""])];
    });
    if (!found.length) return nothing("Nothing is switched on that has these figures.");
    const { drawing, place } = axes(width, height, title,
      { ...around(found.flatMap(([, points]) => points.map(p => p[0])), true, 0.05), label: "ms per call" },
      { low: 0, high: 100, label: "% of calls are at most so slow" });
    return lines(drawing, place, found);
  });

  if (report.models.some(row => row.robustness)) {
    const kinds = Object.keys(report.models.find(row => row.robustness).robustness.accuracy);
    plot("Accuracy under corruption", [
      ["kind", "corruption", [["mean of all", "mean of all"], ...kinds.map(kind => [kind, kind])]],
    ], (chosen, width, height, title) => {
      const found = rows.filter(entry => entry.on && entry.row.robustness).map(entry => {
        const each = entry.row.robustness.accuracy;
        const values = [0, 1, 2, 3, 4].map(at => chosen.kind in each ? each[chosen.kind][at]
          : kinds.reduce((sum, kind) => sum + each[kind][at], 0) / kinds.length);
        return [entry, [entry.row.robustness.clean_accuracy, ...values].map((value, severity) => [severity, 100 * value,
          `${entry.name}\n${severity ? `${chosen.kind}, severity ${severity}` : "clean"}\n${(100 * value).toFixed(1)} %`])];
      });
      if (!found.length) return nothing("Nothing is switched on that has these figures.");
      const { drawing, place } = axes(width, height, title, { low: 0, high: 5.2, label: "severity" },
        { ...around(found.flatMap(([, points]) => points.map(p => p[1])), false, 0.08), label: "accuracy, %" });
      return lines(drawing, place, found);
    });
  }

  let wide = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== wide) { wide = innerWidth; redrawAll(); } });
})();
