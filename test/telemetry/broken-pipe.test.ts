import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const pipeFile = JSON.stringify(join(root, 'telemetry/log/broken-pipe.ts'));

/** Runs a program whose output is read up to its first words, then closed, as `| head -1` does. */
async function headOf(args: readonly string[]): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (text: Buffer) => {
    stderr += text.toString();
  });
  await once(child.stdout, 'readable');
  child.stdout.destroy();
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return { code, stderr };
}

const program = (body: string) => ['--input-type=module', '-e', body];

describe('a program whose reader went away', () => {
  test('ends, quietly and with the code of a broken pipe, and not before it has stopped what it has to', async () => {
    const talk = 'setInterval(() => console.log("x".repeat(1000)), 1);';
    expect(
      await headOf(program(`import { endOnBrokenPipe } from ${pipeFile}; endOnBrokenPipe(); ${talk}`)),
    ).toEqual({ code: 141, stderr: '' });
    const stopping = `import { onBrokenPipe } from ${pipeFile};
      onBrokenPipe(() => process.exit(1));
      onBrokenPipe(() => setTimeout(() => { console.error('stopped'); process.exit(7); }, 50));`;
    expect(await headOf(program(`${stopping} ${talk}`))).toEqual({ code: 7, stderr: 'stopped\n' });
  }, 40_000);

  test.each([
    ['the command', ['regions/cli/sextant.ts', '--help']],
    ['the simulator', ['test/simulation/main.ts', '--seeds', '1', '--trace']],
  ])(
    'is %s: it ends within seconds and shows no stack',
    async (_name, args) => {
      const { code, stderr } = await headOf(args);
      expect(code).not.toBeNull();
      expect(stderr).not.toMatch(/EPIPE|^\s+at /m);
    },
    40_000,
  );

  test('is the benchmark, which told of the error on the broken stream and never ended: it ends, and so it does on a signal', async () => {
    const body = `import { Workbench } from ${JSON.stringify(join(root, 'test/bench/workbench.ts'))};
      import { onBrokenPipe, brokenPipeExitCode } from ${pipeFile};
      const bench = new Workbench((line) => process.stdout.write(line + '\\n'));
      onBrokenPipe(() => bench.end(brokenPipeExitCode));
      let stopped = 0;
      bench.onClose(async () => { stopped += 1; console.error('closed', stopped); });
      setInterval(() => bench.say('progress'), 5);`;
    expect(await headOf(program(body))).toEqual({ code: 141, stderr: 'closed 1\n' });
    const child = spawn(process.execPath, program(body), { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([143, null]);
  }, 40_000);
});
