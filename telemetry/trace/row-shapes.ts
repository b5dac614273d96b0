/** The shapes of requests, commits and appends. Each is made once for all spans that look like it. */

import type { AttributeValue } from './facts.ts';
import { type AttributeKey, appendSpanName, attributes, spanNames } from './names.ts';
import type { AppendRow, ServerRow, SpanShape } from './span-rows.ts';

type Attribute = readonly [key: AttributeKey, value: AttributeValue];

const rememberedStatements = 2_048;

const unknownCommit = 'the reign ended before four storage nodes had confirmed the commit';

/** Below it goes on what nobody waited for, of the kind consumer (T12). */
function commitShape(failure: string | null, own: readonly Attribute[]): SpanShape {
  return {
    name: spanNames.commit,
    kind: 'producer',
    attributes: [[attributes.branch, 'main'], ...own],
    numbers: [attributes.lsn, attributes.epoch, attributes.redoBytes],
    failure,
  };
}

export const commitShapes = {
  durable: commitShape(null, []),
  unknown: commitShape(unknownCommit, [[attributes.errorType, 'SEXTANT_COMMIT_UNKNOWN']]),
} as const;

/** Shapes of `append` spans, remembered by node. */
export class AppendShapes {
  private readonly byNode = new Map<
    string,
    { readonly az: string; readonly shapes: (SpanShape | undefined)[] }
  >();

  of(row: AppendRow): SpanShape {
    const { node, az, quorum, acked, awaited } = row;
    let known = this.byNode.get(node);
    if (known === undefined || known.az !== az) {
      known = { az, shapes: [] };
      this.byNode.set(node, known);
    }
    const which = (quorum ? 1 : 0) | (acked ? 2 : 0) | (awaited ? 4 : 0);
    const shape = known.shapes[which] ?? appendShape(row);
    known.shapes[which] = shape;
    return shape;
  }
}

function appendShape({ node, az, quorum, acked, awaited }: AppendRow): SpanShape {
  return {
    name: appendSpanName(node),
    kind: awaited ? 'client' : 'consumer',
    attributes: [
      [attributes.node, node],
      [attributes.cloudAvailabilityZone, az],
      ...(quorum ? ([[attributes.quorum, true]] as const) : []),
      ...(acked ? [] : ([[attributes.errorType, 'SEXTANT_NOT_ACKNOWLEDGED']] as const)),
    ],
    numbers: [],
    failure: acked ? null : `${node} had not confirmed it when its span was made`,
  };
}

type Statement = Pick<ServerRow, 'name' | 'system' | 'namespace' | 'verb' | 'batchSize' | 'consistency'>;

/** Shapes of requests, remembered by the text of their statement. */
export class ServerShapes {
  private readonly byText = new Map<string, { readonly of: Statement; readonly shape: SpanShape }>();

  of(row: ServerRow): SpanShape {
    // What failed differs each time.
    if (row.error !== null) return serverShape(row);
    const known = this.byText.get(row.text);
    if (known !== undefined && isLike(known.of, row)) return known.shape;
    const { name, system, namespace, verb, batchSize, consistency } = row;
    const shape = serverShape(row);
    if (this.byText.size >= rememberedStatements) this.byText.clear();
    this.byText.set(row.text, { of: { name, system, namespace, verb, batchSize, consistency }, shape });
    return shape;
  }
}

const isLike = (a: Statement, b: Statement): boolean =>
  a.name === b.name &&
  a.system === b.system &&
  a.namespace === b.namespace &&
  a.verb === b.verb &&
  a.batchSize === b.batchSize &&
  a.consistency === b.consistency;

function serverShape(row: ServerRow): SpanShape {
  const { name, system, namespace, verb, text, batchSize, consistency, error } = row;
  const own: Attribute[] = [
    [attributes.dbSystemName, system],
    [attributes.dbNamespace, namespace],
    [attributes.dbOperationName, verb],
    [attributes.dbQueryText, text],
  ];
  if (batchSize !== null) own.push([attributes.dbOperationBatchSize, batchSize]);
  if (consistency !== null) own.push([attributes.consistency, consistency]);
  if (error !== null)
    own.push(
      [attributes.dbResponseStatusCode, error.status ?? error.code],
      [attributes.errorType, error.code],
    );
  return { name, kind: 'server', attributes: own, numbers: [], failure: error?.message ?? null };
}
