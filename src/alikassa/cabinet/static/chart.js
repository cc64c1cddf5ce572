// An account's four numbers over time. The exact amounts come as text, and are shown as text; only the places of the
// lines on the drawing are floating-point numbers.
"use strict";

(() => {
  const box = document.getElementById("chart");
  if (!box || typeof uPlot === "undefined") return;

  const BUCKETS = ["balance", "hold", "rolling_reserve", "pending_payouts"];
  const colour = (bucket) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${bucket.replace("_", "-")}`).trim();
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const compact = new Intl.NumberFormat(document.documentElement.lang, { notation: "compact", maximumSignificantDigits: 3 });
  const shown = Object.fromEntries(BUCKETS.map((bucket) => [bucket, true]));
  let plot = null;
  let given = null;

  const fail = () => { box.textContent = box.dataset.failed; };

  const columns = (points) => {
    const now = points.findIndex((point) => point.now);
    const column = (bucket, from, to) =>
      points.map((point, n) => (n >= from && n <= to ? Number(point.amounts[bucket]) : null));
    return [
      points.map((point) => point.x),
      ...BUCKETS.map((bucket) => column(bucket, 0, now)),
      ...BUCKETS.map((bucket) => column(bucket, now, points.length - 1)),
    ];
  };

  const legend = () => {
    const list = document.createElement("div");
    list.className = "chart-legend";
    const when = document.createElement("p");
    when.className = "when";
    when.setAttribute("aria-live", "polite");
    list.append(when);
    const values = {};
    for (const bucket of BUCKETS) {
      const label = document.createElement("label");
      const check = document.createElement("input");
      check.type = "checkbox";
      check.checked = shown[bucket];
      check.addEventListener("change", () => {
        shown[bucket] = check.checked;
        const n = BUCKETS.indexOf(bucket) + 1;
        plot.setSeries(n, { show: check.checked });
        plot.setSeries(n + BUCKETS.length, { show: check.checked });
      });
      const key = document.createElement("span");
      key.className = `key ${bucket}`;
      const value = document.createElement("span");
      value.className = "amount";
      values[bucket] = value;
      label.append(check, key, `${given.names[bucket]} `, value);
      list.append(label);
    }
    return { list, when, values };
  };

  const draw = () => {
    const { list, when, values } = legend();
    const tell = (index) => {
      const point = given.points[index ?? given.points.findIndex((one) => one.now)];
      when.textContent = point.label;
      for (const bucket of BUCKETS) values[bucket].textContent = point.texts[bucket];
    };
    const line = (bucket, dash) => ({
      label: given.names[bucket], stroke: colour(bucket), width: 2, dash, spanGaps: false, show: shown[bucket],
      points: { show: given.points.length < 12 },
      paths: uPlot.paths.stepped({ align: 1 }),
    });
    const options = {
      width: box.clientWidth,
      height: 320,
      legend: { show: false },
      cursor: { drag: { x: true, y: false } },
      scales: { x: { time: false } },
      series: [{}, ...BUCKETS.map((bucket) => line(bucket)), ...BUCKETS.map((bucket) => line(bucket, [6, 5]))],
      axes: [
        {
          stroke: ink("--soft"), grid: { stroke: ink("--line") }, ticks: { stroke: ink("--line") }, space: 70,
          incrs: [1, 2, 5, 10, 30, 60, 90], values: (_, splits) => splits.map((x) => given.ticks[x] ?? ""),
        },
        {
          stroke: ink("--soft"), grid: { stroke: ink("--line") }, ticks: { stroke: ink("--line") }, size: 70,
          values: (_, splits) => splits.map((y) => compact.format(y)),
        },
      ],
      hooks: { setCursor: [(one) => tell(one.cursor.idx)] },
    };
    if (plot) plot.destroy();
    box.replaceChildren(list);
    plot = new uPlot(options, columns(given.points), box);
    tell(null);
  };

  fetch(box.dataset.source, { headers: { accept: "application/json" } })
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(String(answer.status)))))
    .then((read) => {
      given = read;
      if (given.points.length) draw();
    })
    .catch(fail);

  let resizing = 0;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => { if (plot) plot.setSize({ width: box.clientWidth, height: 320 }); }, 100);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (given) draw(); });
})();
