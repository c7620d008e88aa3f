// How the console asks its bot: requests with problems as sentences, streams that resume, and the live socket.

/** A refusal, or no answer at all (status 0); `message` is a whole sentence. */
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.name = "Problem";
    this.status = status;
  }
}

const AWAY = "The bot cannot be reached just now. What you wrote is still here; try again in a moment.";

/** Tells whoever cares that one has to sign in. */
export const signedOut = new EventTarget();

function addressed(path, query) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === null || value === undefined || value === "" || value === false) continue;
    for (const each of Array.isArray(value) ? value : [value]) url.searchParams.append(name, each);
  }
  return url;
}

async function asked(method, path, { query, body, signal, headers = {} } = {}) {
  const form = body instanceof FormData || body instanceof Blob;
  let response;
  try {
    response = await fetch(addressed(path, query), {
      method,
      signal,
      credentials: "same-origin",
      headers: {
        Accept: "application/json",
        ...(body === undefined || form ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body === undefined || form ? body : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, AWAY);
  }
  if (!response.ok) throw await refused(response);
  return response;
}

const refused = async (response) => problem(response.status, await response.json().catch(() => null));

function problem(status, told) {
  if (status === 401) signedOut.dispatchEvent(new Event("out"));
  return new Problem(status, told?.detail ?? told?.error?.message ?? `The bot answered ${status}.`);
}

async function json(response) {
  if (response.status === 204) return null;
  const kind = response.headers.get("content-type") ?? "";
  return kind.includes("json") ? response.json() : response.text();
}

/** Paths begin with `/api/`. `query` leaves out null, "" and false. Raises `Problem`. */
export const api = {
  get: (path, query, options) => asked("GET", path, { query, ...options }).then(json),
  post: (path, body = {}, options) => asked("POST", path, { body, ...options }).then(json),
  put: (path, body = {}, options) => asked("PUT", path, { body, ...options }).then(json),
  del: (path, query, options) => asked("DELETE", path, { query, ...options }).then(json),
  /** The response itself, for bytes and streams. */
  raw: (method, path, options) => asked(method, path, options),
};

/** Uploads one file and tells how much has gone: XMLHttpRequest is what knows. Resolves to the answer's JSON. */
export function upload(path, file, { progress = () => {}, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onload = () =>
      request.status < 300
        ? resolve(request.response)
        : reject(problem(request.status, request.response));
    request.onerror = () => reject(new Problem(0, AWAY));
    request.onabort = () => reject(new DOMException("Given up.", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    const form = new FormData();
    form.append("file", file, file.name || "pasted");
    request.send(form);
  });
}

/** Reads server-sent events from a response, until `signal`: {id, event, data}, data from JSON. */
async function* sse(response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const stop = () => reader.cancel().catch(() => {});
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  let rest = "",
    told = { event: "message", data: [] },
    id;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (told.data.length) yield { id, event: told.event, data: JSON.parse(told.data.join("\n")) };
          told = { event: "message", data: [] };
          continue;
        }
        const [name, words] = line.startsWith(":")
          ? ["", ""]
          : [line.split(":", 1)[0], line.slice(line.indexOf(":") + 1).replace(/^ /, "")];
        if (name === "event") told.event = words;
        else if (name === "data") told.data.push(words);
        else if (name === "id") id = words;
      }
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    stop();
  }
}

const rest = (ms, signal) =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
    signal?.addEventListener("abort", resolve);
  });

/** The events of one answer to its end, taken up again by itself where the connection broke: `first()` makes the first
 *  request, `again(id)` the later ones, after the event with that id. `signal` ends the listening, never what is asked
 *  for: a line that is on its way goes on. */
export async function* resumed(first, again, { signal, ends = ["done", "refused"] } = {}) {
  let id = null,
    response = await first(),
    failures = 0;
  for (;;) {
    if (signal?.aborted) {
      response?.body?.cancel().catch(() => {});
      return;
    }
    let broken = false;
    if (response) {
      if (response.status === 204 || !(response.headers.get("content-type") ?? "").includes("event-stream")) return;
      try {
        for await (const event of sse(response, signal)) {
          failures = 0;
          id = event.id ?? id;
          yield event;
          if (ends.includes(event.event)) return;
        }
      } catch (error) {
        if (signal?.aborted) return;
        broken = error instanceof TypeError || error.name === "NetworkError" || error.name === "AbortError";
        if (!broken) throw error;
      }
      if (!broken && id === null) return;
    }
    if (signal?.aborted) return;
    await rest(Math.min(8_000, 400 * 2 ** failures++), signal);
    if (signal?.aborted) return;
    if (failures > 8) throw new Problem(0, AWAY);
    response = await again(id).catch((error) => {
      if (error.status) throw error;
      return null;
    });
  }
}

/** The live socket: opened by the first listener, and again by itself whenever it is lost. */
class Live extends EventTarget {
  #socket = null;
  #listening = new Set();
  #failures = 0;
  #watching = null;
  #closed = false;
  /** "open", "lost" or "off". */
  state = "off";

  /** Calls `fn(event)` for each event whose `is` is among `kinds` ("*" for all). Returns what ends it. */
  on(kinds, fn) {
    const entry = { kinds: [kinds].flat(), fn };
    this.#listening.add(entry);
    if (!this.#socket && !this.#closed) this.#open();
    return () => this.#listening.delete(entry);
  }

  /** Hears only of these sessions or channels; without an argument of everything one may see. */
  watch(wanted = null) {
    this.#watching = wanted;
    this.send({ do: "watch", sessions: wanted?.sessions ?? null, channels: wanted?.channels ?? null });
  }

  /** Says that one is writing. */
  typing(session) {
    this.send({ do: "typing", session });
  }

  send(words) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(words));
  }

  #open() {
    const socket = (this.#socket = new WebSocket(
      `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`,
    ));
    socket.onopen = () => {
      this.#failures = 0;
      this.#tell("open");
      this.watch(this.#watching);
    };
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      for (const { kinds, fn } of [...this.#listening]) if (kinds.includes("*") || kinds.includes(event.is)) fn(event);
    };
    socket.onclose = ({ code }) => {
      this.#socket = null;
      this.#tell("lost");
      if (code === 4001) {
        this.#closed = true;
        signedOut.dispatchEvent(new Event("out"));
        return;
      }
      if (code === 4003) {
        this.#closed = true;
        return;
      }
      setTimeout(
        () => this.#socket ?? this.#open(),
        Math.min(15_000, 500 * 2 ** this.#failures++) * (0.75 + Math.random() / 2),
      );
    };
  }

  #tell(state) {
    if (this.state === state) return;
    const again = this.state === "lost" && state === "open";
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, again } }));
  }
}

export const live = new Live();
addEventListener("online", () => live.on([], () => {})());

/** Whoever is here: GET /api/me, once it was asked by `app.js`. */
export const me = { person: { id: "", name: "" }, scope: "read", bot: {}, personas: [], neighbours: [] };
export const may = (scope) => ["read", "chat", "admin"].indexOf(me.scope) >= ["read", "chat", "admin"].indexOf(scope);
