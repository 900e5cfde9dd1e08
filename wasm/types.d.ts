// Derived from the wire types by `cargo xtask docs`.

/** How bad a finding is. */
export type Severity = "error" | "warning" | "info";

/** A place in a file. */
export type Position = {
  /** 1-based. */
  line: number,
  /** 1-based, in Unicode scalar values; in UTF-16 code units where that was asked for. */
  column: number,
  /** In bytes of UTF-8; in UTF-16 code units where that was asked for. */
  offset: number,
};

/** From the first character to behind the last. */
export type Range = {
  /** The first character. */
  start: Position,
  /** Behind the last character. */
  end: Position,
};

/** A Kubernetes object. */
export type Resource = {
  /** `VirtualService`. */
  kind: string,
  /** The effective namespace; null for cluster-scoped kinds. */
  namespace: string | null,
  /** `metadata.name`. */
  name: string,
};

/** A second place that matters for a finding. */
export type Related = {
  /** The name of the file. */
  file: string,
  /** Where. */
  range: Range,
  /** What stands there. */
  message: string,
};

/** Replaces a part of a file. */
export type Edit = {
  /** The name of the file. */
  file: string,
  /** The offset of the first replaced character, in the unit of positions. */
  start: number,
  /** The offset behind the last; equal to `start` for an insertion. */
  end: number,
  /** The new text. */
  text: string,
};

/** A repair of one finding. */
export type Fix = {
  /** Whether it can be applied without a second look. */
  safety: "safe" | "unsafe",
  /** What it does, in the imperative. */
  title: string,
  /** Non-overlapping replacements, all applied or none. */
  edits: Array<Edit>,
};

/** One finding. */
export type Diagnostic = {
  /** The rule's id. */
  rule: string,
  /** How bad it is. */
  severity: Severity,
  /** What is wrong, in one sentence without a full stop. */
  message: string,
  /** What to do about it. */
  help: string | null,
  /** The name of the file. */
  file: string,
  /** The place to look at first. */
  range: Range,
  /** The object it belongs to. */
  resource: Resource | null,
  /** The istioctl (`IST…`) and Kiali (`KIA…`) codes that the rule covers. */
  upstream: Array<string>,
  /** Other places that matter. */
  related: Array<Related>,
  /** A repair, when there is one. */
  fix: Fix | null,
};

/** Findings over all deployments of a run. */
export type Summary = {
  /** Files read. */
  files: number,
  /** YAML documents that hold an object. */
  documents: number,
  /** Findings of severity error. */
  errors: number,
  /** Findings of severity warning. */
  warnings: number,
  /** Findings of severity info. */
  infos: number,
  /** Findings that a suppression hid. */
  suppressed: number,
  /** Findings that a baseline hid; absent without one. */
  baselined?: number,
};

/** Every finding of a run. */
export type Report = {
  /** 1. */
  version: number,
  /** By deployment, file and place. */
  diagnostics: Array<Diagnostic>,
  /** Numbers over all deployments. */
  summary: Summary,
};

/** One rule. */
export type Rule = {
  /** Kebab-case, never reused. */
  id: string,
  /** The severity of its findings unless the settings say otherwise. */
  severity: Severity,
  /** Where it belongs. */
  category: string,
  /** What it reports, in one sentence. */
  summary: string,
  /** The best repair it can offer. */
  fix: "none" | "safe" | "unsafe",
  /** The version that introduced it. */
  since: string,
  /** The istioctl (`IST…`) and Kiali (`KIA…`) codes it covers. */
  upstream: Array<string>,
  /** The rule's page. */
  url: string,
};

/** Every rule. */
export type RuleList = {
  /** 1. */
  version: number,
  /** In the order of their registry. */
  rules: Array<Rule>,
};

/** One rule by which requests take an edge. */
export type GraphWay = {
  /** The condition; empty when there is none. */
  when: string,
  /** Among several destinations. */
  weight: number | null,
  /** The port of the host, if it is certain. */
  port: number | null,
  /** The VirtualService; null for the plain Service. */
  by: Resource | null,
  /** The file that says so. */
  file: string | null,
  /** Where. */
  range: Range | null,
};

