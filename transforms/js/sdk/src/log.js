const LEVELS = ["trace", "debug", "info", "warn", "error"];

let sink;

function write(level, parts) {
  sink?.(level, parts.map(show).join(" "));
}

function show(part) {
  if (typeof part === "string") return part;
  if (part instanceof Error) return describe(part);
  try {
    return JSON.stringify(part) ?? String(part);
  } catch {
    return String(part);
  }
}

/** Message and stack of what was thrown, without the frames of bindings. */
export function describe(error) {
  if (!(error instanceof Error)) return `thrown: ${show(error)}`;
  const stack = String(error.stack ?? "").split("\n").filter((line) => line !== "" && !line.includes("initializer.js"));
  const title = String(error);
  // Some engines repeat the title above the frames. A runaway recursion has thousands of those.
  const frames = stack.slice(stack[0]?.includes(title) ? 1 : 0).slice(0, 20);
  return [title, ...frames.map((line) => `  ${line.trim()}`)].join("\n");
}

/** Lines to the host's log; see index.d.ts. */
export const log = Object.fromEntries(LEVELS.map((level) => [level, (...parts) => write(level, parts)]));

/** Where lines go: outside a component, nowhere. */
export function logTo(write) {
  sink = write;
}
