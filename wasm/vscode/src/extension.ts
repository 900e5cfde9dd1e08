// Wires the parts together. The same bundle runs on the desktop, on a server and in a browser: it uses nothing but the
// editor's own interface and what every JavaScript host has.
import * as vscode from "vscode";
import { Actions, fixAll } from "./actions";
import { Problems } from "./diagnostics";
import { GraphPanel, VIEW } from "./graph";
import { Hovers } from "./hover";
import { load } from "./linter";
import { Session } from "./session";
import { Workspace } from "./workspace";

const DOCUMENTS: vscode.DocumentSelector = [{ language: "yaml" }, { pattern: "**/*.{yaml,yml,json}" }];

export async function activate(context: vscode.ExtensionContext) {
  const log = vscode.window.createOutputChannel("Coalmine", { log: true });
  context.subscriptions.push(log);
  const module = vscode.Uri.joinPath(context.extensionUri, "dist", "coalmine_bg.wasm");
  await load(await vscode.workspace.fs.readFile(module));

  const workspace = new Workspace(log);
  const session = new Session(workspace, log);
  const graph = new GraphPanel(context, session);
  const { commands, languages, window } = vscode;
  context.subscriptions.push(
    workspace,
    session,
    new Problems(session),
    graph,
    languages.registerCodeActionsProvider(DOCUMENTS, new Actions(session), Actions.metadata),
    languages.registerHoverProvider(DOCUMENTS, new Hovers(session)),
    window.registerWebviewPanelSerializer(VIEW, graph),
    commands.registerCommand("coalmine.showGraph", () => graph.show()),
    commands.registerCommand("coalmine.fixAll", () => fixAll(session)),
    commands.registerCommand("coalmine.lintWorkspace", async () => {
      await workspace.rescan();
      session.schedule();
      session.check();
      await commands.executeCommand("workbench.actions.view.problems");
    }),
    vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration("coalmine") && session.schedule()),
    session.onDidCheck(() => {
      const documents = session.check().some(({ deployments }) => (deployments.report?.summary.documents ?? 0) > 0);
      void commands.executeCommand("setContext", "coalmine.drawable", documents);
    }),
  );
  await workspace.rescan();
  session.check();
}