/** A caller, gateway, host, subset or workload. */
export type GraphNode = {
  /** Stable over states and formats. */
  id: string,
  /** What it stands for. */
  kind: "client" | "gateway" | "host" | "subset" | "workload",
  /** The short name. */
  name: string,
  /** Its namespace, if it has one. */
  namespace: string | null,
  /** One line each: servers, ports, labels, the version. */
  facts: Array<string>,
  /** The object that defines it. */
  resource: Resource | null,
  /** The version label; null for what is no workload or has none. */
  appVersion: string | null,
  /** Its place among the islands. */
  island: number | null,
  /** Other pods of its hosts are called and it is not. */
  idle: boolean,
  /** Something names it and the input does not define it. */
  missing: boolean,
  /** It leads out of the mesh. */
  external: boolean,
  /** `added`, `removed` or `changed` since the state before. */
  change: string | null,
  /** The file that defines it. */
  file: string | null,
  /** Where. */
  range: Range | null,
};

/** Who calls or selects whom. */
export type GraphEdge = {
  /** Stable over states and formats. */
  id: string,
  /** `route`, `mirror` or `selects`. */
  kind: string,
  /** The id of the caller. */
  from: string,
  /** The id of the called. */
  to: string,
  /** Conditions and weights in words. */
  label: string,
  /** The rules that lead here, in route order. */
  ways: Array<GraphWay>,
  /** What protects the calls; null when the input does not say. */
  tls: "mtls" | "tls" | "plaintext" | "broken" | null,
  /** Who decided about TLS, in words. */
  tlsReason: string | null,
  /** It leads from one island into another. */
  crosses: boolean,
  /** `added`, `removed` or `changed` since the state before. */
  change: string | null,
  /** The label in the state before, where it was another. */
  before: string | null,
  /** The file that says so. */
  file: string | null,
  /** Where. */
  range: Range | null,
};

/** Workloads that call each other and nobody else's versions. */
export type GraphIsland = {
  /** The version that most of them have. */
  name: string,
  /** Every version in it, in order. */
  versions: Array<string>,
  /** Its place in the palette. */
  color: number,
};

/** The routing picture of one state. */
export type Graph = {
  /** 1. */
  version: number,
  /** In the order in which requests meet them. */
  nodes: Array<GraphNode>,
  /** In route order. */
  edges: Array<GraphEdge>,
  /** Workloads that call each other and nobody else's versions. */
  islands: Array<GraphIsland>,
};

/** Where a request goes, in one state. */
export type Route = {
  /** 1. */
  version: number,
  /** The step of the rollout whose state was asked. */
  step: string | null,
  /** Present when the calls of the pods were followed. */
  follow?: Array<RouteFollowed>,
  /** As it was asked. */
  request: RouteRequest,
  /** Every share of it gets an answer. */
  answered: boolean,
  /** The ways it can take; several where a filter deals visitors to versions. */
  paths: Array<RoutePath>,
  /** What was assumed because the input cannot tell. */
  notes: Array<string>,
};

/** Where one request goes. */
export type RouteTrace = {
  /** As it was asked. */
  request: RouteRequest,
  /** Every share of it gets an answer. */
  answered: boolean,
  /** The ways it can take; several where a filter deals visitors to versions. */
  paths: Array<RoutePath>,
  /** What was assumed because the input cannot tell. */
  notes: Array<string>,
};

/** A call that pods make on behalf of a request. */
export type RouteCall = {
  /** The workload that calls. */
  from: Cause,
  /** How the input says so. */
  why: string,
  /** Where it says so. */
  place: Cause,
  /** Why it could not be followed. */
  error?: string,
  /** The calls that follow from it. */
  follow: Array<RouteFollowed>,
};

/** A call that was followed: with `error` where it could not be. */
export type RouteFollowed = RouteCall & Partial<RouteTrace>;

/** A request. */
export type RouteRequest = {
  /** Who sends it, as `--from` takes it. */
  from: string,
  /** Where it goes. */
  url: string,
  /** Null for bytes. */
  method: string | null,
  /** In order. */
  headers: Array<Header>,
};

