// What is known of the workspace now: groups of manifests with their reports, made anew when something changed. Linting
// is one step of this thread, so a report is always about the texts it was asked for and never about older ones.
import * as vscode from "vscode";
import { Deployments, isCrash } from "../shared/deployments";
import type { Group, Workspace } from "./workspace";

/** Between a key press and the lint, at least; longer where a lint takes long. */
const PAUSE_MS = 150;
const LONGEST_PAUSE_MS = 2000;

/** A group with what was found in it. */
export interface Linted extends Group {
  deployments: Deployments;
}

/** A document's place among the groups. */
export interface Placed {
  group: Linted;
  name: string;
}

export class Session implements vscode.Disposable {
  readonly #checked = new vscode.EventEmitter<void>();
  /** There are new reports. */
  readonly onDidCheck = this.#checked.event;
  #groups: Linted[] = [];
  #isStale = true;
  #isBroken = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pause = PAUSE_MS;

  constructor(private readonly workspace: Workspace, private readonly log: vscode.LogOutputChannel) {
    workspace.onDidChange(() => this.schedule());
  }

  dispose() {
    clearTimeout(this.#timer);
    this.#checked.dispose();
    for (const { deployments } of this.#groups) deployments.free();
  }

  get isOn() {
    return !this.#isBroken && vscode.workspace.getConfiguration("coalmine").get("enable", true);
  }

  schedule() {
    this.#isStale = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.check(), this.#pause);
  }

  /** The reports of the texts as they are now. */
  check(): readonly Linted[] {
    if (!this.#isStale) return this.#groups;
    clearTimeout(this.#timer);
    this.#isStale = false;
    const start = Date.now();
    const before = new Map(this.#groups.map((group) => [group.key, group]));
    this.#groups = [];
    for (const group of this.isOn ? this.workspace.groups() : []) {
      const deployments = before.get(group.key)?.deployments ?? new Deployments();
      before.delete(group.key);
      try {
        deployments.check(group.texts);
        this.#groups.push({ ...group, deployments });
      } catch (error) {
        this.#failed(error);
      }
    }
    for (const { deployments } of before.values()) deployments.free();
    const took = Date.now() - start;
    this.#pause = Math.min(LONGEST_PAUSE_MS, Math.max(PAUSE_MS, 2 * took));
    const files = this.#groups.reduce((sum, { texts }) => sum + texts.size, 0);
    this.log.debug(`linted ${files} files in ${took} ms`);
    this.#checked.fire();
    return this.#groups;
  }

  #failed(error: unknown) {
    this.log.error(error instanceof Error ? error : String(error));
    if (!isCrash(error)) return;
    this.#isBroken = true;
    this.#groups = [];
    const reload = "Reload Window";
    void vscode.window.showErrorMessage("Coalmine has crashed, which is a bug of it. The output channel “Coalmine” says more.", reload).then((choice) => {
      if (choice === reload) void vscode.commands.executeCommand("workbench.action.reloadWindow");
    });
  }

  /** Where a document belongs; `undefined` when it is no manifest of the workspace. */
  place(uri: vscode.Uri): Placed | undefined {
    const wanted = uri.toString();
    for (const group of this.check()) {
      for (const [name, found] of group.uris) if (found.toString() === wanted) return { group, name };
    }
    return undefined;
  }
}
