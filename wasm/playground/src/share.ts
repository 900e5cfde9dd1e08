// The state of the page in its address: `#s=` and deflated JSON. Nothing is sent anywhere, because browsers keep what
// follows `#` to themselves.
import type { TextFile } from "coalmine";
import { wrongName } from "./names";
import type { Asked } from "./protocol";

export interface Shared {
  files: TextFile[];
  active?: string;
  step?: string;
  request?: Asked;
}

/** Bytes that an address may unpack to: more is no manifest somebody shares, but a bomb. */
const LIMIT = 4 << 20;
/** Characters that an address may have: browsers give up at two million. */
const LONGEST = 1 << 20;
/** What the text of this tab alone is kept as, and the address that means it. */
const KEPT = "coalmine-text";
const LOCAL = "local";

/** Why an address is not made or not read, in words for people. */
export class Refused extends Error {}

const TOO_LARGE = `An address holds up to ${LIMIT >> 20} MiB of text.`;

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
    if (size > limit) throw new Refused(TOO_LARGE);
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

const json = (state: Shared) =>
  new TextEncoder().encode(JSON.stringify({ v: 1, f: state.files.map(({ name, text }) => [name, text]), a: state.active, s: state.step, r: state.request }));

const deflated = async (bytes: Uint8Array<ArrayBuffer>) => "s=" + toBase64Url(await pipe(bytes, new CompressionStream("deflate-raw")));

/** The state as an address, which any page takes; refused when it is too large. */
export async function pack(state: Shared): Promise<string> {
  const bytes = json(state);
  const fragment = bytes.length <= LIMIT ? await deflated(bytes) : "";
  if (fragment === "" || fragment.length > LONGEST) throw new Refused(TOO_LARGE);
  return fragment;
}

/** Keeps a state that is too large for an address as long as the tab lives; answers with the address that means it. */
export async function keep(state: Shared): Promise<string | undefined> {
  try {
    sessionStorage.setItem(KEPT, await deflated(json(state)));
    return LOCAL;
  } catch {
    return undefined; // storage is blocked or full
  }
}

/** The state that an address means; `undefined` when it means none, and refused when it cannot be read. */
export async function read(fragment: string): Promise<Shared | undefined> {
  if (fragment.startsWith("s=")) return unpack(fragment, LIMIT);
  if (fragment !== LOCAL) return undefined;
  let kept: string | null = null;
  try {
    kept = sessionStorage.getItem(KEPT);
  } catch {
    // storage is blocked
  }
  if (kept === null) throw new Refused("This address means a text that was too large for an address, in the tab that it was made in.");
  return unpack(kept, Infinity);
}

const optional = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);

async function unpack(fragment: string, limit: number): Promise<Shared> {
  const broken = "This address cannot be read: it was cut off, or made by a newer playground.";
  const json = await pipe(fromBase64Url(fragment.replace(/^s=/, "")), new DecompressionStream("deflate-raw"), limit).then(
    (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
    (error) => Promise.reject(error instanceof Refused ? new Refused(`This address cannot be opened. ${error.message}`) : error),
  );
  if (json?.v !== 1 || !Array.isArray(json.f)) throw new Refused(broken);
  const names = new Set<string>();
  const files = json.f.map((file: unknown) => {
    const [name, text]: unknown[] = Array.isArray(file) ? file : [];
    if (typeof name !== "string" || typeof text !== "string") throw new Refused(broken);
    if (wrongName(name) !== undefined || names.has(name)) throw new Refused(`This address cannot be opened: “${name}” is no name for a file, or is there twice.`);
    names.add(name);
    return { name, text };
  });
  const to = optional(json.r?.to);
  const request = to && { to, from: optional(json.r.from), cookie: optional(json.r.cookie) };
  return { files, active: optional(json.a), step: optional(json.s), request: request || undefined };
}
