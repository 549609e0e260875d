// The page requests /api/read after every change and shows only the latest answer. Inputs are inserted as text, never
// as HTML.

const $ = (id) => document.getElementById(id);
const state = { about: null, asking: null, timer: 0, beams: [], brackets: [], result: null };
const PAUSE = 120; // milliseconds after the last keystroke

function element(name, properties = {}, ...children) {
  const { attributes = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

async function ask(path, options = {}) {
  const response = await fetch(path, options);
  const answer = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function texts() {
  return [...document.querySelectorAll("textarea")].map((area) => area.value.trim());
}

function options() {
  const chosen = {};
  for (const control of state.about.controls) {
    chosen[control.name] = control.choices
      ? document.querySelector(`input[name="${control.name}"]:checked`).value
      : Number($(control.name).value);
  }
  return chosen;
}

function changed(pause = PAUSE) {
  clearTimeout(state.timer);
  state.timer = setTimeout(read, pause);
}

async function read() {
  state.asking?.abort();
  const asking = (state.asking = new AbortController());
  $("sides").classList.add("stale");
  const began = performance.now();
  try {
    const result = await ask("/api/read", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ texts: texts(), options: options(), width: Number($("width").value) }),
      signal: asking.signal,
    });
    complain("");
    show(result);
    $("timing").textContent = timing(result, performance.now() - began);
  } catch (error) {
    if (error.name === "AbortError") return;
    complain(error instanceof TypeError ? "The server does not answer: is nestree serve still running?" : error.message);
  }
}

function complain(message) {
  $("message").textContent = message;
  for (const area of document.querySelectorAll("textarea")) area.setAttribute("aria-invalid", String(message !== ""));
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function show(result) {
  state.result = result;
  $("sides").classList.remove("stale");
  $("label").textContent = result.label || "none"; // of several labels, there may be none
  const right = result.right === result.label;
  const known = result.right === null ? null : right ? "right" : `wrong: the answer is ${result.right}`;
  const verdict = result.reason ? "" : (known ?? "");
  const probability = result.probability === null ? null : percent(result.probability);
  $("verdict").textContent = [probability, result.reason ?? known].filter(Boolean).join(", ");
  $("verdict").className = verdict ? (right ? "right" : "wrong") : "";
  $("labels").replaceChildren(
    ...result.labels.map(([label, probability]) =>
      element(
        "li",
        {},
        element("span", { className: "name", textContent: label, title: label }),
        element("meter", { value: probability, attributes: { "aria-hidden": "true" } }), // the number is read out
        element("span", { className: "number", textContent: percent(probability) }),
      ),
    ),
  );
  // Keep the keyboard focus.
  const focused = $("sides").contains(document.activeElement) ? document.activeElement.id : "";
  $("sides").replaceChildren(...result.sides.map(side));
  if (focused) ($(focused) ?? $("sides").querySelector("button"))?.focus();
}

function timing(result, elapsed) {
  const tokens = result.tokens.reduce((sum, count) => sum + count, 0);
  const [reading, drawing] = [result.milliseconds.reading, result.milliseconds.drawing].map(Math.round);
  // Two clocks, both rounded: keep the rest non-negative, and the total the sum of the parts.
  const rest = Math.max(0, Math.round(elapsed) - reading - drawing);
  return (
    `${tokens} tokens; ${reading + drawing + rest} ms from request to display: ${reading} ms reading, ` +
    `${drawing} ms drawing trees, ${rest} ms the rest`
  );
}

function side(trees, number) {
  const several = state.result.sides.length > 1 ? ` of text ${number + 1}` : "";
  const title = `tree-title-${number}`;
  const section = element("section", { attributes: { "aria-labelledby": title } });
  section.append(element("h2", { id: title, textContent: `Trees${several}` }));
  if (!trees.length) {
    const empty = state.result.tokens.length === 0;
    section.append(element("p", { textContent: empty ? "No text, no tree." : "This encoder has no trees." }));
    return section;
  }
  const shown = element("div", { id: `tree-${number}`, className: "tree", tabIndex: 0, attributes: { role: "region", "aria-label": `Tree${several}` } });
  const facts = element("p", { className: "facts", attributes: { role: "status" } });
  const brackets = element("p", { className: "brackets" });
  const buttons = trees.map((tree, place) =>
    element("button", {
      id: `beam-${number}-${place}`,
      type: "button",
      textContent: `Tree ${place + 1}: ${percent(tree.probability)}`,
      onclick: () => choose(place),
    }),
  );
  function choose(place) {
    state.beams[number] = place;
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(other === place)));
    const tree = trees[place];
    const drawing = new DOMParser().parseFromString(tree.svg, "image/svg+xml").documentElement;
    shown.replaceChildren(document.importNode(drawing, true));
    const groups = tree.groups.map((count) => `${count} groups`).join(", then ");
    const score = tree.f1 === null ? "" : `bracket F1 with the gold tree ${percent(tree.f1)}`;
    facts.textContent = [`${tree.height} merges deep`, groups, score].filter(Boolean).join("; ");
    brackets.textContent = tree.brackets;
  }
  choose(Math.min(state.beams[number] ?? 0, trees.length - 1));
  section.append(
    element("div", { className: "beams", attributes: { role: "group", "aria-label": `Beams${several}` } }, ...buttons),
    shown,
    facts,
    element(
      "details",
      { open: state.brackets[number] ?? false, ontoggle: (event) => (state.brackets[number] = event.target.open) },
      element("summary", { id: `brackets-${number}`, textContent: "As brackets" }),
      brackets,
    ),
  );
  return section;
}

