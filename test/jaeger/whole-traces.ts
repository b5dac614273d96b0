/** Whether a trace shows a write from the client's statement to its last copy. */
import type { JaegerTrace } from './jaeger-api.ts';

const nodesPerRegion = 6;

/** What is missing or too much, in words; none for a whole trace. `secondaries` are those that followed all the while. */
export function flaws(
  trace: JaegerTrace,
  primary: string,
  secondaries: readonly string[],
): readonly string[] {
  const names = trace.spans.map(({ operationName }) => operationName);
  const count = (wanted: (name: string) => boolean): number => names.filter(wanted).length;
  const expected: readonly (readonly [string, number, number])[] = [
    ['commit', 1, count((name) => name === 'commit')],
    ['append', nodesPerRegion, count((name) => /^append( n\d)?$/.test(name))],
    // At the gateway that the client asked, and at the primary's when that was another one.
    ['INSERT', 1 + count((name) => name === 'forward'), count((name) => name === 'INSERT')],
    ...secondaries.map((region) => {
      const name = `replicate ${primary}→${region}`;
      return [name, 1, count((other) => other === name)] as const;
    }),
  ];
  const wrong = expected
    .filter(([, wanted, seen]) => wanted !== seen)
    .map(([name, wanted, seen]) => `${seen} × ${name} instead of ${wanted}`);
  const ids = new Set(trace.spans.map(({ spanID }) => spanID));
  const roots = trace.spans.filter(
    ({ references }) => !(references ?? []).some(({ spanID }) => ids.has(spanID)),
  );
  if (roots.length !== 1) wrong.push(`${roots.length} spans without a parent`);
  const warned = trace.spans.flatMap(({ warnings }) => warnings ?? []);
  return [...wrong, ...warned];
}
