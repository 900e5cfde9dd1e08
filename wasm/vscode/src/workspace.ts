// The manifests of the workspace: those on the disk, whatever disk that is, with what is typed over them. Each folder of
// the workspace is a group, and so is each manifest that belongs to no folder. Knows nothing of the linter.
import * as vscode from "vscode";
import { withoutBraces } from "./globs";

const MANIFESTS = "**/*.{yaml,yml,json}";
/** A manifest of this size is none. */
const SIZE_LIMIT = 8 * 1024 * 1024;
/** Reads at a time. */
const READERS = 32;
/** How long to wait for more changes on the disk: a checkout makes many. */
const SETTLE_MS = 300;
/** Where somebody edits manifests; others, such as `git:` and `output:`, show them. */
const SCHEMES = new Set(["file", "untitled", "vscode-remote", "vscode-vfs", "vscode-test-web", "memfs"]);

export interface Group {
  /** Stays the same as long as the group exists. */
  key: string;
  /** Texts by their names below the folder. */
  texts: Map<string, string>;
  /** Where they are. */
  uris: Map<string, vscode.Uri>;
}

const extension = /\.(ya?ml|json)$/;

/** JSON that can be an object of Kubernetes; the rest of a workspace's JSON is none of ours. */
const isCandidate = (path: string, text: string) => !path.endsWith(".json") || text.includes('"kind"');

/** What searches leave out, `files.exclude` and `search.exclude`; finding files honours the first by itself. */
function excluded(): string {
  const search = vscode.workspace.getConfiguration("search").get<Record<string, unknown>>("exclude", {});
  const globs = Object.entries(search).filter(([, isOn]) => isOn === true).flatMap(([glob]) => withoutBraces(glob));
  return `{${["**/node_modules/**", "**/.git/**", ...globs].join(",")}}`;
}