function slider(name, label, least, most, value) {
  // Screen readers read the slider's own value.
  const output = element("span", { textContent: value, attributes: { "aria-hidden": "true" } });
  const input = element("input", {
    id: name,
    type: "range",
    attributes: { min: least, max: most, step: 1 },
    oninput: () => {
      output.textContent = input.value;
      changed();
    },
  });
  input.value = value;
  return element("div", {}, element("label", { htmlFor: name, textContent: `${label}: ` }), output, input);
}

function choices(control) {
  return element(
    "fieldset",
    {},
    element("legend", { textContent: control.label }),
    ...control.choices.map((choice) =>
      element(
        "label",
        {},
        element("input", {
          type: "radio",
          name: control.name,
          value: choice,
          checked: choice === control.value,
          onchange: () => changed(0),
        }),
        ` ${choice}`,
      ),
    ),
  );
}

function fill(values) {
  document.querySelectorAll("textarea").forEach((area, number) => (area.value = values[number] ?? ""));
  state.beams = [];
  changed(0);
}

async function draw() {
  try {
    fill([(await ask(`/api/random?tokens=${encodeURIComponent($("length").value)}`)).text]);
  } catch (error) {
    complain(error.message);
  }
}

function area(number) {
  const id = `text-${number}`;
  const name = state.about.sides > 1 ? `Text ${number + 1}` : state.about.random ? "Expression" : "Text";
  return element(
    "p",
    {},
    element("label", { htmlFor: id, textContent: name }),
    element("textarea", {
      id,
      spellcheck: false,
      oninput: () => changed(),
      attributes: { rows: 3, autocapitalize: "off", autocomplete: "off", "aria-describedby": "message" },
    }),
  );
}

async function begin() {
  const about = (state.about = await ask("/api/about"));
  const [measure, value, share] = about.measured ?? [];
  const accuracy = about.measured == null ? "" : `, validation ${measure} ${share ? percent(value) : value.toFixed(3)}`;
  $("about").textContent = `${about.encoder} on ${about.task} (${about.run}${accuracy})`;
  $("texts").replaceChildren(...Array.from({ length: about.sides }, (_, number) => area(number)));
  $("controls").replaceChildren(
    ...about.controls.map((control) =>
      control.choices
        ? choices(control)
        : slider(control.name, control.label, control.least, control.most, control.value),
    ),
    slider("width", "Maximal tokens drawn", about.widths[0], about.widths[1], 100),
  );
  $("examples").append(
    "Try: ",
    ...about.examples.map((values) =>
      element("button", { type: "button", textContent: values.join(" · "), onclick: () => fill(values) }),
    ),
  );
  if (about.random) {
    $("random").hidden = false;
    Object.assign($("length"), { min: about.random[0], max: about.random[1], value: Math.min(300, about.random[1]) });
    $("draw").addEventListener("click", draw);
  }
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (document.activeElement === $("length")) draw();
  });
  fill(about.examples[0]);
}

begin().catch((error) => complain(error.message));
