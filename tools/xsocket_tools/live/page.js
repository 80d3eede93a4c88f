"use strict";
// Shows what the server tells, and asks it to do things. Every text from there is put in as text.
(() => {
  const MOST_ROWS = 200;
  const SUMMARY_MS = 2000;
  const COLUMNS = ["half-open", "pool", "claimed"];
  const token = new URLSearchParams(location.search).get("token") || "";
  const byId = (id) => document.getElementById(id);
  const make = (name, text = "", look = "") => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (look) made.className = look;
    return made;
  };
  const say = (text, isWrong = false) => {
    byId("said").textContent = text;
    byId("said").classList.toggle("wrong", isWrong);
  };
  const setText = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  // To do

  const ask = async (path, form) => {
    try {
      const answer = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Xsocket-Token": token },
        body: JSON.stringify(form),
      });
      const kind = answer.headers.get("Content-Type") || "";
      return kind.startsWith("application/json") ? await answer.json() : { error: await answer.text() };
    } catch {
      return { error: "The engine does not answer." };
    }
  };
  const act = async (path, form) => {
    const answer = await ask(path, form);
    say(answer.error || answer.said, Boolean(answer.error));
  };
  byId("connect-1").addEventListener("click", () => act("connect", { clients: 1 }));
  byId("connect-10").addEventListener("click", () => act("connect", { clients: 10 }));
  byId("claim").addEventListener("click", () => act("claim", {}));

  // Cards

  const cards = new Map();
  let ahead = 0;
  const age = (ms) => {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    if (seconds < 60) return `${seconds} s`;
    return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
  };
  const tick = () => {
    for (const card of document.querySelectorAll(".card")) {
      const past = age(Date.now() + ahead - Number(card.dataset.since));
      setText(card.querySelector(".age"), card.parentElement.id === "ended" ? `${past} ago` : past);
    }
  };
  const newCard = (name) => {
    const card = make("li", "", "card");
    const line = make("div", "", "line");
    line.append(make("b"), make("span", "", "age"));
    card.append(line, make("div", "", "state"), make("div", "", "buttons"));
    cards.set(name, card);
    return card;
  };
  const setButtons = (card, told, wanted) => {
    const box = card.querySelector(".buttons");
    const there = new Map([...box.children].map((each) => [each.dataset.does, each]));
    for (const [does, button] of there) {
      if (!wanted.some((each) => each[0] === does)) button.remove();
    }
    wanted.forEach(([does, text, form], at) => {
      let button = there.get(does);
      if (!button) {
        button = make("button", text);
        button.type = "button";
        button.dataset.does = does;
        button.append(make("span", ` ${told.remote}`, "hidden"));
        button.addEventListener("click", () => act(does, form()));
      }
      if (box.children[at] !== button) box.insertBefore(button, box.children[at] || null);
    });
  };
  const buttonsOf = (told) => {
    const named = () => ({ name: told.name });
    return [
      ...(told.held
        ? [
            ["say", "Say something", () => ({ name: told.name, text: byId("words").value })],
            ["close", "Close", named],
          ]
        : []),
      ...(told.mine ? [["close-client", "Client closes", named]] : []),
    ];
  };
  const setCard = (list, at, name, told, state, since) => {
    const card = cards.get(name) || newCard(name);
    card.dataset.since = since;
    setText(card.querySelector("b"), told.remote);
    setText(card.querySelector(".state"), state);
    setButtons(card, told, buttonsOf(told));
    if (card.parentElement !== list) {
      card.classList.remove("came");
      requestAnimationFrame(() => card.classList.add("came"));
    }
    if (list.children[at] !== card) {
      const focused = card.contains(document.activeElement) ? document.activeElement : null;
      list.insertBefore(card, list.children[at] || null);
      if (focused) focused.focus({ preventScroll: true });
    }
    return name;
  };
  const showCards = (state) => {
    const here = new Set();
    for (const column of COLUMNS) {
      const { count, cards: told } = state.columns[column];
      const list = byId(column);
      told.forEach((each, at) => here.add(setCard(list, at, each.name, each, each.state, each.since)));
      setText(byId(`${column}-count`), String(count));
      byId(`${column}-more`).hidden = count === told.length;
      setText(byId(`${column}-more`), `and ${count - told.length} more`);
    }
    state.ended.forEach((each, at) => {
      here.add(setCard(byId("ended"), at, `ended ${each.at} ${each.name}`, each, `ended by: ${each.how}`, each.at));
    });
    for (const [name, card] of cards) {
      if (!here.has(name)) {
        const had = card.contains(document.activeElement);
        card.remove();
        cards.delete(name);
        if (had) byId("claim").focus({ preventScroll: true });
      }
    }
    for (const list of [...COLUMNS, "ended"].map(byId)) {
      // So that keys scroll it; not a stop for who tabs through it otherwise.
      if (list.scrollHeight > list.clientHeight) list.tabIndex = 0;
      else list.removeAttribute("tabindex");
    }
    tick();
  };
  setInterval(tick, 1000);

  // Where the cards are, for who does not see them: not more often than can be listened to

  let summary = "";
  let summaryTimer = 0;
  const summarize = (state) => {
    const text = COLUMNS.map((each) => `${state.columns[each].count} ${each === "pool" ? "in the pool" : each}`);
    summary = `${text.join(", ")}.`;
    summaryTimer ||= setTimeout(() => {
      summaryTimer = 0;
      setText(byId("summary"), summary);
    }, SUMMARY_MS);
  };

  // What happens

  const clock = (ms) => {
    const at = new Date(ms);
    const two = (number) => String(number).padStart(2, "0");
    const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
    return `${time}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  };
  let shown = 0;
  let missed = 0;
  const wordsOf = (told) => {
    const words = make("div", "", "text");
    if (!told.absolute || told.absolute === told.text) words.textContent = told.text;
    else words.append(make("span", told.text, "r"), make("span", told.absolute, "a"));
    return words;
  };
  const rowOf = (told) => {
    const row = make("li", "", `row ${told.kind}${told.by_hand ? " hand" : ""}`);
    row.value = told.number;
    const when = make("div", "", "when");
    const time = make("time", clock(told.at));
    time.dateTime = new Date(told.at).toISOString();
    when.append(time, make("span", told.remote));
    const what = make("div");
    what.append(wordsOf(told));
    if (told.notes.length) what.append(make("div", told.notes.join("; "), "notes"));
    row.append(when, what);
    return row;
  };
  const showRows = (rows, lost) => {
    const list = byId("rows");
    const fresh = rows.filter((each) => each.number > shown);
    const scroll = byId("scroll");
    const below = scroll.scrollTop > 0 ? scroll.scrollHeight - scroll.scrollTop : 0;
    for (const each of fresh) {
      shown = each.number;
      list.prepend(rowOf(each));
    }
    while (list.children.length > MOST_ROWS) list.lastElementChild.remove();
    if (below) scroll.scrollTop = scroll.scrollHeight - below;
    missed += lost;
  };

  // Counted

  const showCounters = (groups) => {
    const box = byId("counters");
    if (box.dataset.told === JSON.stringify(groups)) return;
    box.dataset.told = JSON.stringify(groups);
    box.replaceChildren(
      ...groups.map(([name, counts]) => {
        const group = make("div");
        const list = make("dl");
        for (const [what, count, why] of counts) {
          const term = make("dt", what);
          if (why) term.append(make("small", why));
          list.append(term, make("dd", count.toLocaleString("en")));
        }
        group.append(make("h3", name), counts.length ? list : make("p", "nothing yet", "faint"));
        return group;
      }),
    );
  };

  // The form

  const FIELDS = ["connection", "address", "source_port", "port", "seq", "seq_from", "ack", "ack_from", "window"];
  FIELDS.push("options", "text");
  const form = byId("form");
  const chooses = () => {
    const isChosen = byId("connection").value !== "";
    for (const each of document.querySelectorAll(".forged")) each.hidden = isChosen;
    for (const name of ["seq_from", "ack_from"]) byId(name).value = isChosen ? "relative" : "absolute";
    if (isChosen) {
      byId("seq").value = "0";
      byId("ack").value = "0";
    }
  };
  byId("connection").addEventListener("change", chooses);
  const showConnections = (state) => {
    const select = byId("connection");
    const told = COLUMNS.flatMap((each) => state.columns[each].cards);
    const wanted = told.map((each) => [each.name, `${each.remote} (${each.state})`]);
    const chosen = select.value;
    if (chosen && !wanted.some(([name]) => name === chosen)) wanted.push([chosen, `${chosen} (ended)`]);
    if (select.dataset.told === JSON.stringify(wanted)) return;
    select.dataset.told = JSON.stringify(wanted);
    const options = wanted.map(([name, text]) => {
      const option = make("option", text);
      option.value = name;
      return option;
    });
    select.replaceChildren(select.firstElementChild, ...options);
    select.value = chosen;
  };
  const showWrong = (wrong) => {
    let first = null;
    for (const name of [...FIELDS, "flags"]) {
      const place = byId(`${name}-wrong`);
      const field = byId(name);
      if (!place) continue;
      setText(place, wrong[name] || "");
      if (wrong[name]) {
        field.setAttribute("aria-invalid", "true");
        field.setAttribute("aria-describedby", place.id);
        first ||= field;
      } else {
        field.removeAttribute("aria-invalid");
        field.removeAttribute("aria-describedby");
      }
    }
    setText(byId("form-wrong"), wrong[""] || "");
    if (first) (first.id === "flags" ? first.querySelector("input") : first).focus();
  };
  const showVerdict = (answer) => {
    const box = byId("verdict");
    box.classList.toggle("dropped", (answer.rows || []).some((each) => each.kind === "dropped"));
    const list = make("ol");
    for (const each of answer.rows || []) {
      const item = make("li");
      item.append(wordsOf(each));
      if (each.notes.length) item.append(make("div", each.notes.join("; "), "notes"));
      list.append(item);
    }
    box.replaceChildren(make("p", answer.said), list);
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const filled = Object.fromEntries(FIELDS.map((name) => [name, byId(name).value]));
    filled.flags = [...byId("flags").querySelectorAll("input:checked")].map((each) => each.value);
    byId("verdict").replaceChildren();
    const answer = await ask("segment", filled);
    showWrong(answer.wrong || (answer.error ? { "": answer.error } : {}));
    if (answer.said) showVerdict(answer);
  });
  chooses();

  // News

  const source = new EventSource(`events?token=${encodeURIComponent(token)}`);
  source.addEventListener("message", (event) => {
    const news = JSON.parse(event.data);
    ahead = news.state.now - Date.now();
    byId("gone").hidden = true;
    showCards(news.state);
    showRows(news.rows, news.missed);
    showCounters(news.state.counters);
    showConnections(news.state);
    summarize(news.state);
    const lost = missed + news.state.left_out;
    byId("missed").hidden = !lost;
    setText(byId("missed"), `${lost.toLocaleString("en")} more happened too fast to be told here.`);
  });
  source.addEventListener("error", () => {
    byId("gone").hidden = false;
  });
})();