export class Workspace implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  /** Something that can change a finding has happened. */
  readonly onDidChange = this.#changed.event;
  /** By the URI of a workspace folder, the texts on its disk by their URI. */
  #disk = new Map<string, Map<string, { uri: vscode.Uri; text: string }>>();
  readonly #stale = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reading: Promise<void> | undefined;
  #again = false;
  readonly #disposables: vscode.Disposable[] = [this.#changed];

  constructor(private readonly log: vscode.LogOutputChannel) {
    const watcher = vscode.workspace.createFileSystemWatcher("**");
    const { workspace } = vscode;
    this.#disposables.push(
      watcher,
      watcher.onDidCreate((uri) => void this.#came(uri)),
      watcher.onDidChange((uri) => extension.test(uri.path) && this.#touched(uri)),
      watcher.onDidDelete((uri) => this.#touched(uri)),
      workspace.onDidChangeWorkspaceFolders(() => this.rescan()),
      workspace.onDidChangeTextDocument(({ document, contentChanges }) => contentChanges.length > 0 && this.#typed(document)),
      workspace.onDidOpenTextDocument((document) => this.#typed(document)),
      workspace.onDidCloseTextDocument((document) => this.#typed(document)),
      workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("files.exclude") || event.affectsConfiguration("search.exclude")) this.rescan();
      }),
    );
  }

  dispose() {
    clearTimeout(this.#timer);
    vscode.Disposable.from(...this.#disposables).dispose();
  }

  #typed(document: vscode.TextDocument) {
    if (extension.test(document.uri.path) || document.languageId === "yaml") this.#changed.fire();
  }

  /** A manifest or a folder of manifests has changed or is gone. A folder is told of as a whole, whatever its name. */
  #touched(uri: vscode.Uri) {
    const key = uri.toString();
    const known = [...this.#disk.values()].flatMap((files) => [...files.keys()]).filter((file) => file.startsWith(`${key}/`));
    if (!extension.test(uri.path) && known.length === 0) return;
    for (const file of [key, ...known]) this.#stale.add(file);
    this.#schedule();
  }

  /** Something is new; only the disk knows whether it is a folder, for `v2.0` can be one. */
  async #came(uri: vscode.Uri) {
    if (extension.test(uri.path)) return this.#touched(uri);
    const type = await vscode.workspace.fs.stat(uri).then(({ type }) => type, () => vscode.FileType.Unknown);
    if ((type & vscode.FileType.Directory) !== 0) this.#schedule();
  }

  /** Looks for manifests again, and reads them all. */
  rescan(): Promise<void> {
    for (const files of this.#disk.values()) for (const uri of files.keys()) this.#stale.add(uri);
    return this.#read();
  }

  #schedule() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#read(), SETTLE_MS);
  }

  #read(): Promise<void> {
    this.#again = true;
    this.#reading ??= this.#readAll().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #readAll() {
    while (this.#again) {
      this.#again = false;
      const disk = new Map<string, Map<string, { uri: vscode.Uri; text: string }>>();
      const stale = new Set(this.#stale);
      this.#stale.clear();
      for (const folder of vscode.workspace.workspaceFolders ?? []) {
        const before = this.#disk.get(folder.uri.toString());
        const found = await vscode.workspace.findFiles(new vscode.RelativePattern(folder, MANIFESTS), excluded());
        // A folder inside another one has its files to itself.
        const own = found.filter((uri) => vscode.workspace.getWorkspaceFolder(uri)?.uri.toString() === folder.uri.toString());
        const files = new Map<string, { uri: vscode.Uri; text: string }>();
        const todo = own.values();
        const reader = async () => {
          for (const uri of todo) {
            const key = uri.toString();
            const kept = stale.has(key) ? undefined : before?.get(key);
            const text = kept?.text ?? (await this.#text(uri));
            if (text !== undefined) files.set(key, { uri, text });
          }
        };
        await Promise.all(Array.from({ length: READERS }, reader));
        disk.set(folder.uri.toString(), files);
      }
      this.#disk = disk;
    }
    this.#changed.fire();
  }

  async #text(uri: vscode.Uri): Promise<string | undefined> {
    try {
      const bytes = await vscode.workspace.fs.readFile(uri);
      if (bytes.length <= SIZE_LIMIT) return new TextDecoder().decode(bytes);
      this.log.warn(`${uri.toString(true)} is larger than ${SIZE_LIMIT} bytes and is left out`);
    } catch (error) {
      // Gone since it was found, or not ours to read.
      this.log.debug(`${uri.toString(true)}: ${error}`);
    }
    return undefined;
  }

  /** Everything as it is now, typed texts over those on the disk. */
  groups(): Group[] {
    const groups: Group[] = [];
    const open = new Map(vscode.workspace.textDocuments.filter(({ isClosed }) => !isClosed).map((document) => [document.uri.toString(), document]));
    for (const folder of vscode.workspace.workspaceFolders ?? []) {
      const group: Group = { key: folder.uri.toString(), texts: new Map(), uris: new Map() };
      const base = folder.uri.path.replace(/\/*$/, "/");
      for (const [key, { uri, text }] of this.#disk.get(group.key) ?? []) {
        const current = open.get(key)?.getText() ?? text;
        const name = uri.path.startsWith(base) ? uri.path.slice(base.length) : undefined;
        if (name === undefined || !isCandidate(name, current)) continue;
        group.texts.set(name, current);
        group.uris.set(name, uri);
      }
      groups.push(group);
    }
    for (const [key, document] of open) {
      const { uri, languageId } = document;
      if (!SCHEMES.has(uri.scheme) || vscode.workspace.getWorkspaceFolder(uri)) continue;
      if (languageId !== "yaml" && !uri.path.endsWith(".json")) continue;
      const text = document.getText();
      const path = extension.test(uri.path) ? uri.path : `${uri.path}.yaml`;
      const name = path.slice(path.lastIndexOf("/") + 1);
      if (!isCandidate(name, text)) continue;
      // Nothing is known of what it belongs to, so nothing can be called missing.
      const texts = new Map([["coalmine.yaml", "assume: open\n"], [name, text]]);
      groups.push({ key, texts, uris: new Map([[name, uri]]) });
    }
    return groups;
  }
}
