// Talking to the bot: posts that may be repeated safely, and the stream of events that finds its way back.

/** An answer that was no success: `code` has a sentence in the texts under "error". */
export class Failed extends Error {
  constructor(code, status, after, text = "") {
    super(code);
    this.text = text;
    this.code = code;
    this.status = status;
    this.after = after;
  }
}

async function answered(promise) {
  let response;
  try {
    response = await promise;
  } catch {
    throw new Failed("network", 0);
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Failed(body.error ?? "other", response.status, Number(response.headers.get("Retry-After")), body.text);
  return body;
}

export const get = (path) => answered(fetch(path, { headers: { Accept: "application/json" } }));

export const post = (path, body, key) =>
  answered(
    fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(key ? { "Idempotency-Key": key } : {}) },
      body: JSON.stringify(body),
    }),
  );

/** Bring a picture to the bot: its digest, for the next prompt. */
export const upload = (file) => answered(fetch("/api/upload", { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file })).then(({ picture }) => picture);

/** A key of one call: random, so that the same call sent twice is known to be the same. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(15));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

const SILENCE = 40_000; // the bot says something every 15 s; after this long the line is dead, whatever it says

/**
 * Follow the conversation. `hear({all, message, state})` gets everything, one message, or "online"/"offline".
 * EventSource gives up for good on an HTTP error, so the reconnecting is ours: quick first, then every 10 s.
 */
export function follow(hear) {
  let source = null;
  let last = "";
  let wait = 500;
  let timer = 0;
  let stopped = false;

  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(again, SILENCE);
  };
  const again = () => {
    source?.close();
    clearTimeout(timer);
    if (stopped) return;
    hear({ state: "offline" });
    timer = setTimeout(open, wait);
    wait = Math.min(wait * 1.7, 10_000);
  };
  const open = async () => {
    clearTimeout(timer);
    source?.close();
    source = new EventSource(`/api/events?after=${encodeURIComponent(last)}`);
    source.onopen = () => {
      wait = 500;
      alive();
      hear({ state: "online" });
    };
    source.onerror = async () => {
      source.close();
      // a signed-out session must not knock for ever
      const gone = await get("/api/me").then(() => false, (error) => error.status === 401);
      if (gone) stop(), hear({ state: "out" });
      else again();
    };
    source.addEventListener("beat", alive);
    for (const kind of ["all", "message"]) {
      source.addEventListener(kind, (event) => {
        alive();
        last = event.lastEventId;
        hear({ [kind]: JSON.parse(event.data) });
      });
    }
    alive();
  };
  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    source?.close();
  };
  window.addEventListener("online", () => !stopped && open());
  open();
  return stop;
}
