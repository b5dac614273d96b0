/** The report of a drill as one HTML file: no script, nothing from a network, readable on light, dark and real paper. */
import type { DrillReport } from '../drill-report.ts';
import { duration, endOf, escapeHtml, lagChart, phaseBar, rtoBar, throughputChart } from './report-charts.ts';
import { countsFromFault, notHeld, outcome, rehearsed } from './report-sentences.ts';
import { reportStyle } from './report-style.ts';

/** Rows of the table of lost writes; `report.json` has more. */
const lostShown = 200;

const bytes = (count: number): string =>
  count < 10_240
    ? `${count} B`
    : count < 10 * 2 ** 20
      ? `${(count / 1_024).toFixed(1)} KiB`
      : `${(count / 2 ** 20).toFixed(1)} MiB`;

export function reportHtml(report: DrillReport): string {
  const verdict = report.passed ? 'passed' : report.interrupted ? 'stopped' : 'failed';
  const title = `${report.kind} of ${report.region}: ${verdict}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sextant drill: ${escapeHtml(title)}</title>
<style>
${reportStyle}</style>
</head>
<body>
<header>
<p class="mark ${verdict}">${verdict}</p>
<div>
<h1>${escapeHtml(report.kind)} <span>${escapeHtml(report.region)}</span></h1>
<p>${escapeHtml(report.cluster)}, ${report.startedAt.replace('T', ' ').slice(0, 19)} UTC, ${report.request.load} writes/s from stock clients in ${report.regions.length} regions</p>
</div>
</header>
${verdictSection(report)}
${tiles(report)}
${section('What was asked, and what held', checks(report))}
${section('Course', `${phaseBar(report)}${phaseLegend(report)}${timeline(report)}`)}
${rtoSection(report)}
${section(
  'Replication lag',
  `${lagLegend(report)}${lagChart(report)}<p class="note">As the deployment says, four times a second. The dashed line is the fault, the shaded stretch the outage; a line ends where nobody could say.</p>`,
)}
${section(
  'Writes per second',
  `${legend([
    ['acknowledged', 'acknowledged'],
    ['unknown', 'unknown'],
    ['refused', 'refused'],
  ])}${throughputChart(report)}${failures(report)}`,
)}
${section('Data', data(report))}
${failbackSection(report)}
${section('Where and with what', about(report))}
<footer>Sextant drill ${escapeHtml(report.id)}, trace <code>${report.traceId}</code></footer>
</body>
</html>
`;
}

const section = (title: string, body: string): string => `<section>\n<h2>${title}</h2>\n${body}\n</section>`;

/** For somebody who reads no further. */
function verdictSection(report: DrillReport): string {
  const broken = notHeld(report);
  const list = broken.map((name) => `<li>${escapeHtml(name)}</li>`).join('');
  const many = report.checks.length + report.objectives.length;
  const red =
    broken.length === 0
      ? ''
      : `<p class="bad">${broken.length} of ${many} checks and objectives did not hold:</p><ul class="bad">${list}</ul>`;
  return section(
    'In short',
    `<p>${escapeHtml(rehearsed(report))}</p><p>${escapeHtml(outcome(report).join(' '))}</p>${red}`,
  );
}

function tiles(report: DrillReport): string {
  const { rtoMs, dataCompared, rpoCommits, rpoMs, rpoBytes, writeStallMs, failbackMs } = report;
  const { acknowledgedWrites } = report;
  const list: (readonly [string, string, string])[] = [
    [
      'Recovery time (RTO)',
      rtoMs === null ? 'none' : duration(rtoMs),
      rtoMs === null
        ? report.interrupted
          ? 'stopped before writes were back'
          : 'writes did not come back'
        : countsFromFault(report)
          ? 'fault to acknowledged write'
          : 'the longest pause',
    ],
    dataCompared
      ? ['Lost (RPO)', `${rpoCommits}`, `commits; ${duration(rpoMs)}, ${bytes(rpoBytes)} of redo`]
      : ['Lost (RPO)', 'unknown', 'the data could not be compared'],
    ['Longest pause', duration(writeStallMs), 'without an acknowledged write'],
    [
      'Writes',
      `${acknowledgedWrites}`,
      `acknowledged; ${report.refusedWrites} refused, ${report.unknownWrites} unknown`,
    ],
    [
      'Way back',
      failbackMs === null ? '–' : duration(failbackMs),
      failbackMs === null ? 'nothing had to move back' : `writes paused ${duration(report.failbackStallMs)}`,
    ],
  ];
  const cells = list.map(
    ([name, value, more]) => `<div><dt>${name}</dt><dd>${value}</dd><p>${more}</p></div>`,
  );
  return `<dl class="tiles">${cells.join('')}</dl>`;
}

function checks(report: DrillReport): string {
  const rows = [
    ...report.objectives.map(({ name, limit, actual, held }) => ({
      held,
      name: `objective: ${name} at most ${limit}`,
      detail: actual === null ? 'not measured' : `${actual}`,
    })),
    ...report.checks,
  ].map(
    ({ held, name, detail }) =>
      `<tr class="${held ? 'held' : 'broken'}"><td>${held ? '✓' : '✗'}</td><td>${escapeHtml(name)}</td><td>${escapeHtml(detail)}</td></tr>`,
  );
  const none =
    report.objectives.length === 0
      ? '<p class="note">No objective was set (--rto-ms, --rpo-commits).</p>'
      : '';
  return `<table class="checks"><tbody>${rows.join('')}</tbody></table>${none}`;
}

