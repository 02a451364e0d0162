/** Server-Sent Events, as the HTML standard defines them (9.2.6). The browser's own `EventSource` sends no key. */

/** `id` is that of the last event that had one.
 * @typedef {{type: string, data: string, id: string}} StreamEvent */

/** The events of a stream, each as soon as it is complete.
 * @param {AsyncIterable<string>} chunks of its text
 * @returns {AsyncGenerator<StreamEvent>} */
export async function* eventsOf(chunks) {
  let type = "";
  let id = "";
  /** @type {string[]} */
  let data = [];
  for await (const line of linesOf(chunks)) {
    const [, name, value] = /** @type {RegExpExecArray} */ (/^([^:]*):? ?(.*)$/s.exec(line));
    if (name === "event") type = value;
    else if (name === "data") data.push(value);
    else if (name === "id" && !value.includes("\0")) id = value;
    if (line !== "") continue;
    if (data.length) yield { type: type || "message", data: data.join("\n"), id };
    type = "";
    data = [];
  }
}

/** @param {AsyncIterable<string>} chunks
 * @returns {AsyncGenerator<string>} lines that have ended */
async function* linesOf(chunks) {
  let rest = "";
  for await (const chunk of chunks) {
    // A carriage return at the end may be the first half of a line break.
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
