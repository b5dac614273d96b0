/**
 * The pictures of a drill's report, as inline SVG. Colours are variables of the page, so that the same picture is read on light
 * and on dark paper. Every mark has a title: what a pointer rests on says its figure.
 */
import type { DrillReport } from '../drill-report.ts';

export const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** `1234` as `1.23 s`. */
export function duration(ms: number | null): string {
  if (ms === null) return '–';
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 120_000 ? `${(ms / 1_000).toFixed(2)} s` : `${(ms / 60_000).toFixed(1)} min`;
}

const width = 960;
const left = 64;
const right = 16;
const plotWidth = width - left - right;
/** Coordinates need no more. */
const at = (value: number): string => String(Math.round(value * 10) / 10);

/** The end of a drill, milliseconds since its beginning. */
export const endOf = (report: DrillReport): number =>
  Math.max(1, ...report.phases.map(({ endedAtMs }) => endedAtMs), ...report.timeline.map(({ atMs }) => atMs));

const xOf = (ms: number, endMs: number): number => left + (ms / endMs) * plotWidth;

/** Steps of 1, 2 or 5 times a power of ten, at most `count` of them up to `max`. */
export function ticks(max: number, count: number): readonly number[] {
  if (max <= 0) return [0];
  const rough = max / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough) ?? rough;
  const found: number[] = [];
  for (let value = 0; value <= max * 1.000_001; value += step) found.push(Math.round(value * 1e6) / 1e6);
  return found;
}

function svg(height: number, label: string, body: readonly string[]): string {
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(label)}">\n${body.join('\n')}\n</svg>`;
}

function timeAxis(endMs: number, top: number, bottom: number): readonly string[] {
  return ticks(endMs / 1_000, 10).map((seconds) => {
    const x = at(xOf(seconds * 1_000, endMs));
    return `<line class="grid" x1="${x}" y1="${top}" x2="${x}" y2="${bottom}"/><text class="tick" x="${x}" y="${bottom + 14}" text-anchor="middle">${seconds} s</text>`;
  });
}

function valueAxis(
  max: number,
  top: number,
  bottom: number,
  label: (value: number) => string,
): readonly string[] {
  return ticks(max, 4).map((value) => {
    const y = at(bottom - (value / max) * (bottom - top));
    return `<line class="grid" x1="${left}" y1="${y}" x2="${width - right}" y2="${y}"/><text class="tick" x="${left - 6}" y="${Number(y) + 4}" text-anchor="end">${label(value)}</text>`;
  });
}

/** The fault as a line, and the outage as a stretch, behind a chart. A pause may begin some time after the fault. */
function outage(report: DrillReport, top: number, bottom: number): readonly string[] {
  const fault = report.phases.find(({ name }) => name === 'fault');
  if (fault === undefined) return [];
  const endMs = endOf(report);
  const struck = at(xOf(fault.startedAtMs, endMs));
  const { fromMs, toMs } = report.outage ?? {
    fromMs: fault.startedAtMs,
    toMs: report.rtoMs === null ? null : fault.startedAtMs + report.rtoMs,
  };
  const from = xOf(fromMs, endMs);
  const back = xOf(Math.min(endMs, toMs ?? endMs), endMs);
  return [
    `<rect class="outage" x="${at(from)}" y="${top}" width="${at(Math.max(1, back - from))}" height="${bottom - top}"/>`,
    `<line class="fault" x1="${struck}" y1="${top}" x2="${struck}" y2="${bottom}"/>`,
  ];
}

/** The phases as a bar; `phaseLegend` names those that are too short for their name. */
export function phaseBar(report: DrillReport): string {
  const endMs = endOf(report);
  const bars = report.phases.map(({ name, startedAtMs, endedAtMs, outcome }) => {
    const x = xOf(startedAtMs, endMs);
    const wide = Math.max(1.5, xOf(endedAtMs, endMs) - x);
    const text =
      wide > 8 * name.length
        ? `<text class="on" x="${at(x + wide / 2)}" y="29" text-anchor="middle">${name}</text>`
        : '';
    return `<g><title>${name}: ${duration(endedAtMs - startedAtMs)}, ${outcome}</title><rect class="phase ${name} ${outcome}" x="${at(x)}" y="10" width="${at(wide)}" height="30" rx="3"/>${text}</g>`;
  });
  return svg(66, 'phases of the drill', [...timeAxis(endMs, 40, 46), ...bars]);
}