/** A header. */
export type Header = {
  /** In lower case. */
  name: string,
  /** As sent. */
  value: string,
};

/** A share of requests, exactly. */
export type Share = {
  /** Decimal numbers as text: they can be larger than a double holds. */
  parts: string,
  /** The whole, as text. */
  total: string,
  /** Rounded. */
  percent: number,
};

/** One way to a route. */
export type RoutePath = {
  /** How many of such requests take it. */
  share: Share,
  /** What decided, in order. */
  hops: Array<RouteHop>,
  /** Where it ends. */
  outcomes: Array<RouteOutcome>,
  /** Copies. */
  mirrors: Array<RouteOutcome>,
};

/** One decision on the way. */
export type RouteHop = {
  /** `listener`, `filter`, `virtualService`, `delegate`, `service` or `unmatched`. */
  kind: string,
  /** What was decided, in a few words. */
  summary: string,
  /** Why, and what changes. */
  details: Array<RouteDetail>,
  /** What a filter decided. */
  flags?: Array<FlagDecision>,
  /** The name of the file. */
  file: string | null,
  /** Where. */
  range: Range | null,
  /** The object. */
  resource: Resource | null,
};

/** A place as findings have it: `file`, `range`, `resource`; all null when nothing in the text decides. */
export type Place = {
  /** The name of the file. */
  file: string | null,
  /** Where. */
  range: Range | null,
  /** The object. */
  resource: Resource | null,
};

/** One reason or change of a hop. */
export type RouteDetail = {
  /** `match`, `rewrite`, `set` … */
  label: string,
  /** In words. */
  text: string,
  /** The name of the file. */
  file: string | null,
  /** Where it is written. */
  range: Range | null,
};

/** What the filter decided about a flag. */
export type FlagDecision = {
  /** The flag. */
  flag: string,
  /** `stable` for none. */
  variant: string,
  /** As the filter's metrics have it. */
  reason: string,
};

/** A place in an object. */
export type Cause = {
  /** The name of the file. */
  file: string,
  /** Where. */
  range: Range,
  /** The object. */
  resource: Resource,
};

/** One place where a request can end. */
export type RouteOutcome = {
  /** How many end here. */
  share: Share,
  /** Envoy's name. */
  cluster: string | null,
  /** The fully qualified host. */
  host: string | null,
  /** As clients call it. */
  port: number | null,
  /** The subset. */
  subset: RouteSubset | null,
  /** Where the destination is written. */
  destination: Cause | null,
  /** What defines the host. */
  service: Cause | null,
  /** The one that wins for this client. */
  destinationRule: Cause | null,
  /** What the client sends. */
  tls: RouteTls | null,
  /** The request as it is sent. */
  forwarded: Forwarded,
  /** The pods behind it. */
  endpoints: Array<RouteEndpoint>,
  /** What comes of it. */
  end: RouteEnd,
};

/** A subset. */
export type RouteSubset = {
  /** Its name. */
  name: string,
  /** Where it is defined. */
  place: Cause | null,
};

/** What a client sends and why. */
export type RouteTls = {
  /** Null when it differs by pod or is not known. */
  sent: string | null,
  /** In words. */
  why: string,
  /** What decides. */
  place: Cause | null,
};

/** The request as the destination gets it. */
export type Forwarded = {
  /** Empty when it is not HTTP. */
  method: string,
  /** The host. */
  authority: string,
  /** With the query. */
  path: string,
  /** All others. */
  headers: Array<Header>,
};

/** The pods of one workload behind a destination. */
export type RouteEndpoint = {
  /** What makes the pods. */
  workload: Cause,
  /** Their `version` label. */
  version: string | null,
  /** The port they are called on. */
  port: number | null,
  /** What the client sends to them. */
  sent: string | null,
  /** A PeerAuthentication's mode, `application` or `unknown`. */
  accepts: string,
  /** What decides that. */
  policy: Cause | null,
  /** What comes of it. */
  end: RouteEnd,
};

/** What comes of a request. */
export type RouteEnd = { "kind": "answered" } | { "kind": "leaves", reason: string, } | { "kind": "redirect", status: number, location: string, } | { "kind": "direct", status: number, body: string | null, } | { "kind": "failed", flag: string, flagMeans: string, status: number | null, reason: string, place: Cause | null,
};

