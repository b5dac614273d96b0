/** The style of a drill's report. Colours are variables, so that light, dark and print differ in one place each. */

const light = `--paper: #fbfbf9; --card: #ffffff; --ink: #1c2126; --soft: #5d6771; --rule: #dfe3e6;
  --good: #1a7f4b; --bad: #c0362c; --warn: #b7791f; --fault: #c0362c; --shade: rgba(192, 54, 44, .09);
  --c0: #0b7285; --c1: #d97706; --c2: #7a5195; --c3: #2f9e44; --c4: #c2255c; --c5: #495057;
  --quiet: #8fa3ad; --on: #ffffff;`;

const dark = `--paper: #14181b; --card: #1c2226; --ink: #e6eaec; --soft: #9aa7b0; --rule: #333c42;
  --good: #4cc38a; --bad: #ff7b6b; --warn: #e5b567; --fault: #ff7b6b; --shade: rgba(255, 123, 107, .12);
  --c0: #3bb4c9; --c1: #f0a13a; --c2: #b48ad0; --c3: #69c97c; --c4: #f06a9b; --c5: #aeb6bd;
  --quiet: #56666f; --on: #10151a;`;

const seriesOf = (property: string, prefix: string): string =>
  [0, 1, 2, 3, 4, 5].map((at) => `.${prefix}${at} { ${property}: var(--c${at}); }`).join('\n');

export const reportStyle = `:root { ${light} }
@media (prefers-color-scheme: dark) { :root { ${dark} } }
@media print { :root { ${light} --paper: #ffffff; } section { break-inside: avoid; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 32px 24px 48px; max-width: 1040px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
header { display: flex; gap: 20px; align-items: center; margin-bottom: 24px; }
header p { margin: 0; color: var(--soft); }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 2px; }
h1 span { color: var(--soft); font-weight: 400; }
h2 { font-size: 17px; margin: 0 0 12px; }
.mark { color: var(--on) !important; background: var(--bad); border-radius: 8px; padding: 10px 16px; font-weight: 700;
  letter-spacing: .04em; text-transform: uppercase; }
.mark.passed { background: var(--good); }
.mark.stopped { background: var(--warn); }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 18px 20px; margin: 16px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px; margin: 0; }
.tiles div { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 12px 16px; }
.tiles dt { color: var(--soft); font-size: 13px; }
.tiles dd { margin: 2px 0; font-size: 25px; font-weight: 650; font-variant-numeric: tabular-nums; }
.tiles p { margin: 0; color: var(--soft); font-size: 13px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; margin-top: 10px; }
td, th { text-align: left; vertical-align: top; padding: 4px 12px 4px 0; border-top: 1px solid var(--rule); overflow-wrap: anywhere; }
th { border-top: 0; color: var(--soft); font-weight: 500; }
.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.checks td:first-child { width: 26px; font-weight: 700; color: var(--good); }
.checks .broken td:first-child, .checks .broken td:nth-child(2), .bad { color: var(--bad); }
.checks td:nth-child(2) { width: 46%; }
.checks td:nth-child(3) { color: var(--soft); }
section p { margin: 0 0 6px; }
section ul.bad { margin: 0; padding-left: 20px; }
.note { color: var(--soft); font-size: 13px; margin: 8px 0 0; }
code { font: 12.5px/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 8px; padding: 0; font-size: 13px; color: var(--soft); }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; background: var(--quiet); }
.legend b { color: var(--ink); font-weight: 600; }
svg { display: block; width: 100%; height: auto; font-size: 11px; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .tick { fill: var(--soft); }
svg .on { fill: var(--on); font-size: 12px; font-weight: 600; }
svg .outage { fill: var(--shade); }
svg .fault { stroke: var(--fault); stroke-width: 1.5; stroke-dasharray: 4 3; }
svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
svg .phase { fill: var(--quiet); }
svg .steady { fill: var(--c0); }
svg .fault.phase, svg .detection { fill: var(--bad); stroke: none; }
svg .recovery { fill: var(--c1); }
svg .verification { fill: var(--c2); }
svg .failback { fill: var(--c3); }
svg .phase.failed, svg .phase.interrupted { stroke: var(--bad); stroke-width: 3; }
svg .acknowledged { fill: var(--c0); }
svg .unknown { fill: var(--c1); }
svg .refused { fill: var(--bad); }
i.steady { background: var(--c0) !important; }
i.fault, i.detection { background: var(--bad) !important; }
i.recovery { background: var(--c1) !important; }
i.verification { background: var(--c2) !important; }
i.failback { background: var(--c3) !important; }
i.acknowledged { background: var(--c0) !important; }
i.unknown { background: var(--c1) !important; }
i.refused { background: var(--bad) !important; }
${seriesOf('stroke', 'line.r')}
${seriesOf('fill', 'part.p')}
${seriesOf('background', 'legend i.r')}
${seriesOf('background', 'legend i.p')}
footer { color: var(--soft); font-size: 13px; margin-top: 20px; }
`;
