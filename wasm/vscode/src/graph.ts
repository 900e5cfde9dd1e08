// The routing graph in a panel beside the text: the picture that the linter draws, of the deployment whose file is
// edited.
import * as vscode from "vscode";
import type { Range } from "coalmine";
import { placesOf } from "../shared/picture";
import { stepOf } from "./steps";
import { toRange } from "./diagnostics";
import type { Linted, Session } from "./session";

export const VIEW = "coalmine.graph";

/** To the panel. */
export interface Picture {
  /** SVG; absent with `message`. */
  svg?: string;
  /** Instead of a picture. */
  message?: string;
  steps: string[];
  step: string | undefined;
  /** The ids that lead to a text. */
  places: string[];
}

/** From the panel. */
export type Wish = { kind: "ready" } | { kind: "open"; id: string } | { kind: "step"; step: string };

export class GraphPanel implements vscode.WebviewPanelSerializer, vscode.Disposable {
  #panel: vscode.WebviewPanel | undefined;
  /** The manifest that was looked at last; its deployment is drawn. */
  #uri: vscode.Uri | undefined;
  #step: string | undefined;
  #group: Linted | undefined;
  #places = new Map<string, { file: string; range: Range }>();
  #shown = "";
  readonly #disposables: vscode.Disposable[];

  constructor(private readonly context: vscode.ExtensionContext, private readonly session: Session) {
    this.#disposables = [
      session.onDidCheck(() => this.#draw()),
      vscode.window.onDidChangeActiveTextEditor((editor) => this.#look(editor)),
    ];
  }

  dispose() {
    this.#panel?.dispose();
    vscode.Disposable.from(...this.#disposables).dispose();
  }

  /** Opens the panel, or brings it to the front. */
  show() {
    this.#look(vscode.window.activeTextEditor);
    if (this.#panel) {
      this.#panel.reveal(undefined, true);
      return;
    }
    const where = { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true };
    this.#attach(vscode.window.createWebviewPanel(VIEW, "Routing", where));
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel) {
    this.#panel?.dispose();
    this.#look(vscode.window.activeTextEditor ?? vscode.window.visibleTextEditors[0]);
    this.#attach(panel);
  }

  #attach(panel: vscode.WebviewPanel) {
    const media = vscode.Uri.joinPath(this.context.extensionUri, "dist");
    this.#panel = panel;
    this.#shown = "";
    panel.iconPath = vscode.Uri.joinPath(this.context.extensionUri, "icon.png");
    panel.webview.options = { enableScripts: true, localResourceRoots: [media] };
    panel.webview.onDidReceiveMessage((wish: Wish) => void this.#receive(wish));
    panel.onDidDispose(() => {
      if (this.#panel === panel) this.#panel = undefined;
    });
    panel.webview.html = page(panel.webview, vscode.Uri.joinPath(media, "graph.js"), vscode.Uri.joinPath(media, "graph.css"));
  }

  #look(editor: vscode.TextEditor | undefined) {
    if (!editor || !this.session.place(editor.document.uri)) return;
    this.#uri = editor.document.uri;
    this.#draw();
  }

  async #receive(wish: Wish) {
    if (wish.kind === "ready") {
      this.#shown = "";
      this.#draw();
    } else if (wish.kind === "step") {
      this.#step = wish.step;
      this.#draw();
    } else {
      const place = this.#places.get(wish.id);
      const uri = place && this.#group?.uris.get(place.file);
      if (!uri) return;
      const other = vscode.window.visibleTextEditors.find(({ viewColumn }) => viewColumn !== this.#panel?.viewColumn);
      const viewColumn = other?.viewColumn ?? (this.#panel?.viewColumn === vscode.ViewColumn.One ? vscode.ViewColumn.Two : vscode.ViewColumn.One);
      await vscode.window.showTextDocument(uri, { viewColumn, selection: toRange(place.range) });
    }
  }

  #draw() {
    if (!this.#panel) return;
    const picture = this.#picture();
    const text = JSON.stringify(picture);
    if (text === this.#shown) return;
    this.#shown = text;
    void this.#panel.webview.postMessage(picture);
  }

  #picture(): Picture {
    const nothing = { steps: [], step: undefined, places: [] };
    const first = this.session.check().find(({ uris }) => uris.size > 0);
    const placed = (this.#uri && this.session.place(this.#uri)) ?? (first && { group: first, name: [...first.uris.keys()][0]! });
    if (!placed) return { ...nothing, message: this.session.isOn ? "There is no manifest in this workspace." : "Coalmine is switched off by the setting coalmine.enable." };
    const { group, name } = placed;
    const { deployments } = group;
    try {
      const steps = deployments.steps(name);
      // The step whose file is edited, until one is chosen.
      const own = stepOf(name, steps);
      const step = this.#step !== undefined && steps.includes(this.#step) ? this.#step : own;
      const graph = deployments.graph(name, step);
      this.#group = group;
      this.#places = placesOf(graph);
      if (graph.nodes.length === 0) return { steps, step, places: [], message: "Nothing is deployed in this state: the picture begins with a Gateway, a route, or a Service with pods." };
      return { steps, step, places: [...this.#places.keys()], svg: deployments.picture(name, step) };
    } catch (error) {
      return { ...nothing, message: error instanceof Error ? error.message : String(error) };
    }
  }
}

function page(webview: vscode.Webview, script: vscode.Uri, style: vscode.Uri): string {
  // The picture brings its own style sheet, which is why styles may be inline. Scripts may not.
  const policy = `default-src 'none'; style-src ${webview.cspSource} 'unsafe-inline'; script-src ${webview.cspSource}`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${webview.asWebviewUri(style)}">
<title>Routing</title>
</head>
<body>
<div id="bar">
<label id="steps" hidden>Step <select id="step"></select></label>
<button id="out" title="Zoom out">−</button><button id="fit" title="Fit the width">Fit</button><button id="in" title="Zoom in">+</button>
</div>
<main id="graph" tabindex="-1"></main>
<script src="${webview.asWebviewUri(script)}"></script>
</body>
</html>`;
}