/** A header of a decision. */
export type DecisionHeader = {
  /** In lower case. */
  name: string,
  /** As sent. */
  value: string,
};

/** A configuration of the filter. */
export type DecisionConfig = {
  /** The name of the file. */
  file: string,
  /** `WasmPlugin ns/name`; null for a bare `pluginConfig`. */
  object: string | null,
  /** It has errors: the filter only removes tags. */
  inert: boolean,
};

/** A problem of a configuration. */
export type DecisionProblem = {
  /** How bad it is. */
  severity: "error" | "warning",
  /** The field. */
  path: string,
  /** What is wrong. */
  message: string,
  /** 1-based. */
  line: number | null,
  /** 1-based, in Unicode scalar values. */
  column: number | null,
};

/** What is decided about a flag. */
export type DecisionFlag = {
  /** The flag. */
  flag: string,
  /** `stable` for none. */
  variant: string,
  /** As the filter's metrics have it. */
  reason: string,
  /** The reason in words. */
  explanation: string,
};

/** What becomes of the request. */
export type DecisionRequest = {
  /** Headers that are set. */
  set: Array<DecisionHeader>,
  /** Headers that are removed. */
  remove: Array<string>,
  /** Tags that already are what they are to be. */
  keep: Array<DecisionHeader>,
  /** The `cookie` header as the upstream gets it; null for none. */
  cookie: string | null,
};

/** What becomes of the response. */
export type DecisionResponse = {
  /** `set-cookie` lines. */
  setCookie: Array<string>,
  /** Headers that are set. */
  set: Array<DecisionHeader>,
  /** What is added to `vary`; null for nothing. */
  vary: string | null,
  /** `private`, unless the upstream says so; null for nothing. */
  cacheControl: string | null,
};

/** What the filter decides about a request. */
export type Decision = {
  /** 1. */
  version: number,
  /** By which configuration. */
  config: DecisionConfig,
  /** What is wrong with that. */
  problems: Array<DecisionProblem>,
  /** Who is dealt with; null when nobody can be told. */
  subject: string | null,
  /** What is decided about each flag. */
  flags: Array<DecisionFlag>,
  /** The request to the upstream. */
  request: DecisionRequest,
  /** The response to the client. */
  response: DecisionResponse,
  /** Signatures are real: a key was given, or none is needed. */
  signed: boolean,
};

/** What columns and offsets count in results and options. */
export type Units = "scalars" | "utf16";

/** How to lint. */
export type LintOptions = {
  /** What columns and offsets count; `"scalars"` when it is left out. */
  units?: Units | null,
};

/** Which graph. */
export type GraphOptions = {
  /** A file or folder of the deployment that is meant; the first deployment when it is left out. */
  file?: string | null,
  /** The step of the rollout after which to look; the last that leaves something when it is left out. */
  step?: string | null,
  /** Compare with the step before. */
  changes?: boolean | null,
  /** The heading of a picture; the step's name when it is left out. */
  title?: string | null,
  /**
   * Ids of nodes and edges to draw strongly: `taken` of a route. Calls among them that nothing in the manifests
   * tells of are added to the graph.
   */
  highlight?: Array<string> | null,
  /** Ids of nodes and edges to draw as failing: `failed` of a route. They are added as those of `highlight` are. */
  failed?: Array<string> | null,
  /** What columns and offsets count; `"scalars"` when it is left out. */
  units?: Units | null,
};

