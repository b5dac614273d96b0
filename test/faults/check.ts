/** What a check is: a fault made on a deployment, and what others see of it. */
import type { Stage } from './stage.ts';

export interface Verdict {
  readonly pass: boolean;
  /** What was seen, one fact a line. */
  readonly seen: readonly string[];
}

export interface Check {
  readonly name: string;
  /** What must hold, in one sentence. */
  readonly promise: string;
  run(stage: Stage): Promise<Verdict>;
}

/** Collects facts, each with whether it is as promised. */
export class Findings {
  private readonly lines: string[] = [];
  private good = true;

  fact(line: string): void {
    this.lines.push(line);
  }

  expect(holds: boolean, line: string): void {
    this.lines.push(`${holds ? '' : '✗ '}${line}`);
    this.good &&= holds;
  }

  verdict(): Verdict {
    return { pass: this.good, seen: this.lines };
  }
}
