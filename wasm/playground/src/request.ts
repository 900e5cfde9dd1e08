// The request bar, and where a request goes as a list of hops.
import type { Followed, Graph, Range, RouteEnd, RouteFollowed, RouteHop, RouteOutcome, RouteTrace } from "coalmine";
import { button, byId, code, element } from "./dom";
import type { Jump } from "./graph";
import type { Asked } from "./protocol";

const input = (id: string) => byId<HTMLInputElement>(id);

export class RequestBar {
  constructor(changed: (asked: Asked | undefined) => void) {
    byId("request").addEventListener("submit", (event) => {
      event.preventDefault();
      const asked = this.asked;
      if (!asked) return input("to").focus();
      changed(asked);
    });
    byId("clear-request").addEventListener("click", () => {
      changed(undefined);
      input("to").focus();
    });
  }

  get asked(): Asked | undefined {
    const value = (id: string) => input(id).value.trim() || undefined;
    const to = value("to");
    return to === undefined ? undefined : { to, from: value("from"), cookie: value("cookie") };
  }

  set asked(asked: Asked | undefined) {
    input("to").value = asked?.to ?? "";
    input("from").value = asked?.from ?? "";
    input("cookie").value = asked?.cookie ?? "";
  }

  /** What the graph offers to type. */
  suggest(graph: Graph) {
    const option = (value: string) => element("option", { value });
    const sources = graph.nodes.flatMap(({ kind, resource }) => {
      if (!resource) return [];
      const name = `${resource.namespace ?? ""}/${resource.name}`;
      return kind === "gateway" ? [`gateway:${name}`] : kind === "workload" ? [`${resource.kind.toLowerCase()}/${name}`] : [];
    });
    const hosts = graph.nodes.filter(({ kind }) => kind === "host").flatMap(({ id, facts }) => addresses(id.replace(/^host\//, ""), facts));
    byId("sources").replaceChildren(...["gateway", ...new Set(sources)].map(option));
    byId("targets").replaceChildren(...[...new Set(hosts)].map(option));
  }
}

const SCHEMES: Record<string, string> = { HTTP: "http", HTTP2: "http", gRPC: "http", "gRPC-Web": "http", undeclared: "http", HTTPS: "https", TLS: "tls" };

/** What a host can be asked for: each of its ports, in what it speaks. `facts` are `:6379 Redis`. */
function addresses(host: string, facts: string[]): string[] {
  const ports = facts.flatMap((fact) => /^:(\d+) (.+)$/.exec(fact)?.slice(1, 3) ?? []);
  const found: string[] = [];
  for (let i = 0; i + 1 < ports.length; i += 2) {
    const [port, protocol] = [ports[i]!, ports[i + 1]!];
    if (protocol === "UDP") continue;
    const scheme = SCHEMES[protocol] ?? "tcp";
    const usual = { http: "80", https: "443" }[scheme];
    found.push(`${scheme}://${host}${port === usual ? "" : `:${port}`}${scheme.startsWith("http") ? "/" : ""}`);
  }
  return found.length > 0 ? found : [`http://${host}/`];
}

/** A message of the linter in the words of the request bar. */
export const inBar = (message: string) => message.replaceAll("with `from`", "in the field From");

interface Place {
  file: string | null;
  range: Range | null;
}

/** Every place that a request depends on. */
export function places(route: Followed): { file: string; line: number }[] {
  const found: { file: string; line: number }[] = [];
  const add = (place: Place | null | undefined) => {
    if (place?.file && place.range) found.push({ file: place.file, line: place.range.start.line });
  };
  const outcome = (one: RouteOutcome) => {
    for (const place of [one.destination, one.subset?.place, one.destinationRule, one.tls?.place]) add(place);
    if (one.end.kind === "failed") add(one.end.place);
    for (const endpoint of one.endpoints) {
      add(endpoint.workload);
      add(endpoint.policy);
    }
  };
  const trace = (one: Partial<RouteTrace>) => {
    for (const path of one.paths ?? []) {
      for (const hop of path.hops) {
        add(hop);
        hop.details.forEach(add);
      }
      [...path.outcomes, ...path.mirrors].forEach(outcome);
    }
  };
  const onwards = (calls: RouteFollowed[] | undefined) => {
    for (const call of calls ?? []) {
      add(call.place);
      trace(call);
      onwards(call.follow);
    }
  };
  trace(route);
  onwards(route.follow);
  return found;
}

function went(end: RouteEnd, outcome: RouteOutcome): string {
  switch (end.kind) {
    case "answered": {
      const pods = outcome.endpoints.filter((endpoint) => endpoint.end.kind === "answered" && endpoint.port !== null);
      return `answered by ${pods.map(({ workload }) => `\`${workload.resource.name}\``).join(", ")}`;
    }
    case "leaves":
      return `leaves: ${end.reason}`;
    case "redirect":
      return `${end.status} redirect to \`${end.location}\``;
    case "direct":
      return `${end.status} from the proxy itself`;
    case "failed":
      return `${end.status ?? "no answer"}${end.flag === "-" ? "" : ` ${end.flag}, ${end.flagMeans}`}: ${end.reason}`;
  }
}

/** One sentence for those who only hear it. */
export function verdict(route: Followed): string {
  if (!route.answered) return "Some of these requests get no answer";
  return isAnswered(route) ? "The request is answered" : "The request is answered, but a call that it leads to is not";
}

/** Whether it and all calls that it leads to get an answer. */
export function isAnswered({ answered, follow }: { answered?: boolean; follow?: RouteFollowed[] }): boolean {
  return answered !== false && (follow ?? []).every(isAnswered);
}

export function describe(route: Followed, jump: Jump): HTMLElement {
  const link = ({ file, range }: Place) =>
    file !== null && range !== null && button(`${file}:${range.start.line}`, () => jump(file, range), { class: "link place-link" });
  const hop = (one: RouteHop) =>
    element(
      "li",
      {},
      element("p", {}, element("strong", {}, one.resource ? `${one.resource.kind} ${one.resource.name}` : kindName(one.kind)), " ", ...code(one.summary), " ", link(one)),
      one.details.length > 0 && element("ul", {}, ...one.details.map((detail) => element("li", {}, `${detail.label} `, ...code(detail.text), " ", link(detail)))),
      (one.flags ?? []).length > 0 && element("ul", {}, ...(one.flags ?? []).map(({ flag, variant, reason }) => element("li", {}, ...code(`flag \`${flag}\` is \`${variant}\` (${reason})`)))),
    );
  const outcome = (one: RouteOutcome, of: number, isMirror: boolean) => {
    const share = one.share.percent !== of || isMirror ? `${+one.share.percent.toFixed(2)}% ` : "";
    const to = one.host === null ? "" : `${one.host}${one.port === null ? "" : `:${one.port}`}${one.subset ? `, subset ${one.subset.name}` : ""}`;
    const failed = one.end.kind === "failed";
    const endPlace = one.end.kind === "failed" ? one.end.place : null;
    return element(
      "li",
      { class: failed ? "failed" : "answered" },
      element("p", {}, element("strong", {}, `${share}${isMirror ? "is copied to " : "to "}`), element("code", {}, to), " ", one.destination && link(one.destination)),
      element(
        "ul",
        {},
        one.tls && element("li", {}, `sends ${tlsName(one.tls.sent)}: `, ...code(one.tls.why), " ", one.tls.place && link(one.tls.place)),
        ...one.endpoints.map((endpoint) =>
          element(
            "li",
            { class: endpoint.end.kind === "failed" ? "failed" : undefined },
            `pods of ${endpoint.workload.resource.kind} `,
            element("code", {}, endpoint.workload.resource.name),
            `${endpoint.version === null ? "" : `, version ${endpoint.version}`}${endpoint.port === null ? ", without such a port" : `, port ${endpoint.port}`}, accepts ${endpoint.accepts} `,
            link(endpoint.workload),
          ),
        ),
      ),
      element("p", { class: "end" }, ...code(went(one.end, one)), " ", endPlace && link(endPlace)),
    );
  };
  const trace = (one: RouteTrace): HTMLElement[] =>
    one.paths.flatMap((path) => [
      ...(one.paths.length > 1 ? [element("h3", {}, `${+path.share.percent.toFixed(2)}% of the visitors`)] : []),
      element("ol", { class: "hops" }, ...path.hops.map(hop), ...path.outcomes.map((end) => outcome(end, path.share.percent, false)), ...path.mirrors.map((end) => outcome(end, path.share.percent, true))),
    ]);
  const isTrace = (call: RouteFollowed): call is RouteFollowed & RouteTrace => call.paths !== undefined;
  const followed = (call: RouteFollowed): HTMLElement =>
    element(
      "section",
      { class: "followed" },
      element("h3", {}, `Then ${call.from.resource.name} calls ${call.request?.url ?? ""}`, " ", link(call.place)),
      element("p", { class: "muted" }, ...code(call.why)),
      ...(isTrace(call) ? trace(call) : [element("p", { class: "failed" }, call.error ?? "")]),
      ...call.follow.map(followed),
    );
  return element(
    "div",
    { class: "route" },
    element("h2", {}, `${route.request.method ?? ""} ${route.request.url}`.trim()),
    element("p", { class: "muted" }, `from ${route.request.from}${route.step === null ? "" : `, after step ${route.step}`}`),
    ...trace(route),
    ...(route.follow ?? []).map(followed),
    ...route.notes.map((note) => element("p", { class: "muted" }, "Note: ", ...code(note))),
  );
}

function kindName(kind: string): string {
  return { listener: "Client", filter: "Filter", virtualService: "VirtualService", delegate: "Delegate", service: "Service", unmatched: "No route" }[kind] ?? kind;
}

function tlsName(sent: string | null): string {
  return { plaintext: "plaintext", simple: "TLS", mutual: "mutual TLS of its own", istioMutual: "mTLS" }[sent ?? ""] ?? "TLS by pod";
}
