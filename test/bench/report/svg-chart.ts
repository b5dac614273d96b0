/** Grouped bars as SVG: several panels below each other, one colour for a system throughout. */
import { figure } from '../measure/stats.ts';

export interface ChartPanel {
  readonly title: string;
  readonly unit: string;
  /** Names of the bars in each group, in order. */
  readonly series: readonly string[];
  readonly groups: readonly { readonly label: string; readonly values: readonly (number | null)[] }[];
}

const width = 860;
const plotLeft = 20;
const plotHeight = 150;
const titleHeight = 46;
const labelHeight = 26;
const panelHeight = titleHeight + plotHeight + labelHeight + 14;
const barGap = 2;
const colours = ['#0b7285', '#66a5ad', '#a5d8dd', '#c1440e', '#d99a2b', '#7a5195', '#6c757d'] as const;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** A number with at most one decimal: coordinates need no more. */
const at = (value: number): string => String(Math.round(value * 10) / 10);

export function barChart(panels: readonly ChartPanel[]): string {
  const names = [...new Set(panels.flatMap(({ series }) => series))];
  const colourOf = (name: string): string => colours[names.indexOf(name) % colours.length] ?? colours[0];
  const height = panels.length * panelHeight + 10;
  const body = panels.map((panel, index) => panelSvg(panel, index * panelHeight, colourOf)).join('\n');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    body,
    '</svg>\n',
  ].join('\n');
}

function panelSvg(panel: ChartPanel, top: number, colourOf: (name: string) => string): string {
  const values = panel.groups.flatMap((group) => group.values).filter((value) => value !== null);
  const largest = Math.max(...values, 0) || 1;
  const base = top + titleHeight + plotHeight;
  const groupWidth = (width - 2 * plotLeft) / Math.max(1, panel.groups.length);
  const barWidth = Math.min(60, (groupWidth - 24) / Math.max(1, panel.series.length) - barGap);
  const lines = [
    `<text x="${plotLeft}" y="${top + 18}" font-size="14" font-weight="600">${escaped(panel.title)} <tspan font-weight="400" fill="#555">(${escaped(panel.unit)})</tspan></text>`,
  ];
  let legendX = plotLeft;
  for (const name of panel.series) {
    lines.push(
      `<rect x="${at(legendX)}" y="${top + 26}" width="10" height="10" fill="${colourOf(name)}"/><text x="${at(legendX + 14)}" y="${top + 35}" fill="#333">${escaped(name)}</text>`,
    );
    legendX += 24 + 6.3 * name.length;
  }
  panel.groups.forEach((group, index) => {
    const used = panel.series.length * (barWidth + barGap) - barGap;
    const left = plotLeft + index * groupWidth + (groupWidth - used) / 2;
    panel.series.forEach((name, bar) => {
      const value = group.values[bar] ?? null;
      const x = left + bar * (barWidth + barGap);
      const middle = at(x + barWidth / 2);
      if (value === null) {
        lines.push(`<text x="${middle}" y="${base - 4}" text-anchor="middle" fill="#999">–</text>`);
        return;
      }
      // Room for the figure above the tallest bar.
      const tall = Math.max(1, (value / largest) * (plotHeight - 16));
      lines.push(
        `<rect x="${at(x)}" y="${at(base - tall)}" width="${at(barWidth)}" height="${at(tall)}" fill="${colourOf(name)}"/><text x="${middle}" y="${at(base - tall - 3)}" text-anchor="middle" font-size="10" fill="#333">${escaped(figure(value))}</text>`,
      );
    });
    lines.push(
      `<text x="${at(plotLeft + (index + 0.5) * groupWidth)}" y="${base + 17}" text-anchor="middle" fill="#333">${escaped(group.label)}</text>`,
    );
  });
  lines.push(`<line x1="${plotLeft}" y1="${base}" x2="${width - plotLeft}" y2="${base}" stroke="#999"/>`);
  return lines.join('\n');
}
