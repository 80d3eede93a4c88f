"use strict";
// Shows one step at a time: its details, its row of the ladder, where both ends stand in the diagram.
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const steps = [...document.querySelectorAll("article.step")];
  const rungs = [...document.querySelectorAll("a.rung")];
  const nodes = [...document.querySelectorAll(".state-node")];
  const ways = [...document.querySelectorAll(".way")];
  const dots = ["left", "right"].map((side, end) => ({ side, mark: byId(`dot-${end}`) }));
  const [box, status, absolute] = [byId("ladder"), byId("said"), byId("absolute")];
  const buttons = { first: byId("first"), previous: byId("previous"), next: byId("next"), last: byId("last") };
  let current = -1;

  // The text of a title as it is shown: its numbers count from the SYNs, or are those on the wire.
  function titleOf(step) {
    const copy = step.querySelector(".what").cloneNode(true);
    copy.querySelectorAll(absolute.checked ? ".r" : ".a").forEach((other) => other.remove());
    return copy.textContent.trim();
  }

  function moveDots(step) {
    for (const node of nodes) {
      node.classList.toggle("occupied", dots.some(({ side }) => step.dataset[side] === node.dataset.state));
    }
    for (const { side, mark } of dots) {
      const node = nodes.find((each) => each.dataset.state === step.dataset[side]);
      if (node) {
        const [x, y] = node.dataset[side].split(" ");
        mark.style.transform = `translate(${x}px, ${y}px)`;
        mark.getBoundingClientRect(); // a dot that was nowhere does not move here from somewhere
      }
      mark.classList.toggle("placed", node !== undefined);
    }
    const used = step.dataset.ways.split(" ");
    for (const way of ways) way.classList.toggle("used", used.includes(way.dataset.way));
    byId("diagram").setAttribute("aria-label", `State diagram of RFC 9293: ${step.dataset.states}`);
  }

  function markRung(number) {
    rungs.forEach((rung, at) => {
      const isCurrent = at === current;
      rung.classList.toggle("current", isCurrent);
      rung.classList.toggle("comes", rung.dataset.arrival === number);
      rung.setAttribute("tabindex", isCurrent ? "0" : "-1");
      if (isCurrent) rung.setAttribute("aria-current", "step");
      else rung.removeAttribute("aria-current");
    });
    const strip = rungs[current].querySelector(".strip");
    const [top, height] = [strip.y.baseVal.value, strip.height.baseVal.value];
    byId("here").setAttribute("y", top);
    byId("here").setAttribute("height", height);
    byId("pointer").setAttribute("d", `M0 ${top}v${height}h5v${-height}z`);
    keepInView();
  }

  function keepInView() {
    const strip = rungs[current].querySelector(".strip");
    const [rung, frame] = [strip.getBoundingClientRect(), box.getBoundingClientRect()];
    const margin = Math.min(120, frame.height / 4);
    if (rung.top < frame.top + margin) box.scrollTop -= frame.top + margin - rung.top;
    if (rung.bottom > frame.bottom - margin) box.scrollTop += rung.bottom - frame.bottom + margin;
  }

  function announce(step) {
    status.textContent = `Step ${current + 1} of ${steps.length}: ${titleOf(step)}. ${step.dataset.states}.`;
  }

  function show(at, { keepAddress = false } = {}) {
    const wanted = Math.max(0, Math.min(steps.length - 1, at));
    if (wanted === current) return;
    current = wanted;
    const step = steps[current];
    const hadFocus = rungs.includes(document.activeElement);
    steps.forEach((each) => each.classList.toggle("current", each === step));
    markRung(String(current + 1));
    moveDots(step);
    announce(step);
    if (hadFocus) rungs[current].focus({ preventScroll: true });
    for (const [name, isOver] of [["first", current === 0], ["last", current === steps.length - 1]]) {
      buttons[name].setAttribute("aria-disabled", isOver);
      buttons[name === "first" ? "previous" : "next"].setAttribute("aria-disabled", isOver);
    }
    if (keepAddress) return;
    try {
      history.replaceState(null, "", `#step=${current + 1}`);
    } catch {
      // A page inside another one may have no address of its own.
    }
  }

  function wantedByAddress() {
    const found = /^#step=(\d+)$/.exec(location.hash);
    return found ? Number(found[1]) - 1 : null;
  }

  const moves = {
    first: () => show(0),
    previous: () => show(current - 1),
    next: () => show(current + 1),
    last: () => show(steps.length - 1),
  };
  const keys = {
    ArrowLeft: "previous", ArrowUp: "previous", ArrowRight: "next", ArrowDown: "next", Home: "first", End: "last",
  };

  if (!steps.length) return;
  root.classList.add("js");
  steps.forEach((step) => step.removeAttribute("id")); // else the browser scrolls to it
  for (const [name, button] of Object.entries(buttons)) button.addEventListener("click", moves[name]);
  rungs.forEach((rung, at) => rung.addEventListener("click", (event) => {
    event.preventDefault();
    show(at);
    rung.focus({ preventScroll: true });
  }));
  document.addEventListener("keydown", (event) => {
    const name = keys[event.key];
    if (!name || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    moves[name]();
  });
  absolute.addEventListener("change", () => {
    announce(steps[current]);
    rungs.forEach((rung, at) => {
      const [before] = rung.getAttribute("aria-label").split(": ", 1);
      rung.setAttribute("aria-label", `${before}: ${titleOf(steps[at])}`);
    });
  });
  window.addEventListener("hashchange", () => show(wantedByAddress() ?? current, { keepAddress: true }));
  new ResizeObserver(keepInView).observe(box);
  show(wantedByAddress() ?? 0, { keepAddress: wantedByAddress() === null });
})();
