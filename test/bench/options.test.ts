import { describe, expect, it } from 'vitest';
import { type BenchOptions, parseOptions } from './options.ts';

const home = '/bench';
function options(...argv: string[]): BenchOptions {
  const parsed = parseOptions(argv, home);
  if (parsed.kind !== 'run') throw new Error(`not a run: ${JSON.stringify(parsed)}`);
  return parsed.options;
}
function message(...argv: string[]): string {
  const parsed = parseOptions(argv, home);
  return parsed.kind === 'invalid' ? parsed.message : `not refused: ${parsed.kind}`;
}

describe('the command line of the benchmark', () => {
  it('measures everything but the soak, and writes nothing, unless told', () => {
    expect(options()).toMatchObject({
      peers: ['postgres', 'mariadb', 'etcd', 'rqlite'],
      scenarios: [
        ...['oltp', 'storage', 'tracing', 'encryption', 'lag', 'forward', 'growth'],
        ...['bulk', 'readers', 'postgres', 'moves'],
      ],
      out: null,
      rounds: 5,
      measureMs: 4_000,
    });
  });

  it('leaves the longer scenarios out with --quick, unless they are asked for', () => {
    expect(options('--quick').scenarios).toEqual([
      ...['oltp', 'storage', 'tracing', 'encryption', 'lag', 'forward', 'growth', 'moves'],
    ]);
    expect(options('--quick', '--only', 'bulk').scenarios).toEqual(['bulk']);
  });

  it('is shorter with --quick, and both yield to --rounds and --seconds', () => {
    expect(options('--quick')).toMatchObject({ quick: true, rounds: 2, measureMs: 800, warmMs: 250 });
    expect(options('--quick', '--rounds', '3', '--seconds', '0.5')).toMatchObject({
      rounds: 3,
      measureMs: 500,
    });
  });

  it('chooses peers and scenarios, in their own order', () => {
    expect(options('--peers', 'etcd, postgres').peers).toEqual(['postgres', 'etcd']);
    expect(options('--peers', 'none').peers).toEqual([]);
    expect(options('--only', 'soak,oltp').scenarios).toEqual(['oltp', 'soak']);
  });

  it('writes beside the program or where it is told, not both', () => {
    expect(options('--write').out).toBe(home);
    expect(options('--out', '/tmp/x').out).toBe('/tmp/x');
    expect(message('--write', '--out', '/tmp/x')).toContain('not both');
  });

  it.each([
    [['--peers', 'oracle'], 'oracle is none of postgres, mariadb, etcd, rqlite'],
    [['--only', 'oltp,speed'], 'speed is none of'],
    [['--rounds', '0'], '--rounds'],
    [['--rounds', 'many'], '--rounds'],
    [['--seconds', '-1'], '--seconds'],
    [['--fast'], '--fast'],
  ])('refuses %j and says why', (argv, why) => {
    expect(message(...argv)).toContain(why);
  });

  it('helps', () => {
    expect(parseOptions(['--help'], home).kind).toBe('help');
  });
});