/** How far behind each secondary was. Where nobody could say, the line has a gap. */
export function lagChart(report: DrillReport): string {
  const endMs = endOf(report);
  const [top, bottom] = [12, 172];
  const known = report.lag.map(({ lagMs }) => lagMs).filter((ms) => ms !== null);
  const max = Math.max(10, ...known) * 1.05;
  const lines = report.regions.map((region, index) => {
    let path = '';
    let pen = 'M';
    for (const { atMs, region: name, lagMs } of report.lag) {
      if (name !== region) continue;
      if (lagMs === null) {
        pen = 'M';
        continue;
      }
      path += `${pen}${at(xOf(atMs, endMs))} ${at(bottom - (lagMs / max) * (bottom - top))}`;
      pen = 'L';
    }
    return path === ''
      ? ''
      : `<path class="line r${index % 6}" d="${path}"><title>lag of ${escapeHtml(region)}</title></path>`;
  });
  return svg(196, 'replication lag of every region over time', [
    ...outage(report, top, bottom),
    ...timeAxis(endMs, top, bottom),
    ...valueAxis(max, top, bottom, (ms) => (max >= 2_000 ? `${ms / 1_000} s` : `${ms} ms`)),
    ...lines,
  ]);
}

/** Writes that ended in each second, by how they ended. */
export function throughputChart(report: DrillReport): string {
  const endMs = endOf(report);
  const [top, bottom] = [12, 152];
  const sums = report.throughput.map(
    ({ acknowledged, refused, unknown }) => acknowledged + refused + unknown,
  );
  const max = Math.max(10, ...sums) * 1.05;
  const bars = report.throughput.map((bucket) => {
    const x = xOf(bucket.atMs, endMs);
    const wide = Math.max(1, (1_000 / endMs) * plotWidth - 1);
    let y = bottom;
    const parts = (['acknowledged', 'unknown', 'refused'] as const).map((outcome) => {
      const tall = (bucket[outcome] / max) * (bottom - top);
      y -= tall;
      return tall === 0
        ? ''
        : `<rect class="${outcome}" x="${at(x)}" y="${at(y)}" width="${at(wide)}" height="${at(tall)}"/>`;
    });
    const { acknowledged, refused, unknown, atMs } = bucket;
    return `<g><title>second ${atMs / 1_000}: ${acknowledged} acknowledged, ${refused} refused, ${unknown} unknown</title>${parts.join('')}</g>`;
  });
  return svg(176, 'writes per second by how they ended', [
    ...outage(report, top, bottom),
    ...timeAxis(endMs, top, bottom),
    ...valueAxis(max, top, bottom, String),
    ...bars,
  ]);
}

/** What the time to recover was made of, as one bar to scale with a legend. Empty when it has no parts. */
export function rtoBar(report: DrillReport): string {
  const total = report.rtoPhases.reduce((sum, { ms }) => sum + ms, 0);
  if (total === 0) return '';
  let x = left;
  const bars = report.rtoPhases.map(({ name, ms }, index) => {
    const wide = (ms / total) * plotWidth;
    const label =
      wide > 8 * name.length
        ? `<text class="on" x="${at(x + wide / 2)}" y="27" text-anchor="middle">${escapeHtml(name)}</text>`
        : '';
    const bar = `<g><title>${escapeHtml(name)}: ${duration(ms)}</title><rect class="part p${index % 6}" x="${at(x)}" y="8" width="${at(Math.max(1, wide))}" height="30"/>${label}</g>`;
    x += wide;
    return bar;
  });
  return svg(44, 'parts of the recovery time', bars);
}
