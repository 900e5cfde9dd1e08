// What the page and the linter's thread say to each other.
import type { Mistake } from "../shared/deployments";
import type { Fixed, Followed, Graph, Report, RulePage, TextFile } from "coalmine";

/** A request to follow, as the request bar has it. */
export interface Asked {
  from?: string;
  to: string;
  cookie?: string;
}

export interface Question {
  id: number;
  changed: TextFile[];
  removed: string[];
  /** The file whose deployment is drawn. */
  file: string;
  step?: string;
  request?: Asked;
  /** Also fix all that is safe. */
  fix?: boolean;
  /** Also explain this rule. */
  rule?: string;
}

export interface Result<T> {
  value?: T;
  error?: string;
}

export interface Answer {
  id: number;
  /** The module is gone; nothing else is here. */
  crash?: string;
  report?: Result<Report>;
  /** Settings that cannot be used; the report is by those from before. */
  mistakes?: Mistake[];
  steps?: string[];
  graph?: Result<Graph>;
  picture?: Result<string>;
  route?: Result<Followed>;
  fixed?: Result<Fixed>;
  rule?: Result<RulePage>;
}
