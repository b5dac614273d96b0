import { describe, expect, it } from 'vitest';
import {
  asJson,
  asMarkdown,
  asSvg,
  asText,
  type Goal,
  goalHolds,
  markdownTable,
  plainTable,
  type Report,
} from './report.ts';
import { parsePage } from './report-file.ts';

const table = {
  title: 'Speed',
  head: ['system', 'tx/s'],
  rows: [
    ['a|b', '12'],
    ['long name', '3'],
  ],
};
const goal: Goal = { text: 'twice as fast', value: 2.345, bound: 2, better: 'atLeast' };
const report: Report = {
  provenance: {
    date: '2026-11-21 12:00',
    commit: 'abc1234',
    command: 'npm run bench',
    machine: '2 cores',
    node: 'v24',
  },
  systems: [{ title: 'Sextant', version: '1', durability: 'four of six' }],
  missing: ['oltp: etcd: no `etcd`'],
  ratios: { postgresQuorum128: 2.5 },
  goals: [goal, { text: 'lag', value: null, bound: 1, better: 'atMost' }],
  sections: [
    {
      name: 'oltp',
      title: 'Transactions',
      notes: ['a note'],
      tables: [table],
      panels: [
        {
          title: 'Speed <fast>',
          unit: 'tx/s',
          series: ['Sextant', 'other'],
          groups: [
            { label: '1 client', values: [1_000, 500] },
            { label: '16 clients', values: [null, 250] },
          ],
        },
      ],
      data: { cells: [1, 2] },
    },
  ],
};

describe('RESULTS.md', () => {
  it('has one table for each question where a scenario has more to tell, and leads to the history', () => {
    const [section] = report.sections;
    if (section === undefined) throw new Error('a section');
    const answers = [{ ...table, title: 'How fast?' }];
    const short = asMarkdown({ ...report, sections: [{ ...section, answers }] }, 'results.svg');
    expect(short).toContain('**How fast?**');
    expect(short).not.toContain('**Speed**');
    expect(short).toContain('[HISTORY.md](HISTORY.md)');
    expect(asMarkdown(report, 'results.svg')).toContain('**Speed**');
  });

  it('is the same when it is written from the JSON of the run', () => {
    const page = parsePage(asJson(report), 'results.json');
    expect(asMarkdown(page, 'results.svg')).toBe(asMarkdown(report, 'results.svg'));
    expect(asSvg(page)).toBe(asSvg(report));
  });

  it('is not written from anything else', () => {
    expect(() => parsePage('{"goals": []}', 'old.json')).toThrow(/^old\.json is not the results\.json/);
    expect(() => parsePage('# Results', 'RESULTS.md')).toThrow(/^RESULTS\.md is no JSON/);
  });
});

describe('the report', () => {
  it('writes tables that Markdown reads, whatever is in a cell', () => {
    expect(markdownTable(table).split('\n')).toEqual([
      '**Speed**',
      '',
      '| system | tx/s |',
      '| --- | ---: |',
      '| a\\|b | 12 |',
      '| long name | 3 |',
    ]);
  });

  it('aligns tables for a terminal', () => {
    expect(plainTable(table).split('\n')).toEqual([
      'Speed',
      '  system     tx/s',
      '  a|b          12',
      '  long name     3',
    ]);
  });

  it('judges goals in both directions, and not what was not measured', () => {
    expect(goalHolds(goal)).toBe(true);
    expect(goalHolds({ ...goal, value: 1.9 })).toBe(false);
    expect(goalHolds({ ...goal, better: 'atMost' })).toBe(false);
    expect(goalHolds({ ...goal, value: null })).toBeNull();
  });

  it('says where figures come from, what is missing and which goals are met', () => {
    const text = asMarkdown(report, 'results.svg');
    for (const part of [
      'abc1234',
      'npm run bench',
      '2 cores',
      'four of six',
      'no `etcd`',
      '![chart](results.svg)',
      'a note',
    ])
      expect(text).toContain(part);
    expect(text).toContain('| twice as fast | 2.35 | ≥ 2 | yes |');
    expect(text).toContain('| lag | – | ≤ 1 | not measured |');
    expect(asText(report)).toContain('not measured: oltp: etcd');
  });

  it('gives programs the ratios, the goals with a verdict, and the data by scenario', () => {
    expect(JSON.parse(asJson(report))).toMatchObject({
      ratios: { postgresQuorum128: 2.5 },
      goals: [{ met: true }, { met: null }],
      scenarios: { oltp: { cells: [1, 2] } },
    });
  });

  it('draws bars in proportion, escapes text, and marks what is missing', () => {
    const svg = asSvg(report);
    expect(svg).toContain('Speed &lt;fast&gt;');
    const bars = [
      ...svg.matchAll(
        /<rect x="[\d.]+" y="[\d.]+" width="[\d.]+" height="([\d.]+)" fill="#[0-9a-f]+"\/><text x="[\d.]+" y="[\d.]+" text-anchor/g,
      ),
    ];
    const heights = bars.map((match) => Number(match[1]));
    expect(heights).toHaveLength(3);
    expect((heights[1] ?? 0) / (heights[0] ?? 1)).toBeCloseTo(0.5, 2);
    expect((heights[2] ?? 0) / (heights[0] ?? 1)).toBeCloseTo(0.25, 1);
    expect(svg).toContain('>–</text>');
    expect([...svg.matchAll(/<text/g)]).toHaveLength([...svg.matchAll(/<\/text>/g)].length);
  });
});
