import { beforeEach, describe, expect, it } from 'vitest';
import { drawOptions } from '../options.ts';
import { makeWorld } from '../testing.ts';
import { Fleet } from '../world/fleet.ts';
import type { Host, Process, Runtime } from './process.ts';

type ToyRuntime = Runtime<string, string, string>;

describe('host', () => {
  let fleet: Fleet<string, string, string>;
  let host: Host<string, string, string>;
  let log: string[];
  let runtimes: ToyRuntime[];

  const boot = (runtime: ToyRuntime): Process<string, string, string> => {
    runtimes.push(runtime);
    const me = runtime.incarnation;
    return {
      onStart: () => log.push(`${me} start`),
      onTimer: (name) => {
        log.push(`${me} timer ${name}`);
        if (name === 'clearing') runtime.clearTimer('cleared');
      },
      onDisk: (completion) => log.push(`${me} disk ${completion.token}`),
      onLink: () => {},
      onMessage: (_from, message) => log.push(`${me} message ${message}`),
      onCrash: (kind) => log.push(`${me} crash ${kind}`),
    };
  };
  const runtime = (): ToyRuntime => {
    const last = runtimes.at(-1);
    if (last === undefined) throw new Error('not started');
    return last;
  };

  beforeEach(() => {
    fleet = new Fleet(makeWorld(1), drawOptions(1, 'calm'));
    log = [];
    runtimes = [];
    host = fleet.add({ address: 'us-east-1/n1', role: 'node', az: 'az1', boot });
    host.start();
  });

  it('gives a new incarnation nothing of the old one but the disk', () => {
    runtime().setTimer('old', 1_000);
    runtime().disk.append('log', new Uint8Array(3));
    runtime().disk.sync('log', 'old');
    host.crash('process');
    host.start();
    runtime().setTimer('new', 2_000);
    fleet.world.runFor(10_000);
    expect(log).toEqual(['1 start', '1 crash process', '2 start', '2 timer new']);
    expect(runtime().disk.read('log')).toHaveLength(3);
  });

  it('does not let a dead process act', () => {
    const dead = runtime();
    host.crash('power');
    expect(() => dead.setTimer('x', 1)).toThrow('acts after its death');
    host.start();
    expect(() => dead.dial('us-east-1/n2')).toThrow('acts after its death');
  });

  it('holds everything from a frozen process, and lets it all loose at once', () => {
    runtime().setTimer('a', 1_000);
    runtime().disk.append('log', new Uint8Array(3));
    runtime().disk.sync('log', 's');
    host.pause();
    fleet.world.runFor(500_000);
    expect(log).toEqual(['1 start']);
    const frozenAtUs = runtime().nowUs();
    host.resume();
    expect([...log].sort()).toEqual(['1 disk s', '1 start', '1 timer a']);
    expect(runtime().nowUs()).toBe(frozenAtUs);
  });

  it('does not fire a timer that an earlier one of the burst cleared', () => {
    runtime().setTimer('clearing', 1_000);
    runtime().setTimer('cleared', 2_000);
    host.pause();
    fleet.world.runFor(10_000);
    host.resume();
    expect(log).toEqual(['1 start', '1 timer clearing']);
  });

  it('replaces a timer of the same name', () => {
    runtime().setTimer('a', 1_000);
    runtime().setTimer('a', 5_000);
    fleet.world.runFor(10_000);
    expect(log).toEqual(['1 start', '1 timer a']);
  });

  it('forgets the burst of a frozen process that is killed', () => {
    runtime().setTimer('a', 1_000);
    host.pause();
    fleet.world.runFor(10_000);
    host.crash('process');
    host.resume();
    host.start();
    expect(log).toEqual(['1 start', '1 crash process', '2 start']);
  });

  it('accepts no connection while frozen, and loses those it has after the heartbeat', () => {
    const peer = fleet.add({ address: 'us-east-1/n2', role: 'node', az: 'az1', boot });
    peer.start();
    runtime().dial('us-east-1/n1');
    fleet.world.runFor(1_000_000);
    expect(runtime().send('us-east-1/n1', 'hello')).toBe('sent');
    fleet.world.runFor(1_000_000);
    expect(log).toContain('1 message hello');
    host.pause();
    fleet.world.runFor(6_000_000);
    expect(runtime().send('us-east-1/n1', 'nobody')).toBe('no-link');
    host.resume();
    fleet.world.runFor(2_000_000);
    expect(runtime().send('us-east-1/n1', 'again')).toBe('sent');
  });
});