function timeline(report: DrillReport): string {
  const rows = report.timeline.map(
    ({ atMs, phase, event }) =>
      `<tr><td class="number">${(atMs / 1_000).toFixed(1)} s</td><td>${escapeHtml(phase)}</td><td>${escapeHtml(event)}</td></tr>`,
  );
  return `<table><tbody>${rows.join('')}</tbody></table>`;
}

function rtoSection(report: DrillReport): string {
  if (report.rtoPhases.length === 0) return '';
  const parts = report.rtoPhases.map(
    ({ name, ms }, index) =>
      `<li><i class="p${index % 6}"></i>${escapeHtml(name)} <b>${duration(ms)}</b></li>`,
  );
  return section(
    'What the recovery time was made of',
    `${rtoBar(report)}<ul class="legend">${parts.join('')}</ul>`,
  );
}

/** Every phase with its time, also those that are too short to be named in the bar. */
function phaseLegend({ phases }: DrillReport): string {
  const entries = phases.map(
    ({ name, startedAtMs, endedAtMs, outcome: how }) =>
      `<li><i class="${name}"></i>${name} <b>${duration(endedAtMs - startedAtMs)}</b>${how === 'passed' ? '' : ` <span class="bad">${how}</span>`}</li>`,
  );
  return `<ul class="legend">${entries.join('')}</ul>`;
}

/** Of the regions that had a lag: the primary has none. */
const lagLegend = ({ regions, lag }: DrillReport): string =>
  legend(
    regions.flatMap((name, index) =>
      lag.some(({ region, lagMs }) => region === name && lagMs !== null)
        ? [[name, `r${index % 6}`] as const]
        : [],
    ),
  );

const legend = (entries: readonly (readonly [string, string])[]): string =>
  `<ul class="legend">${entries.map(([name, style]) => `<li><i class="${style}"></i>${escapeHtml(name)}</li>`).join('')}</ul>`;

function failures(report: DrillReport): string {
  if (report.failures.length === 0) return '<p class="note">No write failed.</p>';
  const rows = report.failures.map(
    ({ code, outcome, count }) =>
      `<tr><td class="number">${count}</td><td><code>${escapeHtml(code)}</code></td><td>${outcome}</td></tr>`,
  );
  return `<table><thead><tr><th>writes</th><th>told to the client</th><th>counts as</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

function data(report: DrillReport): string {
  if (!report.dataCompared) return '<p>The data of the regions could not be held against the ledger.</p>';
  const { lost, lostWrites, reportedLost, regionsEqual, regions } = report;
  const equal = regionsEqual
    ? `Every row is the same in ${regions.length === 1 ? 'the one region' : `all ${regions.length} regions`}, checksum by checksum.`
    : 'The regions do not show the same rows, or one could not be read: see the checks above.';
  const beyond =
    reportedLost > lostWrites
      ? ` The deployment reports ${reportedLost}: those beyond are writes whose clients never heard, or of other clients.`
      : '';
  const losses =
    lostWrites === 0
      ? `<p>No acknowledged write was lost.${beyond}</p>`
      : `<p>${lostWrites} acknowledged writes are in no region.${beyond}</p>`;
  if (lost.length === 0) return `<p>${equal}</p>${losses}`;
  const rows = lost
    .slice(0, lostShown)
    .map(
      ({ id, region, acknowledgedAt, traceId, reported }) =>
        `<tr><td class="number">${id}</td><td>${escapeHtml(region)}</td><td>${acknowledgedAt}</td><td><code>${traceId}</code></td><td>${reported ? 'reported' : '<b class="bad">not reported</b>'}</td></tr>`,
    );
  const more =
    lost.length > lostShown ? `<p class="note">And ${lost.length - lostShown} more in report.json.</p>` : '';
  return `<p>${equal}</p>${losses}<table><thead><tr><th>write</th><th>client in</th><th>acknowledged</th><th>trace</th><th>sextant losses</th></tr></thead><tbody>${rows.join('')}</tbody></table>${more}`;
}

function failbackSection(report: DrillReport): string {
  if (report.failbackMs === null) return '';
  return section(
    'Moving back',
    `<p>${escapeHtml(report.primaryBefore)} was the primary again, and every region followed, ${duration(report.failbackMs)} after the switchover was asked for. ` +
      `The longest time without an acknowledged write was ${duration(report.failbackStallMs)}.</p>`,
  );
}

function about(report: DrillReport): string {
  const { latency, epochBefore, epochAfter } = report;
  const pairs: (readonly [string, string])[] = [
    ['began', report.startedAt],
    ['ended', `${report.endedAt}, after ${duration(endOf(report))}`],
    ['regions', report.regions.join(', ')],
    ['primary', `${report.primaryBefore} before, ${report.primaryAfter ?? 'unknown'} after`],
    ['epoch', `${epochBefore} before, ${epochAfter ?? 'unknown'} after`],
    [
      'write latency before the fault',
      `p50 ${duration(latency.steadyP50Ms)}, p99 ${duration(latency.steadyP99Ms)}`,
    ],
    ...Object.entries(report.versions),
    ...Object.entries(report.machine),
  ];
  const rows = pairs.map(
    ([name, value]) => `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(value)}</td></tr>`,
  );
  return `<table><tbody>${rows.join('')}</tbody></table>`;
}
