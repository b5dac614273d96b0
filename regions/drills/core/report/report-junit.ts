/** The report of a drill as JUnit XML: one test case for each check and each objective, as CI systems show them. */
import type { DrillReport } from '../drill-report.ts';

/** Characters that XML has no way to write are left out. */
const escaped = (text: string): string =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: XML 1.0 forbids exactly these.
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');

export function reportJunit(report: DrillReport): string {
  const cases = [
    ...report.objectives.map(({ name, limit, actual, held }) => ({
      name: `${name} at most ${limit}`,
      held,
      detail: actual === null ? 'not measured' : `${name} ${actual}`,
    })),
    ...report.checks,
  ];
  const failures = cases.filter(({ held }) => !held).length;
  const seconds = Math.max(0, ...report.phases.map(({ endedAtMs }) => endedAtMs)) / 1_000;
  const suite = `sextant drill ${report.kind}`;
  const lines = cases.map(({ name, held, detail }) => {
    const open = `    <testcase classname="${escaped(suite)}" name="${escaped(name)}"`;
    return held
      ? `${open}><system-out>${escaped(detail)}</system-out></testcase>`
      : `${open}><failure message="${escaped(detail)}"/></testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="sextant drills" tests="${cases.length}" failures="${failures}" time="${seconds}">`,
    `  <testsuite name="${escaped(suite)}" tests="${cases.length}" failures="${failures}" errors="0" skipped="0" time="${seconds}" timestamp="${escaped(report.startedAt)}">`,
    ...lines,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}
