// The state of the page in its address: `#s=` and deflated JSON. Nothing is sent anywhere, because browsers keep what
// follows `#` to themselves.
import type { TextFile } from "coalmine";
import type { Asked } from "./protocol";

export interface Shared {
  files: TextFile[];
  active?: string;
  step?: string;
  request?: Asked;
}

/** What an address may unpack to: more is no manifest somebody shares, but a bomb. */
const LIMIT = 4 << 20;

async function pipe(bytes: Uint8Array<ArrayBuffer>, through: GenericTransformStream, limit = Infinity): Promise<Uint8Array<ArrayBuffer>> {
  const stream: ReadableStream<Uint8Array> = new Blob([bytes]).stream().pipeThrough(through);
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (size > limit) throw new Error("the address holds too much");
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function toBase64Url(bytes: Uint8Array): string {
  let binary = "";
  for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

export async function pack(state: Shared): Promise<string> {
  const json = JSON.stringify({ v: 1, f: state.files.map(({ name, text }) => [name, text]), a: state.active, s: state.step, r: state.request });
  const bytes = new TextEncoder().encode(json);
  return "s=" + toBase64Url(await pipe(bytes, new CompressionStream("deflate-raw")));
}

const optional = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);

/** The state in an address; throws when it is none. */
export async function unpack(fragment: string): Promise<Shared> {
  const bytes = await pipe(fromBase64Url(fragment.replace(/^s=/, "")), new DecompressionStream("deflate-raw"), LIMIT);
  const json = JSON.parse(new TextDecoder().decode(bytes));
  if (json.v !== 1 || !Array.isArray(json.f)) throw new Error("it is of a newer version");
  const files = json.f.map(([name, text]: [unknown, unknown]) => {
    if (typeof name !== "string" || typeof text !== "string") throw new Error("a file is broken");
    return { name, text };
  });
  const to = optional(json.r?.to);
  const request = to && { to, from: optional(json.r.from), cookie: optional(json.r.cookie) };
  return { files, active: optional(json.a), step: optional(json.s), request: request || undefined };
}
