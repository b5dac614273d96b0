import { expect, it } from 'vitest';
import { reportOf } from '../../../regions/drills/core/report-of.ts';
import { drillSpans } from '../../../regions/drills/run/drill-trace.ts';
import { keptTrace } from '../../../telemetry/index.ts';
import { rowOf, tableAttributes, tableKinds } from '../../telemetry/span-tables.ts';
import { facts, iso } from './samples.ts';

it('makes of a drill one trace, whose spans and attributes stand in the tables of telemetry/README.md (T10)', () => {
  const given = facts();
  const context = keptTrace();
  const spans = drillSpans(reportOf(given, iso), context, given.beganAtMs);
  const rows = spans.map(({ name }) => rowOf({ name, service: 'sextant-drill' }));
  expect(rows).toEqual(['drill', ...spans.slice(1).map(() => 'drill <phase>')]);
  expect(spans.length).toBeGreaterThan(3);
  for (const { context: own, parentSpanId, kind, name } of spans) {
    expect(own.traceId).toBe(context.traceId);
    expect(parentSpanId).toBe(name === 'drill' ? null : context.spanId);
    expect(tableKinds.get('drill')).toEqual([kind]);
  }
  const keys = spans.flatMap(({ attributes }) => Object.keys(attributes));
  expect(keys.filter((key) => !tableAttributes.includes(key))).toEqual([]);
  const ofDrills = tableAttributes.filter((key) => key.startsWith('sextant.drill.'));
  expect(ofDrills.filter((key) => !keys.includes(key))).toEqual([]);
});
