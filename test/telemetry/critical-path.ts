/**
 * What a client waited for, by the rules Jaeger's page follows when it draws a critical path (UI 2.18 to 2.20, read in its source):
 * a consumer below a producer, and all below it, is waited for by nobody; a child counts only as far as it lies within its
 * parent; and from the end of the root backwards, the span that ended last is what was waited for.
 */
import type { ReceivedSpan } from './otlp-receiver.ts';

export interface PathSection {
  readonly span: ReceivedSpan;
  readonly startUs: number;
  readonly endUs: number;
}

interface Within {
  readonly span: ReceivedSpan;
  readonly startUs: number;
  readonly endUs: number;
}

/** Sections of the critical path of one trace, the last first. Roots are spans whose parent is not among `trace`. */
export function criticalPath(trace: readonly ReceivedSpan[]): readonly PathSection[] {
  const known = new Set(trace.map(({ spanId }) => spanId));
  const roots = trace.filter(({ parentSpanId }) => parentSpanId === null || !known.has(parentSpanId));
  const sections: PathSection[] = [];
  for (const root of roots) walk(trace, { span: root, startUs: root.startUs, endUs: root.endUs }, sections);
  return sections;
}

function walk(trace: readonly ReceivedSpan[], at: Within, sections: PathSection[]): void {
  const children = trace.flatMap((span) => awaitedWithin(span, at));
  let until = at.endUs;
  for (let isFirst = true; ; isFirst = false) {
    const ended = children.filter(({ endUs }) => isFirst || endUs < until);
    const [first] = ended;
    if (first === undefined) break;
    const latest = ended.reduce((found, child) => (child.endUs > found.endUs ? child : found), first);
    if (latest.endUs < until) sections.push({ span: at.span, startUs: latest.endUs, endUs: until });
    walk(trace, latest, sections);
    until = latest.startUs;
  }
  if (at.startUs < until) sections.push({ span: at.span, startUs: at.startUs, endUs: until });
}

/** The part of a child that lies within its parent; nothing when it is no child of it, or not waited for. */
function awaitedWithin(span: ReceivedSpan, parent: Within): readonly Within[] {
  if (span.parentSpanId !== parent.span.spanId) return [];
  if (parent.span.kind === 'producer' && span.kind === 'consumer') return [];
  if (span.startUs >= parent.endUs || span.endUs < parent.startUs) return [];
  return [
    {
      span,
      startUs: Math.max(span.startUs, parent.startUs),
      endUs: Math.min(span.endUs, parent.endUs),
    },
  ];
}