/** A request to follow: as the options of `coalmine route`. */
export type RouteQuestion = {
  /** A file or folder of the deployment that is meant; the first deployment when it is left out. */
  file?: string | null,
  /** The step of the rollout after which to look; the last that leaves something when it is left out. */
  step?: string | null,
  /** Where it goes: `http://host[:port]/path`, `https://…`, `tcp://host:port` or `tls://host:port`. */
  to: string,
  /**
   * Who sends it: `gateway`, `gateway:ns/name` or `deployment/ns/name`; the only gateway that accepts it when it is
   * left out.
   */
  from?: string | null,
  /** `GET` when it is left out. */
  method?: string | null,
  /** Cookies, as the header has them. */
  cookie?: string | null,
  /** Further headers; `host` replaces the URL's. */
  headers?: Array<[string, string]> | null,
  /** The SPIFFE id of the client, for a filter in the mesh role. */
  principal?: string | null,
  /** Go on with the calls that the pods make which the request lands on. */
  follow?: boolean | null,
  /** Signing keys of the filter by the name of their environment variable. */
  keys?: { [key in string]: string } | null,
  /** What columns and offsets count; `"scalars"` when it is left out. */
  units?: Units | null,
};

/** A request to decide about: as the options of `coalmine decide`. */
export type DecideQuestion = {
  /** Which WasmPlugin, `ns/name` or `name`, where there are several. */
  plugin?: string | null,
  /** The namespace of objects that name none; `default` when it is left out. */
  namespace?: string | null,
  /** `GET` when it is left out. */
  method?: string | null,
  /** Path and query; `/` when it is left out. */
  path?: string | null,
  /** The `:authority`; `localhost` when it is left out. */
  host?: string | null,
  /** Cookies, as the header has them. */
  cookie?: string | null,
  /** Further headers. */
  headers?: Array<[string, string]> | null,
  /** The request carries this subject, in the way the configuration looks for first. */
  subject?: string | null,
  /** The SPIFFE id of the client, for a filter in the mesh role. */
  principal?: string | null,
  /** Signing keys by the name of their environment variable. Without them one is made up, and `signed` is false. */
  keys?: { [key in string]: string } | null,
};

/** Where a request goes: what `coalmine route --format json` prints, and the way in the graph. */
export type Followed = {
  /** Ids of the nodes and edges that it takes, in the graph that is asked for with them as `highlight`. */
  taken: Array<string>,
  /** Ids of the calls that get no answer, or not always, and of what only they lead to; none is in `taken`. */
  failed: Array<string>,
  /** 1. */
  version: number,
  /** The step of the rollout whose state was asked. */
  step: string | null,
  /** Present when the calls of the pods were followed. */
  follow?: Array<RouteFollowed>,
  /** As it was asked. */
  request: RouteRequest,
  /** Every share of it gets an answer. */
  answered: boolean,
  /** The ways it can take; several where a filter deals visitors to versions. */
  paths: Array<RoutePath>,
  /** What was assumed because the input cannot tell. */
  notes: Array<string>,
};

/** One end of a [`FindingRange`]. */
export type FindingOffset = {
  /** In the units of the options. */
  offset: number,
};

/** The place of a [`Finding`]. */
export type FindingRange = {
  /** The first character. */
  start: FindingOffset,
  /** Behind the last. */
  end: FindingOffset,
};

/** Which finding: a `Diagnostic` will do, its other fields are not looked at. */
export type Finding = {
  /** The rule's id. */
  rule: string,
  /** The name of the file. */
  file: string,
  /** What it says. */
  message: string,
  /** Where it is. */
  range: FindingRange,
};

/** What to fix. Without a finding every fix is tried until none is left. */
export type FixOptions = {
  /** Apply fixes that need a second look too. */
  unsafe?: boolean | null,
  /** Apply the fix of this finding only, safe or not. `units` are those it was made with. */
  finding?: Finding | null,
  /** What columns and offsets count; `"scalars"` when it is left out. */
  units?: Units | null,
};

/** A file with its text. */
export type TextFile = {
  /** The name of the file. */
  name: string,
  /** All of its text. */
  text: string,
};

/** What fixing did. The linter's own files are as they were: give it those that changed. */
export type Fixed = {
  /** 1. */
  version: number,
  /** How many fixes were applied. */
  applied: number,
  /** The files that changed, with their new texts. */
  files: Array<TextFile>,
};

/** A rule with its documentation. */
export type RulePage = {
  /** 1. */
  version: number,
  /** What the list of rules has about it. */
  rule: Rule,
  /** Its page in Markdown: *What it does*, *Why it matters*, *Example*, *Use instead*, *References*. */
  markdown: string,
};
