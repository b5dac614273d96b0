/** A recovery as spans: one for the attempt and one for each of its phases, below the move that asked for it if one did. */
import { operationTrace } from '../../regions/core.ts';
import type { Epoch, Lsn, RecoveryResult, Runtime } from '../../storage/index.ts';
import {
  attributes,
  childContext,
  keptTrace,
  recoveryPhaseSpanName,
  type SpanFact,
  spanNames,
  type Telemetry,
} from '../../telemetry/index.ts';

export interface RecoveryTraceOptions {
  readonly cluster: string;
  /** What is recovered, as `namespaceOf` says. */
  readonly namespace: string;
  readonly epoch: Epoch;
  /** The move that it is part of; null when a writer was lost or began. */
  readonly operation: string | null;
  readonly telemetry: Pick<Telemetry, 'enabled' | 'recordMany'>;
  readonly runtime: Runtime;
}

/** `opening` follows the phases of the recovery itself: the engine opens on what was found. */
type Phase = 'sealing' | 'surveying' | 'replicating' | 'forking' | 'opening';

/** One attempt, from its beginning. What is told of it is recorded when it ends (T9). */
export class RecoveryTrace {
  private readonly options: RecoveryTraceOptions;
  private readonly startUs: number;
  private readonly startMs: number;
  private readonly phases: { readonly name: Phase; readonly atUs: number }[] = [];
  private vdl: Lsn | null = null;
  private isOver = false;

  constructor(options: RecoveryTraceOptions) {
    this.options = options;
    this.startUs = Math.round(options.runtime.wallUs());
    this.startMs = options.runtime.nowMs();
    this.phase('sealing');
  }

  phase(name: Phase): void {
    if (this.phases.at(-1)?.name !== name) this.phases.push({ name, atUs: this.nowUs });
  }

  /** The durable end was found; what is left is to open a writer there. */
  found(vdl: Lsn): void {
    this.vdl = vdl;
    this.phase('opening');
  }

  /** @param error why no writer was opened; null when one was. Only the first end counts. */
  ended(error: SpanFact['error'] | null): void {
    if (this.isOver) return;
    this.isOver = true;
    if (this.options.telemetry.enabled) this.options.telemetry.recordMany(this.spans(error ?? undefined));
  }

  private get nowUs(): number {
    return this.startUs + Math.round((this.options.runtime.nowMs() - this.startMs) * 1_000);
  }

  private spans(error: SpanFact['error']): readonly SpanFact[] {
    const { cluster, namespace, epoch, operation } = this.options;
    const move = operation === null ? null : operationTrace(cluster, operation);
    const context = move === null ? keptTrace() : childContext(move);
    const endUs = this.nowUs;
    const failure = error === undefined ? {} : { error };
    const about = {
      [attributes.dbNamespace]: namespace,
      [attributes.epoch]: epoch,
      ...(operation !== null && { [attributes.operationId]: operation }),
    };
    const root: SpanFact = {
      name: spanNames.recovery,
      kind: 'internal',
      context,
      parentSpanId: move?.spanId ?? null,
      startUs: this.startUs,
      endUs,
      attributes: { ...about, ...(this.vdl !== null && { [attributes.vdl]: this.vdl }) },
      ...failure,
    };
    const phases = this.phases.map(
      ({ name, atUs }, index): SpanFact => ({
        name: recoveryPhaseSpanName(name),
        kind: 'internal',
        context: childContext(context),
        parentSpanId: context.spanId,
        startUs: atUs,
        endUs: this.phases[index + 1]?.atUs ?? endUs,
        attributes: about,
        ...(index === this.phases.length - 1 && failure),
      }),
    );
    return [root, ...phases];
  }
}

/** Why a recovery brought no writer; null when it may. */
export function recoveryError(result: RecoveryResult): NonNullable<SpanFact['error']> | null {
  switch (result.kind) {
    case 'recovered':
      return null;
    case 'fenced':
      return { code: 'FENCED', message: `the nodes belong to epoch ${result.by}` };
    case 'failed':
      return { code: 'FAILED', message: result.reason };
    case 'timeout':
      return { code: 'TIMEOUT', message: `too few nodes answered while ${result.phase}` };
    case 'aborted':
      return { code: 'ABORTED', message: 'the reign ended before a writer was opened' };
  }
}
